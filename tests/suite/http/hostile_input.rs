use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sovd_tests::{CONNECTED, Client, RawHttp, Reply, World, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const COMMANDS: &str = "/api/v1/commands";

/// Returns the response to bytes that an HTTP library would not send.
async fn response_to(world: &World, request: &[u8]) -> String {
    let stream = RawHttp::connect(world.address()).await.0;
    let (mut from, mut to) = stream.into_split();
    let request = request.to_vec();
    // The server may respond before it has received the whole request.
    let writer = tokio::spawn(async move {
        let _ = to.write_all(&request).await;
        to
    });
    let mut response = Vec::new();
    let _ = within("the end of the connection", from.read_to_end(&mut response)).await;
    drop(writer.await);
    String::from_utf8_lossy(&response).into_owned()
}

fn status_of(response: &str) -> u16 {
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {response:?}"))
}

async fn post_text(client: &Client, path: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = client.request(Method::POST, path).body(body);
    client
        .send(request.header(CONTENT_TYPE, "application/json"))
        .await
}

async fn assert_serves(world: &World) {
    world.anonymous().get("/health/live").await.expect(200);
}

#[tokio::test]
async fn does_not_reflect_input_in_response_headers() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let token = engineer.token.as_deref().unwrap();
    let evil = "Set-Cookie: evil=1";
    for line_end in [
        "\r\n ", "\n", "\r", "\0", "\r\n\t", "\x0b", "%0d%0a", "\u{85}",
    ] {
        let injected = format!("x{line_end}{evil}");
        for request in [
            format!("GET /health/live HTTP/1.1\r\nX-Request-ID: {injected}\r\n"),
            format!("GET /api/v1/vehicles HTTP/1.1\r\nAuthorization: Bearer {injected}\r\n"),
            format!(
                "GET /api/v1/vehicles?limit=1&model={injected} HTTP/1.1\r\n\
                 Authorization: Bearer {token}\r\n"
            ),
            format!("GET /docs?{injected} HTTP/1.1\r\n"),
            format!("GET /{injected} HTTP/1.1\r\n"),
            format!("GET /health/live HTTP/1.1\r\nOrigin: https://{injected}\r\n"),
        ] {
            let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
            let response = response_to(&world, request.as_bytes()).await;
            assert!(status_of(&response) < 500, "{request:?}: {response}");
            let head = response.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(!head.contains("evil"), "{request:?}: {response}");
        }
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn rejects_ambiguous_body_lengths() {
    let world = World::start().await;
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
    ] {
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             {framing}\r\nConnection: close\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\n\r\n"
        );
        let response = response_to(&world, request.as_bytes()).await;
        assert!(
            (400..500).contains(&status_of(&response)),
            "{framing}: {response}"
        );
        assert_eq!(
            response.matches("HTTP/1.1 ").count(),
            1,
            "{framing}: {response}"
        );
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn limits_a_chunked_body() {
    let world = World::with(|settings| settings.server.body_limit_bytes = 4_096).await;
    let login = r#"{"username":"engineer","password":"engineer123"}"#;
    let ask = async |length: usize, chunk: usize| {
        let body = format!("{login}{}", " ".repeat(length - login.len()));
        let chunks: Vec<String> = body
            .as_bytes()
            .chunks(chunk)
            .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
            .collect();
        let chunks = chunks.concat();
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunks}0\r\n\r\n"
        );
        response_to(&world, request.as_bytes()).await
    };
    for chunk in [1, 1_000, 10_000] {
        assert_eq!(status_of(&ask(4_096, chunk).await), 200, "{chunk}");
        let rejected = ask(4_097, chunk).await;
        assert_eq!(status_of(&rejected), 413, "{chunk}");
        assert!(rejected.contains("payload_too_large"), "{rejected}");
    }
    assert_eq!(status_of(&ask(20 * 1024 * 1024, 65_536).await), 413);
    assert_serves(&world).await;
}

#[tokio::test]
async fn rejects_a_huge_content_length_before_the_body() {
    let world = World::start().await;
    for length in [8 * 1024 * 1024 + 1, u64::MAX / 2] {
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        let response = response_to(&world, request.as_bytes()).await;
        assert_eq!(status_of(&response), 413, "{response}");
    }
}

/// Returns nested arrays with the given depth.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn limits_the_depth_of_a_body_to_127() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (levels, status, code) in [
        (127, 422, "validation_failed"),
        (128, 400, "malformed_request"),
        (129, 400, "malformed_request"),
        (10_000, 400, "malformed_request"),
    ] {
        let login = format!(r#"{{"username":{},"password":"x"}}"#, nested(levels - 1));
        post_text(&engineer, "/api/v1/auth/login", login)
            .await
            .expect_problem(status, code);
        let command = format!(
            r#"{{"vehicle_id":"{CONNECTED}","command_name":"ReadDTC",
                 "command_params":{{"ecuAddress":"0x10","deep":{}}}}}"#,
            nested(levels - 2)
        );
        post_text(&engineer, COMMANDS, command)
            .await
            .expect_problem(status, code);
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn validates_numbers_of_any_size_by_value() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (number, status, code) in [
        ("99999999999999999999999999", 422, "validation_failed"),
        ("-99999999999999999999999999", 422, "validation_failed"),
        ("1e308", 422, "validation_failed"),
        ("-0", 422, "validation_failed"),
        ("1e-400", 422, "validation_failed"),
        ("1e400", 400, "malformed_request"),
        ("NaN", 400, "malformed_request"),
        ("0x10", 400, "malformed_request"),
        ("01", 400, "malformed_request"),
        ("+1", 400, "malformed_request"),
    ] {
        let body = format!(
            r#"{{"vehicle_id":"{CONNECTED}","command_name":"ReadDTC",
                 "command_params":{{"ecuAddress":"0x10"}},"expires_in_seconds":{number}}}"#
        );
        let reply = post_text(&engineer, COMMANDS, body).await;
        assert_eq!(reply.status, status, "{number}: {}", reply.body);
        reply.expect_problem(status, code);
    }
    for query in ["limit=99999999999999999999", "offset=-9223372036854775809"] {
        let reply = engineer.get(&format!("/api/v1/vehicles?{query}")).await;
        reply.expect_problem(400, "malformed_request");
    }
    let far = "/api/v1/vehicles?offset=9223372036854775807";
    let reply = engineer.get(far).await;
    assert!(reply.status.as_u16() < 500, "{}", reply.body);
    assert_serves(&world).await;
}

#[tokio::test]
async fn rejects_invalid_text() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    for (bytes, status) in [
        (&b"{\"username\":\"\xff\",\"password\":\"x\"}"[..], 400),
        (b"\xff\xfe{\0}\0", 400),
        (b"{\"username\":\"\xc0\xaf\",\"password\":\"x\"}", 400),
        (b"{\"username\":\"\xed\xa0\x80\",\"password\":\"x\"}", 400),
        (b"{\"username\":\"\\ud800\",\"password\":\"x\"}", 400),
        (b"{\"username\":\"\\u0000\",\"password\":\"x\"}", 422),
        (b"{\"username\":\"\0\",\"password\":\"x\"}", 400),
        (b"{\"user\\u0000name\":\"x\",\"password\":\"x\"}", 422),
    ] {
        let reply = post_text(&engineer, "/api/v1/auth/login", bytes.to_vec()).await;
        assert_eq!(reply.status, status, "{bytes:?}: {}", reply.body);
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn a_search_matches_every_character_literally() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let found = async |name: &str, text: &str| {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let text = bytes.concat();
        engineer
            .get(&format!("/api/v1/vehicles?{name}={text}"))
            .await
    };
    for name in ["search", "make", "model"] {
        for text in [
            "%",
            "_",
            "%%",
            "'",
            "\"",
            "\\",
            "\\%",
            "' OR '1'='1",
            "'; DROP TABLE vehicles; --",
            "$1",
            "\u{202e}",
            "\u{1f697}",
            &"x".repeat(5_000),
        ] {
            let vehicles = found(name, text).await.expect(200);
            assert_eq!(vehicles, json!([]), "{name} {text:?}");
        }
        let reply = found(name, "VIN\0").await;
        reply.expect_bad_field(400, "malformed_request", &format!("/{name}"));
    }
    assert_ne!(found("search", "VIN").await.expect(200), json!([]));
}

#[tokio::test]
async fn limits_the_size_of_an_error() {
    let world = World::start().await;
    let long = "x".repeat(100_000);
    let nuls = format!(
        r#"{{"username":"a","{long}":[{}]}}"#,
        vec![r#""\u0000""#; 10_000].join(",")
    );
    let fields: Vec<String> = (0..20_000)
        .map(|number| format!("\"{number}\":0"))
        .collect();
    let unknown = format!("{{{}}}", fields.join(","));
    let anonymous = world.anonymous();
    for body in [nuls, unknown] {
        let request = anonymous
            .request(Method::POST, "/api/v1/auth/login")
            .header("Content-Type", "application/json")
            .body(body);
        let problem = anonymous
            .send(request)
            .await
            .expect_problem(422, "validation_failed");
        assert!(problem["errors"].as_array().unwrap().len() <= 32);
        assert!(problem.to_string().len() < 32 * 1024);
    }

    let engineer = world.log_in("engineer").await;
    let path = format!("/api/v1/vehicles?{}", vec!["make"; 10_000].join("&"));
    let problem = engineer
        .get(&path)
        .await
        .expect_problem(422, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/vehicles?{long}=1", long = &long[..60_000]);
    let problem = engineer
        .get(&path)
        .await
        .expect_problem(400, "malformed_request");
    assert!(problem.to_string().len() < 4 * 1024);
}

#[tokio::test]
async fn rejects_an_oversized_head() {
    let world = World::start().await;
    let long = "x".repeat(200_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /health/live?{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!(
            "GET /health/live HTTP/1.1\r\n{}\r\n",
            "A: b\r\n".repeat(1_000)
        ),
        format!("{long} /health/live HTTP/1.1\r\nHost: x\r\n\r\n"),
        long.clone(),
    ] {
        let response = response_to(&world, request.as_bytes()).await;
        let start: String = request.chars().take(40).collect();
        assert!(
            response.is_empty() || (400..500).contains(&status_of(&response)),
            "{start}: {response}"
        );
    }
    assert_serves(&world).await;
}

#[tokio::test]
async fn rejects_duplicate_fields() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let duplicates = [
        r#""command_name":"ClearDTC","command_name":"ReadDTC","command_params":{"ecuAddress":"0x10"}"#,
        r#""command_name":"ReadDTC","command_params":{"ecuAddress":"0x10","ecuAddress":"0x11"}"#,
    ];
    for fields in duplicates {
        let body = format!(r#"{{"vehicle_id":"{CONNECTED}",{fields}}}"#);
        let problem = post_text(&engineer, COMMANDS, body)
            .await
            .expect_problem(400, "malformed_request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("twice"), "{problem}");
    }
    let history: Value = engineer.get(COMMANDS).await.expect(200);
    assert_eq!(history["total"], 0);
}
