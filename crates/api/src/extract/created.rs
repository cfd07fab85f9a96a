use actix_web::{HttpResponse, http::header::LOCATION};
use serde::Serialize;

/// Responds with the created resource `body` at the path `location`.
pub(crate) fn created(location: String, body: impl Serialize) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(body)
}
