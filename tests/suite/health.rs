use serde_json::json;
use sovd_tests::World;

#[tokio::test]
async fn health_needs_no_token() {
    let world = World::start().await;
    let stranger = world.stranger();
    assert_eq!(
        stranger.get("/health/live").await.expect(200),
        json!({ "status": "ok" })
    );
    assert_eq!(
        stranger.get("/health").await.expect(200),
        json!({ "status": "ok" })
    );
    assert_eq!(
        stranger.get("/health/ready").await.expect(200),
        json!({ "status": "ok", "database": "ok", "redis": "ok" })
    );
}

#[tokio::test]
async fn swagger_ui_comes_from_the_binary() {
    let world = World::start().await;
    let stranger = world.stranger();
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
        "it works offline: {text}"
    );
    let script = stranger.get("/docs/swagger-ui-bundle.js").await;
    assert_eq!(script.status, 200);
    let config = reqwest::get(format!(
        "http://{}/docs/swagger-initializer.js",
        world.address()
    ));
    let config = config.await.unwrap().text().await.unwrap();
    assert!(config.contains("/openapi.json"), "{config}");
    assert!(
        config.contains("\"validatorUrl\": \"none\""),
        "it asks nobody else: {config}"
    );
}
