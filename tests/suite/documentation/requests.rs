use std::collections::BTreeSet;

use serde_json::Value;

use super::page::{Page, pages};
use crate::openapi::operations;

/// What the server serves beside the operations of its document.
const UNDOCUMENTED: [&str; 3] = ["/openapi.json", "/docs", "/docs/"];

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The segments of every path, each with its methods.
struct Contract(Vec<(Vec<String>, BTreeSet<String>)>);

impl Contract {
    fn published() -> Self {
        let document: Value = serde_json::from_str(&sovd_app::openapi_json()).unwrap();
        let operations = operations(&document).into_iter();
        let one = |operation: crate::openapi::Operation| {
            let segments = operation.path.split('/').map(str::to_owned);
            (segments.collect(), [operation.method.to_string()].into())
        };
        Self(operations.map(one).collect())
    }

    /// Whether `path` has an operation, and one with `method` if there is any.
    fn has(&self, method: Option<&str>, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        UNDOCUMENTED.contains(&path)
            || self.0.iter().any(|(documented, methods)| {
                documented.len() == segments.len()
                    && documented.iter().zip(&segments).all(|(one, other)| {
                        one == other || (one.starts_with('{') && is_placeholder(other))
                    })
                    && method.is_none_or(|method| methods.contains(method))
            })
    }
}

fn is_placeholder(segment: &str) -> bool {
    segment.starts_with(['{', '$']) || segment.contains('-')
}

/// The paths of the API that `text` names.
fn paths(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/-_.{}$".contains(c);
    let mut paths = Vec::new();
    for prefix in ["/api/v1/", "/ws/", "/health"] {
        for (start, _) in text.match_indices(prefix) {
            let rest = &text[start..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            paths.push(rest[..end].trim_end_matches('.'));
        }
    }
    paths
}

fn unknown(contract: &Contract, page: &Page) -> Vec<String> {
    let mut unknown = Vec::new();
    for span in &page.spans {
        let request = span.split_once(' ');
        let request = request.filter(|(method, _)| METHODS.contains(method));
        if let Some((method, path)) = request
            && !contract.has(Some(method), path)
        {
            unknown.push(span.clone());
        }
    }
    let code = page.blocks.iter().map(|block| &block.text);
    for path in code.chain(&page.spans).flat_map(|text| paths(text)) {
        if !contract.has(None, path) {
            unknown.push(path.to_owned());
        }
    }
    unknown
}

#[test]
fn every_request_is_in_the_openapi_document() {
    let contract = Contract::published();
    for page in pages() {
        let unknown = unknown(&contract, &page);
        assert!(unknown.is_empty(), "{}: {unknown:#?}", page.path.display());
    }
}

#[test]
fn finds_paths_in_commands_and_code() {
    let text = "curl $BASE/api/v1/commands/$ID/events -H x; `${base}/api/v1/vehicles?year=2023`";
    assert_eq!(
        paths(text),
        ["/api/v1/commands/$ID/events", "/api/v1/vehicles"]
    );
    let contract = Contract::published();
    assert!(contract.has(Some("GET"), "/api/v1/commands/$ID/events"));
    assert!(contract.has(Some("GET"), "/api/v1/commands/{id}"));
    assert!(!contract.has(Some("PUT"), "/api/v1/commands/{id}"));
    assert!(!contract.has(None, "/api/v1/comands"));
}
