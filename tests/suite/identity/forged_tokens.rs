use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, crypto::sign, dangerous::insecure_decode, decode_header,
};
use serde_json::{Value, json};
use sovd_app::settings::{JwtAlgorithm, Settings};
use sovd_tests::{Client, Reply, World, WorldOptions};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!(
            "../../../crates/services/tests/keys/",
            $name,
            ".pem"
        ))
    };
}

const ME: &str = "/api/v1/auth/me";

/// A world that signs with a private key, and a client that is logged in.
async fn world_of(algorithm: JwtAlgorithm, pem: &str) -> (World, Client) {
    let world = World::with(|settings| {
        settings.auth.jwt_algorithm = algorithm;
        settings.auth.jwt_private_key = Some(pem.into());
    })
    .await;
    let engineer = world.log_in("engineer").await;
    (world, engineer)
}

fn token_of(client: &Client) -> &str {
    client.token.as_ref().unwrap()
}

fn kid_of(client: &Client) -> String {
    decode_header(token_of(client)).unwrap().kid.unwrap()
}

fn claims_of(client: &Client) -> Value {
    insecure_decode(token_of(client)).unwrap().claims
}

/// A token with the given header and claims, signed with `key`.
fn signed(header: &Value, claims: &Value, algorithm: Algorithm, key: &EncodingKey) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

async fn get_me(world: &World, token: &str) -> Reply {
    world.with_token(token).get(ME).await
}

async fn assert_invalid(world: &World, token: &str) {
    let reply = get_me(world, token).await;
    reply.expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn tokens_name_their_key_for_each_algorithm() {
    for (algorithm, name, pem) in [
        (JwtAlgorithm::Rs256, Algorithm::RS256, pem!("rsa_new")),
        (JwtAlgorithm::Es256, Algorithm::ES256, pem!("ec_new")),
        (JwtAlgorithm::EdDsa, Algorithm::EdDSA, pem!("ed_new")),
    ] {
        let (world, engineer) = world_of(algorithm, pem).await;
        let header = decode_header(token_of(&engineer)).unwrap();
        assert_eq!(header.alg, name);
        assert_eq!(header.kid.unwrap().len(), 43);
        engineer.get(ME).await.expect(200);

        let (message, signature) = token_of(&engineer).rsplit_once('.').unwrap();
        for bad in ["", "AAAA", &signature[4..]] {
            assert_invalid(&world, &format!("{message}.{bad}")).await;
        }
        let mut claims = claims_of(&engineer);
        claims["role"] = json!("admin");
        let forged = URL_SAFE_NO_PAD.encode(claims.to_string());
        let head = message.split_once('.').unwrap().0;
        assert_invalid(&world, &format!("{head}.{forged}.{signature}")).await;
    }
}

#[tokio::test]
async fn rejects_the_public_key_as_an_hmac_secret() {
    let (world, engineer) = world_of(JwtAlgorithm::Rs256, pem!("rsa_new")).await;
    let claims = claims_of(&engineer);
    let kid = kid_of(&engineer);
    let public = pem!("rsa_new_public");
    for (algorithm, name) in [
        (Algorithm::HS256, "HS256"),
        (Algorithm::HS384, "HS384"),
        (Algorithm::HS512, "HS512"),
    ] {
        for secret in [public, public.trim_end()] {
            let key = EncodingKey::from_secret(secret.as_bytes());
            for alg in [name, "RS256"] {
                let header = json!({ "alg": alg, "typ": "JWT", "kid": kid });
                assert_invalid(&world, &signed(&header, &claims, algorithm, &key)).await;
            }
        }
    }
}

/// Decodes a PEM.
fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD
        .decode(base64)
        .unwrap()
}

/// Algorithm confusion (RS256 verified as HS256) with every encoding of the current and the previous public
/// key, and with the key id, as the HMAC secret.
#[tokio::test]
async fn rejects_every_form_of_a_public_key_as_an_hmac_secret() {
    for (algorithm, name, private, public, previous) in [
        (
            JwtAlgorithm::Rs256,
            Algorithm::RS256,
            pem!("rsa_new"),
            pem!("rsa_new_public"),
            pem!("rsa_old_public"),
        ),
        (
            JwtAlgorithm::Es256,
            Algorithm::ES256,
            pem!("ec_new"),
            pem!("ec_new_public"),
            pem!("ec_old_public"),
        ),
        (
            JwtAlgorithm::EdDsa,
            Algorithm::EdDSA,
            pem!("ed_new"),
            pem!("ed_new_public"),
            pem!("ed_old_public"),
        ),
    ] {
        let world = World::with(|settings| {
            settings.auth.jwt_algorithm = algorithm;
            settings.auth.jwt_private_key = Some(private.into());
            settings.auth.jwt_previous_public_key = Some(previous.into());
        })
        .await;
        let engineer = world.log_in("engineer").await;
        let (claims, kid) = (claims_of(&engineer), kid_of(&engineer));
        let own = match name {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(private.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()),
            _ => EncodingKey::from_ed_pem(private.as_bytes()),
        };
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own.unwrap(), name).unwrap();
        let jwk = json!(jwk);
        let mut secrets = vec![
            Vec::new(),
            kid.clone().into_bytes(),
            jwk.to_string().into_bytes(),
        ];
        for pem in [public, previous] {
            secrets.push(pem.as_bytes().to_vec());
            secrets.push(pem.trim_end().as_bytes().to_vec());
            secrets.push(pem.replace('\n', "\r\n").into_bytes());
            secrets.push(der(pem));
        }
        for field in ["n", "x", "y"] {
            if let Some(part) = jwk[field].as_str() {
                secrets.push(part.as_bytes().to_vec());
                secrets.push(URL_SAFE_NO_PAD.decode(part).unwrap());
            }
        }
        let previous_kid = {
            let jwk = match name {
                Algorithm::RS256 => jsonwebtoken::DecodingKey::from_rsa_pem(previous.as_bytes()),
                Algorithm::ES256 => jsonwebtoken::DecodingKey::from_ec_pem(previous.as_bytes()),
                _ => jsonwebtoken::DecodingKey::from_ed_pem(previous.as_bytes()),
            };
            let jwk = jsonwebtoken::jwk::Jwk::from_decoding_key(&jwk.unwrap(), Some(name));
            let thumbprint = jsonwebtoken::jwk::ThumbprintHash::SHA256;
            jwk.unwrap().thumbprint(thumbprint).unwrap()
        };
        for secret in secrets {
            let key = EncodingKey::from_secret(&secret);
            for kid in [&kid, &previous_kid] {
                let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
                let token = signed(&header, &claims, Algorithm::HS256, &key);
                assert_invalid(&world, &token).await;
            }
        }
        engineer.get(ME).await.expect(200);
    }
}

#[tokio::test]
async fn rejects_asymmetric_tokens_where_a_secret_signs() {
    let world = World::start().await;
    let engineer = world.log_in("engineer").await;
    let (claims, kid) = (claims_of(&engineer), kid_of(&engineer));
    let rsa = EncodingKey::from_rsa_pem(pem!("rsa_new").as_bytes()).unwrap();
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&rsa, Algorithm::RS256).unwrap();
    let header = json!({ "alg": "RS256", "kid": kid, "jwk": jwk });
    assert_invalid(&world, &signed(&header, &claims, Algorithm::RS256, &rsa)).await;
    for secret in ["", " ", "secret", &kid] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let header = json!({ "alg": "HS256", "kid": kid });
        assert_invalid(&world, &signed(&header, &claims, Algorithm::HS256, &key)).await;
    }
    let unsigned = json!({ "alg": "none", "kid": kid });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}.", encode(&unsigned), encode(&claims));
    assert_invalid(&world, &message).await;
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn rejects_other_algorithms_in_the_header() {
    let (world, engineer) = world_of(JwtAlgorithm::Rs256, pem!("rsa_new")).await;
    let claims = claims_of(&engineer);
    let kid = kid_of(&engineer);
    let own = EncodingKey::from_rsa_pem(pem!("rsa_new").as_bytes()).unwrap();
    let good = json!({ "alg": "RS256", "kid": kid });
    let token = signed(&good, &claims, Algorithm::RS256, &own);
    get_me(&world, &token).await.expect(200);
    for (algorithm, name) in [
        (Algorithm::RS384, "RS384"),
        (Algorithm::RS512, "RS512"),
        (Algorithm::PS256, "PS256"),
        (Algorithm::RS256, "none"),
        (Algorithm::RS256, "rs256"),
        (Algorithm::RS256, ""),
    ] {
        let header = json!({ "alg": name, "kid": kid });
        assert_invalid(&world, &signed(&header, &claims, algorithm, &own)).await;
    }
    for unsigned in ["none", "NONE", "nOnE"] {
        let header = json!({ "alg": unsigned, "kid": kid });
        let token = signed(&header, &claims, Algorithm::RS256, &own);
        let message = token.rsplit_once('.').unwrap().0;
        assert_invalid(&world, &format!("{message}.")).await;
    }
}

#[tokio::test]
async fn rejects_unknown_key_ids() {
    let (world, engineer) = world_of(JwtAlgorithm::EdDsa, pem!("ed_new")).await;
    let claims = claims_of(&engineer);
    let kid = kid_of(&engineer);
    let own = EncodingKey::from_ed_pem(pem!("ed_new").as_bytes()).unwrap();
    let token = |kid: &Value| {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        signed(&header, &claims, Algorithm::EdDSA, &own)
    };
    get_me(&world, &token(&json!(kid))).await.expect(200);
    for odd in [
        json!(""),
        json!("../../etc/passwd"),
        json!("/dev/null"),
        json!(format!("{kid}\0")),
        json!(format!("{kid}' OR '1'='1")),
        json!(kid.to_lowercase()),
        json!(&kid[..kid.len() - 1]),
        json!("k".repeat(4_000)),
        json!(null),
        json!(7),
        json!([kid]),
        json!({ "kid": kid }),
    ] {
        assert_invalid(&world, &token(&odd)).await;
    }
    let nameless = json!({ "alg": "EdDSA", "typ": "JWT" });
    assert_invalid(&world, &signed(&nameless, &claims, Algorithm::EdDSA, &own)).await;
    engineer.get(ME).await.expect(200);
}

#[tokio::test]
async fn rejects_keys_embedded_in_the_header() {
    let (world, engineer) = world_of(JwtAlgorithm::EdDsa, pem!("ed_new")).await;
    let claims = claims_of(&engineer);
    let other_key = EncodingKey::from_ed_pem(pem!("ed_old").as_bytes()).unwrap();
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&other_key, Algorithm::EdDSA).unwrap();
    let thumbprint = jwk
        .thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)
        .unwrap();
    let server = format!("http://{}/key", world.address());
    for (field, value) in [
        ("jwk", json!(jwk)),
        ("jku", json!(server)),
        ("x5u", json!(server)),
        ("x5c", json!([pem!("ed_old_public")])),
        ("crit", json!(["exp"])),
    ] {
        for kid in [kid_of(&engineer), thumbprint.clone()] {
            let mut header = json!({ "alg": "EdDSA", "kid": kid });
            header[field] = value.clone();
            let token = signed(&header, &claims, Algorithm::EdDSA, &other_key);
            assert_invalid(&world, &token).await;
        }
    }
}

#[tokio::test]
async fn rejects_malformed_tokens() {
    let (world, engineer) = world_of(JwtAlgorithm::Es256, pem!("ec_new")).await;
    let token = token_of(&engineer).to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":{nested}}}"#));
    for bad in [
        "..".to_owned(),
        ".".repeat(1_000),
        format!("{token}.{token}"),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{token}="),
        token.replace('.', "%2e"),
        format!("{nested}.{}.{}", parts[1], parts[2]),
    ] {
        assert_invalid(&world, &bad).await;
    }
    get_me(&world, &token).await.expect(200);
}

/// Restarts the program with other settings on the same database.
async fn restarted(world: World, settings: Settings) -> World {
    let database = world.stop_and_keep_database().await;
    let database = Some(database);
    WorldOptions { settings, database }.start().await
}

#[tokio::test]
async fn key_rotation_keeps_sessions() {
    for (algorithm, old, old_public, new) in [
        (
            JwtAlgorithm::Hs256,
            "8192a8b5c3d4e7c1f0b6f4f1e9d26f70",
            "8192a8b5c3d4e7c1f0b6f4f1e9d26f70",
            "7c1f0b6f4f1e9d2a8b5c3d4e6f708192",
        ),
        (
            JwtAlgorithm::Rs256,
            pem!("rsa_old"),
            pem!("rsa_old_public"),
            pem!("rsa_new"),
        ),
    ] {
        let mut options = WorldOptions::new().await;
        let with_keys = |key: &str, previous: Option<&str>| {
            let mut settings = options.settings.clone();
            let auth = &mut settings.auth;
            auth.jwt_algorithm = algorithm;
            let (key, previous) = (Some(key.into()), previous.map(Into::into));
            if algorithm.is_symmetric() {
                (auth.jwt_secret, auth.jwt_previous_secret) = (key, previous);
            } else {
                (auth.jwt_private_key, auth.jwt_previous_public_key) = (key, previous);
            }
            settings
        };
        let before = with_keys(old, None);
        let during = with_keys(new, Some(old_public));
        let after = with_keys(new, None);

        options.settings = before;
        let world = options.start().await;
        let old_client = world.log_in("engineer").await;

        let world = restarted(world, during).await;
        get_me(&world, token_of(&old_client)).await.expect(200);
        let new_client = world.log_in("engineer").await;
        assert_ne!(kid_of(&old_client), kid_of(&new_client));
        new_client.get(ME).await.expect(200);

        // The old private key cannot sign for the new key id.
        let stolen = match algorithm {
            JwtAlgorithm::Hs256 => EncodingKey::from_secret(old.as_bytes()),
            _ => EncodingKey::from_rsa_pem(old.as_bytes()).unwrap(),
        };
        let header = Header {
            kid: Some(kid_of(&new_client)),
            ..Header::new(decode_header(token_of(&new_client)).unwrap().alg)
        };
        let forged = jsonwebtoken::encode(&header, &claims_of(&new_client), &stolen).unwrap();
        assert_invalid(&world, &forged).await;

        let world = restarted(world, after).await;
        assert_invalid(&world, token_of(&old_client)).await;
        get_me(&world, token_of(&new_client)).await.expect(200);
        let mut refreshed = world.anonymous();
        let body = json!({ "refresh_token": old_client.refresh_token });
        let tokens = refreshed
            .post("/api/v1/auth/refresh", &body)
            .await
            .expect(200);
        refreshed.token = tokens["access_token"].as_str().map(str::to_owned);
        assert_eq!(kid_of(&refreshed), kid_of(&new_client));
    }
}
