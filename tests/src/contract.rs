use std::{collections::BTreeMap, sync::LazyLock};

use reqwest::{Method, StatusCode};
use serde_json::Value;

/// The statuses of the operations of a path in the OpenAPI document.
struct DocumentedPath {
    segments: Vec<String>,
    statuses: BTreeMap<Method, Vec<String>>,
}

/// Checks the status of a response against the OpenAPI document. Paths that it does not contain are not
/// checked; methods that a path does not support must return 405.
///
/// # Panics
///
/// If the operation does not list the status.
pub(crate) fn check_status(method: &Method, path: &str, status: StatusCode) {
    static PATHS: LazyLock<Vec<DocumentedPath>> = LazyLock::new(published);
    let Some(documented) = find(path, &PATHS) else {
        return;
    };
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    match documented.statuses.get(method) {
        Some(statuses) => assert!(
            statuses.iter().any(|listed| listed == status.as_str()),
            "{method} {path} returned {status}, but the document lists only {statuses:?}"
        ),
        // CORS handles preflight requests before any operation.
        None if method == Method::OPTIONS => {}
        None => assert_eq!(status, 405, "{method} {path} is not in the document"),
    }
}

fn published() -> Vec<DocumentedPath> {
    let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, item)| DocumentedPath::of(path, item))
        .collect()
}

/// Returns the matching path with the most literal segments.
fn find<'a>(path: &str, paths: &'a [DocumentedPath]) -> Option<&'a DocumentedPath> {
    let segments: Vec<&str> = path.split('/').collect();
    let matching = paths.iter().filter(|it| it.matches(&segments));
    matching.max_by_key(|it| it.segments.iter().filter(|it| !is_variable(it)).count())
}

impl DocumentedPath {
    fn of(path: &str, item: &Value) -> Self {
        let operations = item.as_object().unwrap().iter();
        let statuses = operations.map(|(method, operation)| {
            let responses = operation["responses"].as_object().unwrap();
            let method = method.to_uppercase().parse().unwrap();
            (method, responses.keys().cloned().collect())
        });
        Self {
            segments: path.split('/').map(str::to_owned).collect(),
            statuses: statuses.collect(),
        }
    }

    fn matches(&self, segments: &[&str]) -> bool {
        let mut pairs = self.segments.iter().zip(segments);
        self.segments.len() == segments.len()
            && pairs.all(|(pattern, segment)| {
                pattern == segment || (is_variable(pattern) && !segment.is_empty())
            })
    }
}

fn is_variable(segment: &str) -> bool {
    segment.starts_with('{')
}
