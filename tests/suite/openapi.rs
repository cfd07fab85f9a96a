use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use sovd_tests::World;

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) definition: Value,
}

impl Operation {
    /// Returns the path with `id` in place of its parameters.
    pub(crate) fn path_with(&self, id: &str) -> String {
        let segments = self.path.split('/');
        let filled = segments.map(|it| if it.starts_with('{') { id } else { it });
        filled.collect::<Vec<_>>().join("/")
    }

    /// Whether the operation opens a WebSocket.
    pub(crate) fn is_websocket(&self) -> bool {
        self.path.starts_with("/ws/")
    }
}

/// Returns the published document.
pub(crate) fn document() -> Value {
    serde_json::from_str(&sovd_app::openapi_json()).unwrap()
}

/// Returns every operation of the document.
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
fn matches_the_snapshot() {
    insta::assert_snapshot!("openapi", sovd_app::openapi_json());
}

#[tokio::test]
async fn serves_the_published_document() {
    let world = World::start().await;
    let served = world.anonymous().get("/openapi.json").await.expect(200);
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn lists_the_common_statuses_of_every_operation() {
    for operation in operations(&document()) {
        let name = format!("{} {}", operation.method, operation.path);
        let has = |key: &str| operation.definition.get(key).is_some();
        let mut expected = vec!["500"];
        if operation.is_websocket() {
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
fn describes_every_operation_and_field() {
    let document = document();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let name = format!("{} {}", operation.method, operation.path);
        let id = operation.definition["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{name} has a duplicate id");
        assert!(
            operation.definition["summary"].is_string(),
            "{name} has no summary"
        );
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, definition) in schema["properties"].as_object().into_iter().flatten() {
            // A nullable object has its description next to the reference.
            let mut forms = definition["oneOf"].as_array().into_iter().flatten();
            let is_described = |form: &Value| form["description"].is_string();
            assert!(
                is_described(definition) || forms.any(is_described),
                "{name}.{field} has no description"
            );
        }
    }
}
