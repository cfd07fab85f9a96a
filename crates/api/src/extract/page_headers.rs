use actix_web::{HttpRequest, HttpResponse, http::header::LINK};
use serde::Serialize;
use sovd_domain::Page;

const TOTAL: &str = "X-Total-Count";

/// Responds with one page of a list of `total` items, with `X-Total-Count` and `Link` (RFC 8288).
pub(crate) fn page_of(
    request: &HttpRequest,
    page: Page,
    total: i64,
    body: impl Serialize,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for header in page_headers(request, page, total) {
        response.insert_header(header);
    }
    response.json(body)
}

fn page_headers(request: &HttpRequest, page: Page, total: i64) -> Vec<(&'static str, String)> {
    let mut headers = vec![(TOTAL, total.to_string())];
    let mut links = Vec::new();
    let next = page.offset().saturating_add(page.limit());
    if next < total {
        links.push(link(request, page, next, "next"));
    }
    if page.offset() > 0 {
        links.push(link(
            request,
            page,
            page.offset().saturating_sub(page.limit()).max(0),
            "prev",
        ));
    }
    if !links.is_empty() {
        headers.push((LINK.as_str(), links.join(", ")));
    }
    headers
}

fn link(request: &HttpRequest, page: Page, offset: i64, relation: &str) -> String {
    let kept = form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| name != "limit" && name != "offset");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("limit", &page.limit().to_string())
        .append_pair("offset", &offset.to_string())
        .finish();
    format!("<{}?{query}>; rel=\"{relation}\"", request.path())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn links(offset: i64, total: i64) -> String {
        let request = TestRequest::with_uri("/vehicles?search=a%26b&offset=7").to_http_request();
        let page = Page::new(Some(10), Some(offset)).unwrap();
        let headers = page_headers(&request, page, total);
        headers
            .into_iter()
            .find(|(name, _)| *name == "link")
            .map(|(_, l)| l)
            .unwrap_or_default()
    }

    #[test]
    fn links_to_both_neighbors() {
        assert_eq!(
            links(15, 40),
            "</vehicles?search=a%26b&limit=10&offset=25>; rel=\"next\", \
             </vehicles?search=a%26b&limit=10&offset=5>; rel=\"prev\""
        );
    }

    #[test]
    fn omits_the_links_beyond_the_ends() {
        assert!(!links(0, 11).contains("prev"));
        assert!(links(0, 11).contains("next"));
        assert!(!links(10, 20).contains("next"));
        assert_eq!(links(0, 10), "");
    }
}
