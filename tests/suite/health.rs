use serde_json::json;
use sovd_tests::World;

#[tokio::test]
async fn health_endpoints_require_no_token() {
    let world = World::start().await;
    let anonymous = world.anonymous();
    assert_eq!(
        anonymous.get("/health/live").await.expect(200),
        json!({ "status": "ok" })
    );
    assert_eq!(
        anonymous.get("/health").await.expect(200),
        json!({ "status": "ok" })
    );
    assert_eq!(
        anonymous.get("/health/ready").await.expect(200),
        json!({ "status": "ok", "database": "ok", "redis": "ok" })
    );
}

#[tokio::test]
async fn serves_swagger_ui_offline() {
    let world = World::start().await;
    let anonymous = world.anonymous();
    let page = reqwest::get(format!("http://{}/docs", world.address()))
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let text = page.text().await.unwrap();
    assert!(
        !text.contains("https://") && !text.contains("http://"),
        "external resources: {text}"
    );
    let script = anonymous.get("/docs/swagger-ui-bundle.js").await;
    assert_eq!(script.status, 200);
    let config = reqwest::get(format!(
        "http://{}/docs/swagger-initializer.js",
        world.address()
    ));
    let config = config.await.unwrap().text().await.unwrap();
    assert!(config.contains("/openapi.json"), "{config}");
    assert!(
        config.contains("\"validatorUrl\": \"none\""),
        "no external validator: {config}"
    );
}
