//! The OpenAPI document, made from the handlers.

use actix_web::{App, HttpResponse, Responder, get, web};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Content, OpenApi as OpenApiDocument, PathItem, Ref, Response, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::routes;

/// The whole API as OpenAPI 3.1.
pub fn document() -> OpenApiDocument {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    let (_, mut document) = app.configure(routes::routes).split_for_parts();
    for operation in document.paths.paths.values_mut().flat_map(operations_of) {
        add_common_problems(operation);
    }
    document
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        post,
        put,
        patch,
        delete,
        ..
    } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// The problems that an operation shares with all others of its kind.
fn add_common_problems(operation: &mut Operation) {
    let mut problems = vec![("500", "`internal`: the fault is ours")];
    if operation.security.is_some() {
        problems.push((
            "429",
            "`rate_limited`: too much at once; `Retry-After` says when",
        ));
    }
    if operation.security.is_some() || operation.request_body.is_some() {
        problems.push((
            "503",
            "`unavailable`: the database is away; `Retry-After` says when",
        ));
    }
    if operation.request_body.is_some() {
        problems.extend([
            ("400", "`malformed_request`: not JSON"),
            ("413", "`payload_too_large`"),
            ("415", "`unsupported_media_type`: not `application/json`"),
            ("422", "`validation_failed`: each bad field is named"),
        ]);
    }
    for (status, description) in problems {
        let answers = &mut operation.responses.responses;
        answers
            .entry(status.to_owned())
            .or_insert_with(|| problem(description).into());
    }
}

fn problem(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", body)
        .build()
}

/// The document as it is served.
pub(crate) struct Document(pub(crate) String);

/// `/openapi.json`
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: web::Data<Document>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document.0.clone())
}

/// Swagger UI at `/docs`, from the binary.
pub(crate) fn ui(config: &mut web::ServiceConfig) {
    config.service(web::redirect("/docs", "/docs/")).service(
        SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json").validator_url("none")),
    );
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "SOVD Command",
        description = "Remote vehicle diagnostics: the fleet, SOVD commands (ISO 17978) and their \
                       answers, live.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "auth", description = "Logging in and out"),
        (name = "vehicles", description = "The fleet"),
        (name = "commands", description = "Sending commands and looking at them"),
        (name = "streams", description = "Watching commands"),
        (name = "health", description = "Signs of life"),
    ),
    modifiers(&Bearer),
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
