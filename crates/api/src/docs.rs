//! The OpenAPI document, made from the handlers.

use actix_web::{App, HttpResponse, Responder, get, web};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::routes;

/// The whole API as OpenAPI 3.1.
pub fn document() -> openapi::OpenApi {
    App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(routes::routes)
        .split_for_parts()
        .1
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
    config
        .service(web::redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json")));
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
