//! The OpenAPI document, generated from the handlers.

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{
    App, HttpResponse, Responder, get,
    http::header::ContentEncoding,
    web::{self, Bytes},
};
use utoipa::{
    Modify, OpenApi, PartialSchema,
    openapi::{
        self, Content, Header, Object, OpenApi as OpenApiDocument, PathItem, Ref, RefOr, Response,
        Schema, Type,
        path::{Operation, Parameter, ParameterIn},
        schema::SchemaType,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::Config;

use crate::{
    problem::{Code, Problem, ProblemBody},
    routes,
};

/// Returns the OpenAPI 3.1 document.
pub fn document() -> OpenApiDocument {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    let (_, mut document) = app.configure(routes::routes).split_for_parts();
    for operation in document.paths.paths.values_mut().flat_map(operations_of) {
        require_token(operation);
        add_page_headers(operation);
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

/// Adds the bearer token to all operations but those with `security(())`.
fn require_token(operation: &mut Operation) {
    let is_public = operation.security.take().is_some();
    if !is_public {
        let no_scopes: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new("bearer", no_scopes)]);
    }
}

/// Adds the headers of a page to the lists.
fn add_page_headers(operation: &mut Operation) {
    if !parameters_of(operation).any(|parameter| parameter.name == "offset") {
        return;
    }
    if let Some(RefOr::T(page)) = operation.responses.responses.get_mut("200") {
        for (name, schema) in [
            ("X-Total-Count", i64::schema()),
            ("X-Total-Count-Capped", bool::schema()),
            ("Link", String::schema()),
        ] {
            let header = RefOr::T(Header::new(schema));
            page.headers.insert(name.to_owned(), header);
        }
    }
}

/// A problem and its condition.
type Reason = (Code, &'static str);

/// Adds the problems that all operations of a kind share, and the schema of all problems. The handler's
/// own description of a status takes precedence.
fn add_common_problems(operation: &mut Operation) {
    let mut descriptions: BTreeMap<u16, String> = BTreeMap::new();
    for (code, reason) in common_problems(operation) {
        descriptions
            .entry(code.status().as_u16())
            .and_modify(|description| {
                description.push_str("; ");
                description.push_str(reason);
            })
            .or_insert_with(|| format!("`{}`: {reason}", code.as_str()));
    }
    for (status, description) in descriptions {
        let response = operation.responses.responses.entry(status.to_string());
        response.or_insert_with(|| Response::new(description).into());
    }
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response)
            && response.content.is_empty()
        {
            let body = Content::new(Some(Ref::from_schema_name("Problem")));
            let media_type = "application/problem+json".to_owned();
            response.content.insert(media_type, RefOr::T(body));
        }
    }
}

fn common_problems(operation: &Operation) -> Vec<Reason> {
    let mut problems = vec![(Code::Internal, "the server failed")];
    if is_socket(operation) {
        // After the handshake, errors are close reasons.
        return problems;
    }
    let is_secured = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    if is_secured || has_body {
        problems.extend(FOR_DATABASE);
    }
    if is_secured {
        problems.extend(FOR_CALLERS);
    }
    if has_parameter(operation, &ParameterIn::Path) {
        problems.extend(FOR_PATHS);
    }
    if has_parameter(operation, &ParameterIn::Query) {
        problems.extend(FOR_QUERIES);
    }
    if has_body {
        problems.extend(FOR_BODIES);
    }
    if !problems
        .iter()
        .any(|(code, _)| *code == Code::MalformedRequest)
    {
        problems.push((Code::MalformedRequest, "the framing of the body is invalid"));
    }
    problems
}

/// Problems of operations that use the database.
const FOR_DATABASE: [Reason; 2] = [
    (
        Code::RateLimited,
        "too many concurrent requests; retry after `Retry-After`",
    ),
    (
        Code::Unavailable,
        "the database is unavailable; retry after `Retry-After`",
    ),
];

/// Problems of operations that require a token. Each requires a permission that some API keys lack, so
/// each can return 403.
const FOR_CALLERS: [Reason; 3] = [
    (
        Code::MalformedRequest,
        "more than one `Authorization` header",
    ),
    (
        Code::NotAuthenticated,
        "the token is missing, or invalid as stated by another code",
    ),
    (
        Code::Forbidden,
        "the role or the API key lacks the permission",
    ),
];

/// Problems of operations with an id in the path.
const FOR_PATHS: [Reason; 2] = [
    (Code::MalformedRequest, "the id is not a UUID"),
    (
        Code::NotFound,
        "the resource does not exist or is concealed from the caller",
    ),
];

/// Problems of operations with query parameters.
const FOR_QUERIES: [Reason; 2] = [
    (Code::MalformedRequest, "an unknown or malformed parameter"),
    (
        Code::ValidationFailed,
        "a parameter is empty or out of range",
    ),
];

/// Problems of operations with a request body.
const FOR_BODIES: [Reason; 5] = [
    (Code::MalformedRequest, "the body is not JSON"),
    (Code::RequestTimeout, "the body arrived too slowly"),
    (Code::PayloadTooLarge, "the body is too large"),
    (
        Code::UnsupportedMediaType,
        "not `application/json`, or compressed",
    ),
    (
        Code::ValidationFailed,
        "the response names the invalid fields",
    ),
];

fn is_socket(operation: &Operation) -> bool {
    operation.responses.responses.contains_key("101")
}

fn has_parameter(operation: &Operation, location: &ParameterIn) -> bool {
    parameters_of(operation).any(|parameter| parameter.parameter_in == *location)
}

fn parameters_of(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    let parameters = operation.parameters.iter().flatten();
    parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// Adds to the schemas what holds for all parameters: query parameters are not empty, and headers are not
/// null.
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
            ParameterIn::Header => exclude_null(&mut schema.schema_type),
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

fn exclude_null(schema_type: &mut SchemaType) {
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// The serialized document. All responses share its bytes.
pub(crate) struct Document(pub(crate) Bytes);

/// `/openapi.json`
#[get("/openapi.json")]
pub(crate) async fn openapi_json(document: web::Data<Document>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document.0.clone())
}

/// Registers Swagger UI, which is embedded in the program, at `/docs`.
pub(crate) fn ui(config: &mut web::ServiceConfig) {
    let swagger = Config::from("/openapi.json").validator_url("none");
    config
        .app_data(web::Data::new(swagger))
        .service(web::redirect("/docs", "/docs/"))
        .service(ui_file);
}

/// Serves a file of Swagger UI. All responses share its bytes; the library's own service copies up to
/// 1.5 MB per request.
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
        description = "Remote vehicle diagnostics: the fleet, SOVD commands (ISO 17978) and streams \
                       of their responses.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "auth", description = "Login, sessions and passwords"),
        (name = "users", description = "User accounts"),
        (name = "service accounts", description = "Machine accounts that authenticate with an API key"),
        (name = "vehicles", description = "The fleet"),
        (name = "commands", description = "Submission, cancellation and results of commands"),
        (name = "anomalies", description = "Anomalies of vehicles and their diagnoses"),
        (name = "bookings", description = "Workshop appointments"),
        (name = "streams", description = "Live events of commands and of the fleet"),
        (name = "insights", description = "Failure patterns across the fleet"),
        (name = "agents", description = "Activity and suspensions of service accounts"),
        (name = "audit", description = "The audit trail"),
        (name = "health", description = "Liveness and readiness"),
    ),
    components(schemas(ProblemBody)),
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
                "An access token, or the API key of a service account (`sovd_…`)",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
