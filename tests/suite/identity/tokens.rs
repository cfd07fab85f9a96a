use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, dangerous::insecure_decode, decode_header};
use serde_json::{Value, json};
use sovd_app::settings::ExposeSecret;
use sovd_tests::{Client, World, WorldOptions};

const ME: &str = "/api/v1/auth/me";

/// The signing secret and its key id.
struct Secret {
    kid: Option<String>,
    secret: String,
}

/// A world, a client that is logged in, and the signing secret.
async fn world() -> (World, Client, Secret) {
    let options = WorldOptions::new().await;
    let secret = options.settings.auth.signing_key().unwrap();
    let secret = secret.expose_secret().to_owned();
    let world = options.start().await;
    let engineer = world.log_in("engineer").await;
    let token = engineer.token.as_ref().unwrap();
    let kid = decode_header(token).unwrap().kid;
    (world, engineer, Secret { kid, secret })
}

fn claims_of(client: &Client) -> Value {
    insecure_decode::<Value>(client.token.as_ref().unwrap())
        .unwrap()
        .claims
}

fn signed(claims: &Value, algorithm: Algorithm, secret: &Secret) -> String {
    let key = EncodingKey::from_secret(secret.secret.as_bytes());
    let header = Header {
        kid: secret.kid.clone(),
        ..Header::new(algorithm)
    };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

async fn get_me(world: &World, token: &str) -> sovd_tests::Reply {
    world.with_token(token).get(ME).await
}

#[tokio::test]
async fn requires_a_bearer_token() {
    let world = World::start().await;
    world
        .anonymous()
        .get(ME)
        .await
        .expect_problem(401, "not_authenticated");
    let client = world.anonymous();
    let basic = client
        .request(reqwest::Method::GET, ME)
        .header("Authorization", "Basic eDp5");
    client
        .send(basic)
        .await
        .expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn accepts_only_tokens_signed_with_the_configured_key() {
    let (world, engineer, secret) = world().await;
    let good = signed(&claims_of(&engineer), Algorithm::HS256, &secret);
    get_me(&world, &good).await.expect(200);

    let another = Secret {
        kid: secret.kid.clone(),
        secret: "another-secret-of-32-bytes-or-so".to_owned(),
    };
    let wrong_key = signed(&claims_of(&engineer), Algorithm::HS256, &another);
    get_me(&world, &wrong_key)
        .await
        .expect_problem(401, "token_invalid");
    let other_algorithm = signed(&claims_of(&engineer), Algorithm::HS384, &secret);
    get_me(&world, &other_algorithm)
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn reports_an_expired_token() {
    let (world, engineer, secret) = world().await;
    let mut claims = claims_of(&engineer);
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 1);
    let token = signed(&claims, Algorithm::HS256, &secret);
    get_me(&world, &token)
        .await
        .expect_problem(401, "token_expired");
}

#[tokio::test]
async fn rejects_unsigned_tokens() {
    let (world, engineer, _) = world().await;
    let claims = URL_SAFE_NO_PAD.encode(claims_of(&engineer).to_string());
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        let unsigned = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header));
        get_me(&world, &unsigned)
            .await
            .expect_problem(401, "token_invalid");
    }
}

#[tokio::test]
async fn rejects_modified_tokens() {
    let (world, engineer, _) = world().await;
    let token = engineer.token.clone().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims = claims_of(&engineer);
    claims["sub"] = json!("00000000-0000-0000-0000-000000000001");
    claims["role"] = json!("admin");
    let forged = URL_SAFE_NO_PAD.encode(claims.to_string());
    let forged = format!("{}.{forged}.{}", parts[0], parts[2]);
    for bad in [
        forged.as_str(),
        "x",
        "a.b.c",
        &token[..token.len() - 2],
        parts[0],
    ] {
        get_me(&world, bad)
            .await
            .expect_problem(401, "token_invalid");
    }
    get_me(&world, "")
        .await
        .expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn rejects_a_refresh_token_as_an_access_token() {
    let (world, engineer, secret) = world().await;
    get_me(&world, &engineer.refresh_token)
        .await
        .expect_problem(401, "token_invalid");
    let mut claims = claims_of(&engineer);
    claims["typ"] = json!("refresh");
    let token = signed(&claims, Algorithm::HS256, &secret);
    get_me(&world, &token)
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn rejects_another_audience_issuer_or_session() {
    let (world, engineer, secret) = world().await;
    for (claim, value, code) in [
        ("aud", "another-service", "token_invalid"),
        ("iss", "another-service", "token_invalid"),
        (
            "sid",
            "00000000-0000-0000-0000-00000000ffff",
            "session_revoked",
        ),
        (
            "sub",
            "00000000-0000-0000-0000-000000000001",
            "session_revoked",
        ),
    ] {
        let mut claims = claims_of(&engineer);
        claims[claim] = json!(value);
        let token = signed(&claims, Algorithm::HS256, &secret);
        get_me(&world, &token).await.expect_problem(401, code);
    }
}

#[tokio::test]
async fn command_stream_outlives_its_token_but_fleet_stream_does_not() {
    let (world, mut engineer, secret) = world().await;
    let waiting = engineer.read_dtc_offline(3600).await;
    let fresh = engineer.clone();
    let mut claims = claims_of(&engineer);
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 4);
    engineer.token = Some(signed(&claims, Algorithm::HS256, &secret));
    let command = engineer.open(&waiting).await;
    let fleet = engineer.open_at("/ws/events").await;

    let (_, closing) = fleet.rest().await;
    assert_eq!(closing.code, 1008);
    assert!(closing.reason.contains("token_expired"), "{closing:?}");
    let late = engineer.get(ME).await;
    late.expect_problem(401, "token_expired");

    let sql = world.sql().await;
    let back = "UPDATE vehicles SET connection_status = 'connected'";
    sql.execute(back, &[]).await.unwrap();
    let (events, closing) = command.rest().await;
    assert_eq!(closing.code, 1000);
    assert_eq!(events.last().unwrap()["status"], "completed");
    assert_eq!(fresh.ended(&waiting).await["status"], "completed");
}
