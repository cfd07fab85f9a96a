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
fn every_operation_lists_the_statuses_of_its_kind() {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let has = |key: &str| operation.definition.get(key).is_some();
        let mut expected = vec!["500"];
        if operation.path.starts_with("/ws/") {
            expected.extend(["101", "400"]);
        } else {
            if has("security") {
                expected.extend(["400", "401", "403", "429", "503"]);
            }
            if has("requestBody") {
                expected.extend(["400", "408", "413", "415", "422", "429", "503"]);
            }
            if operation.path.contains('{') {
                expected.extend(["400", "404"]);
            }
        }
        for status in expected {
            let response = &operation.definition["responses"][status];
            assert!(response.is_object(), "{name} does not list {status}");
        }
    }
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
