use reqwest::Method;
use serde_json::json;
use sovd_tests::World;

/// Logs in with the given headers and returns the address in the audit entry.
async fn audited_address(world: &World, headers: &[(&str, &str)]) -> Option<String> {
    let anonymous = world.anonymous();
    let mut request = anonymous
        .request(Method::POST, "/api/v1/auth/login")
        .json(&json!({ "username": "engineer", "password": "engineer123" }));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = anonymous.send(request).await;
    let request_id = reply.headers["x-request-id"].to_str().unwrap().to_owned();
    reply.expect(200);
    let sql = world.sql().await;
    let row = sql
        .query_one(
            "SELECT ip_address FROM audit_logs WHERE request_id = $1",
            &[&request_id],
        )
        .await
        .unwrap();
    row.get(0)
}

async fn trusting(proxies: &[&str]) -> World {
    World::with(|settings| {
        settings.server.trusted_proxies = proxies.iter().map(ToString::to_string).collect();
    })
    .await
}

const FORWARDED: &str = "X-Forwarded-For";

#[tokio::test]
async fn ignores_forwarding_headers_by_default() {
    for world in [World::start().await, trusting(&["10.0.0.0/8", "::1"]).await] {
        for headers in [
            &[(FORWARDED, "198.51.100.1")][..],
            &[("X-Real-IP", "198.51.100.1")],
            &[("Forwarded", "for=198.51.100.1")],
        ] {
            let address = audited_address(&world, headers).await;
            assert_eq!(address.as_deref(), Some("127.0.0.1"), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn accepts_the_header_of_a_trusted_proxy() {
    let world = trusting(&["127.0.0.1", "10.0.0.0/8"]).await;
    for (headers, expected) in [
        (&[(FORWARDED, "198.51.100.1")][..], "198.51.100.1"),
        (&[(FORWARDED, "2001:db8::5")], "2001:db8::5"),
        (
            &[(FORWARDED, "1.1.1.1, 198.51.100.1, 10.1.2.3")],
            "198.51.100.1",
        ),
        (
            &[
                (FORWARDED, "1.1.1.1, 198.51.100.1"),
                (FORWARDED, "10.1.2.3"),
            ],
            "198.51.100.1",
        ),
        (&[(FORWARDED, "198.51.100.1, unknown")], "127.0.0.1"),
        (&[(FORWARDED, "'; DELETE FROM audit_logs; --")], "127.0.0.1"),
        (&[("X-Real-IP", "198.51.100.1")], "127.0.0.1"),
        (&[("Forwarded", "for=198.51.100.1")], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        let address = audited_address(&world, headers).await;
        assert_eq!(address.as_deref(), Some(expected), "{headers:?}");
    }
}
