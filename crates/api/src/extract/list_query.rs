use std::marker::PhantomData;

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, dev::Payload, http::header::LINK,
};
use serde::{Serialize, de::DeserializeOwned};
use sovd_domain::{
    FieldError, Listing, Page,
    paging::{InvalidPage, KeyOf, SortKey},
};
use utoipa::IntoParams;

use super::{
    deferral::{Deferred, deferred},
    query_params::parse,
};
use crate::problem::{Code, Problem};

const TOTAL: &str = "X-Total-Count";
const TOTAL_IS_CAPPED: &str = "X-Total-Count-Capped";

/// Declares the parameters of a list: the given filters and those that select the page. A list in the order
/// of a [`SortKey`] has a cursor, too. The descriptions of the limit and the offset are optional.
macro_rules! list_query {
    ($(#[$($attribute:tt)+])* $Query:ident { $($filters:tt)* } $($descriptions:tt)*) => {
        list_query! {
            @declare
            $(#[$($attribute)+])*
            $Query by sovd_domain::paging::NoKey { $($filters)* }
            {}
            |_| None;
            $($descriptions)*
        }
    };
    (
        $(#[$($attribute:tt)+])* $Query:ident by $Key:ident { $($filters:tt)* }
        $($descriptions:tt)*
    ) => {
        list_query! {
            @declare
            $(#[$($attribute)+])*
            $Query by sovd_domain::paging::$Key { $($filters)* }
            {
                /// Start after the last row of another page: the `cursor` of its `next` link. Not with
                /// `offset`.
                #[param(max_length = 64)]
                cursor: Option<String>,
            }
            |query| query.cursor.as_deref();
            $($descriptions)*
        }
    };
    (
        @declare $(#[$($attribute:tt)+])* $Query:ident by $Key:ty { $($filters:tt)* }
        { $($cursor:tt)* } |$query:pat_param| $get_cursor:expr;
    ) => {
        list_query! {
            @declare
            $(#[$($attribute)+])*
            $Query by $Key { $($filters)* }
            { $($cursor)* }
            |$query| $get_cursor;
            "Maximum number of items: 1 to 100; default 50."
            "Number of items to skip: 0 or more; default 0."
        }
    };
    (
        @declare $(#[$($attribute:tt)+])* $Query:ident by $Key:ty { $($filters:tt)* }
        { $($cursor:tt)* } |$query:pat_param| $get_cursor:expr;
        $limit:literal $offset:literal
    ) => {
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
            $($cursor)*
        }

        impl $crate::extract::Paged for $Query {
            type Key = $Key;

            fn page(
                &self,
            ) -> Result<sovd_domain::Page<$Key>, sovd_domain::paging::InvalidPage> {
                let $query = self;
                sovd_domain::Page::from_query(self.limit, self.offset, $get_cursor)
            }
        }
    };
}
pub(crate) use list_query;

/// The parameters of a list, which [`list_query!`] declares.
pub(crate) trait Paged: DeserializeOwned + IntoParams + 'static {
    /// The key by which the list is ordered.
    type Key: SortKey;

    /// Returns the requested page.
    fn page(&self) -> Result<Page<Self::Key>, InvalidPage>;
}

/// A request for one page of a list.
pub(crate) struct ListQuery<Q: Paged> {
    /// The parameters.
    pub(crate) query: Q,
    /// The requested page.
    pub(crate) page: Page<Q::Key>,
    /// The response with the page.
    pub(crate) paging: Paging<Q::Key>,
}

/// Responds with the requested page of a list.
pub(crate) struct Paging<K> {
    request: HttpRequest,
    limit: i64,
    /// `None` if the client gave no offset.
    offset: Option<i64>,
    key: PhantomData<K>,
}

impl<Q: Paged> FromRequest for ListQuery<Q> {
    type Error = Problem;
    type Future = Deferred<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let list = parse(request.query_string()).and_then(|query: Q| {
            let page = query.page().map_err(invalid)?;
            let paging = Paging::new(request.clone(), &page);
            Ok(Self {
                query,
                page,
                paging,
            })
        });
        deferred(request, list)
    }
}

fn invalid(error: InvalidPage) -> Problem {
    let pointer = match error {
        InvalidPage::Limit => "/limit",
        InvalidPage::Offset => "/offset",
        InvalidPage::Cursor | InvalidPage::CursorWithOffset => "/cursor",
    };
    let errors = vec![FieldError::new(pointer, error.to_string())];
    Problem::with_fields(Code::ValidationFailed, errors)
}

impl<K> Paging<K> {
    fn new(request: HttpRequest, page: &Page<K>) -> Self {
        Self {
            request,
            limit: page.limit(),
            offset: page.has_offset().then(|| page.offset()),
            key: PhantomData,
        }
    }

    /// Returns the maximum number of items.
    pub(crate) fn limit(&self) -> i64 {
        self.limit
    }

    /// Returns the number of items skipped.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.unwrap_or(0)
    }

    /// Responds with the items of the page.
    pub(crate) fn respond<T, B: From<T> + Serialize>(&self, listing: Listing<T>) -> HttpResponse
    where
        K: KeyOf<T>,
    {
        let mut response = self.response(&listing);
        let bodies: Vec<B> = listing.items.into_iter().map(B::from).collect();
        response.json(bodies)
    }

    /// Starts a response with a page, with `X-Total-Count` and `Link` (RFC 8288).
    pub(crate) fn response<T>(&self, listing: &Listing<T>) -> HttpResponseBuilder
    where
        K: KeyOf<T>,
    {
        let mut response = HttpResponse::Ok();
        response.insert_header((TOTAL, listing.total.to_string()));
        if listing.total_is_capped {
            response.insert_header((TOTAL_IS_CAPPED, "true"));
        }
        let links: Vec<String> = [self.next(listing), self.previous()]
            .into_iter()
            .flatten()
            .collect();
        if !links.is_empty() {
            response.insert_header((LINK, links.join(", ")));
        }
        response
    }

    /// Returns the link to the next page: by cursor, unless the client gave an offset or the list has no
    /// cursors.
    fn next<T>(&self, listing: &Listing<T>) -> Option<String>
    where
        K: KeyOf<T>,
    {
        if !listing.has_more {
            return None;
        }
        let key = listing.items.last().and_then(K::of);
        Some(if let (None, Some(key)) = (self.offset, key) {
            self.link("next", "cursor", &key.to_cursor())
        } else {
            let next = self.offset().saturating_add(self.limit);
            self.link("next", "offset", &next.to_string())
        })
    }

    fn previous(&self) -> Option<String> {
        let offset = self.offset.filter(|&offset| offset > 0)?;
        let previous = offset.saturating_sub(self.limit).max(0);
        Some(self.link("prev", "offset", &previous.to_string()))
    }

    fn link(&self, relation: &str, start: &str, value: &str) -> String {
        let kept = form_urlencoded::parse(self.request.query_string().as_bytes())
            .filter(|(name, _)| !["limit", "offset", "cursor"].contains(&&**name));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("limit", &self.limit.to_string())
            .append_pair(start, value)
            .finish();
        format!("<{}?{query}>; rel=\"{relation}\"", self.request.path())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use sovd_domain::{
        Response,
        paging::{NoKey, ResponseKey},
    };

    use super::*;

    const URI: &str = "/vehicles?search=a%26b&offset=7&cursor=old";

    /// Returns the `Link` of a page of 10 of 40 items.
    fn links<K: KeyOf<T>, T>(page: &Page<K>, items: Vec<T>, has_more: bool) -> String {
        let request = TestRequest::with_uri(URI).to_http_request();
        let listing = Listing {
            items,
            total: 40,
            total_is_capped: false,
            has_more,
        };
        let response = Paging::new(request, page).response(&listing).finish();
        let link = response.headers().get(LINK);
        link.map(|link| link.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    fn at_offset<K>(offset: i64) -> Page<K> {
        Page::new(Some(10), Some(offset)).unwrap()
    }

    fn chunk(sequence_number: i32) -> Response {
        Response {
            response_id: sovd_domain::ResponseId(uuid::Uuid::nil()),
            command_id: sovd_domain::CommandId(uuid::Uuid::nil()),
            response_payload: serde_json::Value::Null,
            sequence_number,
            is_final: false,
            received_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn links_to_both_neighbors() {
        assert_eq!(
            links::<NoKey, ()>(&at_offset(15), vec![], true),
            "</vehicles?search=a%26b&limit=10&offset=25>; rel=\"next\", \
             </vehicles?search=a%26b&limit=10&offset=5>; rel=\"prev\""
        );
    }

    #[test]
    fn omits_the_links_beyond_the_ends() {
        let links = |offset, has_more| links::<NoKey, ()>(&at_offset(offset), vec![], has_more);
        assert!(!links(0, true).contains("prev"));
        assert!(links(0, true).contains("next"));
        assert!(!links(10, false).contains("next"));
        assert_eq!(links(0, false), "");
    }

    #[test]
    fn links_by_cursor_unless_the_client_gave_an_offset() {
        let chunks = || vec![chunk(8), chunk(9)];
        let cursor = ResponseKey(9).to_cursor();
        let by_cursor = format!("</vehicles?search=a%26b&limit=10&cursor={cursor}>; rel=\"next\"");
        let first: Page<ResponseKey> = Page::new(Some(10), None).unwrap();
        let later = Page::after(Some(10), ResponseKey(7)).unwrap();
        for page in [first, later] {
            assert_eq!(links(&page, chunks(), true), by_cursor);
            assert_eq!(links(&page, chunks(), false), "");
        }
        let by_offset = links::<ResponseKey, _>(&at_offset(0), chunks(), true);
        assert_eq!(
            by_offset,
            "</vehicles?search=a%26b&limit=10&offset=10>; rel=\"next\""
        );
    }

    #[test]
    fn marks_a_capped_total() {
        for total_is_capped in [false, true] {
            let request = TestRequest::with_uri(URI).to_http_request();
            let page: Page = Page::new(None, None).unwrap();
            let listing = Listing::<()> {
                items: vec![],
                total: 10_000,
                total_is_capped,
                has_more: false,
            };
            let response = Paging::new(request, &page).response(&listing).finish();
            assert_eq!(response.headers().get(TOTAL).unwrap(), "10000");
            let mark = response.headers().get(TOTAL_IS_CAPPED);
            assert_eq!(mark.is_some_and(|mark| mark == "true"), total_is_capped);
        }
    }
}
