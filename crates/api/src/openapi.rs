//! The OpenAPI document, made from the handlers.

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{
    App, HttpResponse, Responder, get,
    http::header::ContentEncoding,
    web::{self, Bytes},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Content, Object, OpenApi as OpenApiDocument, PathItem, Ref, RefOr, Response,
        ResponseBuilder, Schema, Type,
        path::{Operation, Parameter, ParameterIn},
        schema::SchemaType,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::Config;

use crate::{
    problem::{Code, Problem},
    routes,
};

/// The whole API as OpenAPI 3.1.
pub fn document() -> OpenApiDocument {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    let (_, mut document) = app.configure(routes::routes).split_for_parts();
    for operation in document.paths.paths.values_mut().flat_map(operations_of) {
        add_common_problems(operation);
        narrow_parameters(operation);
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

/// A status, the code of its problem and a reason for it.
type Reason = (&'static str, &'static str, &'static str);

/// Adds the problems that an operation shares with all others of its kind. A status that the handler
/// documents itself keeps the handler's description.
fn add_common_problems(operation: &mut Operation) {
    let mut descriptions: BTreeMap<&str, String> = BTreeMap::new();
    for (status, code, reason) in common_problems(operation) {
        descriptions
            .entry(status)
            .and_modify(|description| {
                description.push_str("; ");
                description.push_str(reason);
            })
            .or_insert_with(|| format!("`{code}`: {reason}"));
    }
    for (status, description) in descriptions {
        let answer = operation.responses.responses.entry(status.to_owned());
        answer.or_insert_with(|| problem(&description).into());
    }
}

fn common_problems(operation: &Operation) -> Vec<Reason> {
    let mut problems = vec![("500", "internal", "the fault is ours")];
    if is_socket(operation) {
        // Once the handshake is done, the close reason says what is wrong.
        return problems;
    }
    let is_secured = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    if is_secured || has_body {
        problems.extend(OF_DATA);
    }
    if is_secured {
        problems.extend(OF_CALLERS);
    }
    if takes(operation, &ParameterIn::Path) {
        problems.extend(OF_PATHS);
    }
    if takes(operation, &ParameterIn::Query) {
        problems.extend(OF_QUERIES);
    }
    if has_body {
        problems.extend(OF_BODIES);
    }
    if !problems.iter().any(|(status, ..)| *status == "400") {
        problems.push((
            "400",
            "malformed_request",
            "the body is not framed properly",
        ));
    }
    problems
}

/// Operations that ask the database.
const OF_DATA: [Reason; 2] = [
    (
        "429",
        "rate_limited",
        "too much at once; `Retry-After` says when",
    ),
    (
        "503",
        "unavailable",
        "the database is unavailable; `Retry-After` says when",
    ),
];

/// Operations that need a token. Every one of them has a permission, and for each permission there
/// are keys of agents without it, so all of them answer 403.
const OF_CALLERS: [Reason; 3] = [
    (
        "400",
        "malformed_request",
        "more than one `Authorization` header",
    ),
    (
        "401",
        "not_authenticated",
        "no token is sent, or another code says what is wrong with it",
    ),
    (
        "403",
        "forbidden",
        "the role does not have the permission, or the key of an agent does not open it",
    ),
];

/// Operations with an id in their path.
const OF_PATHS: [Reason; 2] = [
    ("400", "malformed_request", "the id is not a UUID"),
    ("404", "not_found", "or it is not for the caller to see"),
];

/// Operations with parameters in their query.
const OF_QUERIES: [Reason; 2] = [
    (
        "400",
        "malformed_request",
        "an unknown or unreadable parameter",
    ),
    (
        "422",
        "validation_failed",
        "a parameter is empty or out of range",
    ),
];

/// Operations that take a body.
const OF_BODIES: [Reason; 5] = [
    ("400", "malformed_request", "the body is not JSON"),
    ("408", "request_timeout", "the body came too slowly"),
    ("413", "payload_too_large", "the body is too large"),
    (
        "415",
        "unsupported_media_type",
        "not `application/json`, or compressed",
    ),
    ("422", "validation_failed", "each bad field is named"),
];

fn is_socket(operation: &Operation) -> bool {
    operation.responses.responses.contains_key("101")
}

fn takes(operation: &Operation, place: &ParameterIn) -> bool {
    parameters_of(operation).any(|parameter| parameter.parameter_in == *place)
}

fn parameters_of(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    let parameters = operation.parameters.iter().flatten();
    parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// Makes the schemas of parameters say what holds for all of them: an empty value in a query is
/// refused, and a header is never null.
fn narrow_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
            continue;
        };
        match parameter.parameter_in {
            ParameterIn::Query if is_any_text(schema) => schema.min_length = Some(1),
            ParameterIn::Header => leave_null_out(&mut schema.schema_type),
            _ => {}
        }
    }
}

fn is_any_text(schema: &Object) -> bool {
    let is_text = matches!(schema.schema_type, SchemaType::Type(Type::String));
    let is_narrow =
        schema.format.is_some() || schema.pattern.is_some() || schema.enum_values.is_some();
    is_text && !is_narrow
}

fn leave_null_out(schema_type: &mut SchemaType) {
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn problem(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", body)
        .build()
}

/// The document as it is served; all responses share its bytes.
pub(crate) struct Document(pub(crate) Bytes);

/// `/openapi.json`
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: web::Data<Document>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document.0.clone())
}

/// Swagger UI at `/docs`, from the binary.
pub(crate) fn ui(config: &mut web::ServiceConfig) {
    let swagger = Config::from("/openapi.json").validator_url("none");
    config
        .app_data(web::Data::new(swagger))
        .service(web::redirect("/docs", "/docs/"))
        .service(ui_file);
}

/// A file of Swagger UI. The files are part of the program, and responses share their bytes: the service
/// that the library brings copies up to 1.5 MB for each request.
#[get("/docs/{file:.*}")]
async fn ui_file(
    file: web::Path<String>,
    config: web::Data<Config<'static>>,
) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&file, config.into_inner()).map_err(|error| Problem {
        cause: Some(error.to_string()),
        ..Problem::new(Code::Internal, "the documentation cannot be shown")
    })?;
    let Some(file) = found else {
        let detail = "the documentation has no such file";
        return Err(Problem::new(Code::NotFound, detail));
    };
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response
        .content_type(file.content_type)
        .body(match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        }))
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
        (name = "users", description = "The people who may log in"),
        (name = "service accounts", description = "Machines that call with a key"),
        (name = "vehicles", description = "The fleet"),
        (name = "commands", description = "Sending commands and looking at them"),
        (name = "anomalies", description = "What is not as it should be with vehicles, and why"),
        (name = "bookings", description = "Appointments of vehicles in workshops"),
        (name = "streams", description = "Watching commands"),
        (name = "insights", description = "What failures over the fleet tell"),
        (name = "agents", description = "What machines do that call with a key"),
        (name = "audit", description = "Who did what"),
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
            .description(Some(
                "An access token, or the key of a service account (`sovd_…`)",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
