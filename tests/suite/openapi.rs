use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use sovd_tests::World;

/// One operation of the document.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) definition: Value,
}

/// Every operation of the document.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, definition) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push(Operation {
                method,
                path: path.clone(),
                definition: definition.clone(),
            });
        }
    }
    operations
}

#[test]
fn the_document_is_as_published() {
    insta::assert_snapshot!("openapi", sovd_app::openapi_json());
}

#[tokio::test]
async fn the_served_document_is_the_published_one() {
    let world = World::start().await;
    let served = world.stranger().get("/openapi.json").await.expect(200);
    let published: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    assert_eq!(served, published);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn every_operation_and_every_field_is_described() {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let id = operation.definition["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{name} shares its id");
        assert!(
            operation.definition["summary"].is_string(),
            "{name} has no summary"
        );
        let responses = &operation.definition["responses"];
        assert!(responses["500"].is_object(), "{name}");
        if operation.definition.get("requestBody").is_some() {
            for status in ["400", "413", "415", "422", "503"] {
                assert!(responses[status].is_object(), "{name} {status}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, definition) in schema["properties"].as_object().into_iter().flatten() {
            // That of an object that may be null stands beside its reference.
            let mut forms = definition["oneOf"].as_array().into_iter().flatten();
            let is_described = |form: &Value| form["description"].is_string();
            assert!(
                is_described(definition) || forms.any(is_described),
                "{name}.{field} has no description"
            );
        }
    }
}
