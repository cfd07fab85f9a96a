use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, dev::Payload, http::header::LINK,
};
use serde::{Serialize, de::DeserializeOwned};
use sovd_domain::{FieldError, Page, paging::InvalidPage};
use utoipa::IntoParams;

use super::{
    deferral::{Deferred, deferred},
    query_params::parse,
};
use crate::problem::{Code, Problem};

const TOTAL: &str = "X-Total-Count";

/// Declares the parameters of a list: the given filters and those that select the page. The two
/// descriptions of the latter are optional.
macro_rules! list_query {
    ($(#[$($attribute:tt)+])* $Query:ident { $($filters:tt)* }) => {
        list_query! {
            $(#[$($attribute)+])*
            $Query { $($filters)* }
            "Maximum number of items: 1 to 100; default 50."
            "Number of items to skip: 0 or more; default 0."
        }
    };
    ($(#[$($attribute:tt)+])* $Query:ident { $($filters:tt)* } $limit:tt $offset:tt) => {
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        $(#[$($attribute)+])*
        pub(crate) struct $Query {
            $($filters)*
            #[doc = $limit]
            #[param(minimum = 1, maximum = 100)]
            limit: Option<i64>,
            #[doc = $offset]
            #[param(minimum = 0)]
            offset: Option<i64>,
        }

        impl $crate::extract::Paged for $Query {
            fn page(&self) -> Result<sovd_domain::Page, sovd_domain::paging::InvalidPage> {
                sovd_domain::Page::new(self.limit, self.offset)
            }
        }
    };
}
pub(crate) use list_query;

/// The parameters of a list, which [`list_query!`] declares.
pub(crate) trait Paged: DeserializeOwned + IntoParams + 'static {
    /// Returns the requested page.
    fn page(&self) -> Result<Page, InvalidPage>;
}

/// A request for one page of a list.
pub(crate) struct ListQuery<Q> {
    /// The parameters.
    pub(crate) query: Q,
    /// The requested page and the response with it.
    pub(crate) paging: Paging,
}

/// The requested page of a list.
pub(crate) struct Paging {
    pub(crate) page: Page,
    request: HttpRequest,
}

impl<Q: Paged> FromRequest for ListQuery<Q> {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let list = parse(request.query_string()).and_then(|query: Q| {
            let page = query.page().map_err(invalid)?;
            let request = request.clone();
            let paging = Paging { page, request };
            Ok(Self { query, paging })
        });
        deferred(request, list)
    }
}

fn invalid(error: InvalidPage) -> Problem {
    let pointer = match error {
        InvalidPage::Limit => "/limit",
        InvalidPage::Offset => "/offset",
    };
    let errors = vec![FieldError::new(pointer, error.to_string())];
    Problem::with_fields(Code::ValidationFailed, errors)
}

impl Paging {
    /// Responds with the items of the page and the total of the list.
    pub(crate) fn respond<T, B: From<T> + Serialize>(
        &self,
        (items, total): (Vec<T>, i64),
    ) -> HttpResponse {
        let bodies: Vec<B> = items.into_iter().map(B::from).collect();
        self.response(total).json(bodies)
    }

    /// Starts a response with one page of a list of `total` items, with `X-Total-Count` and `Link`
    /// (RFC 8288).
    pub(crate) fn response(&self, total: i64) -> HttpResponseBuilder {
        let mut response = HttpResponse::Ok();
        for header in page_headers(&self.request, self.page, total) {
            response.insert_header(header);
        }
        response
    }
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
