//! The route table.

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ResourceDef,
    http::header::ALLOW,
    web::{self, Data},
};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_actix_web::{scope, service_config::ServiceConfig};

use crate::{
    agents::{activity, suspensions},
    audit, commands,
    fleet::{self, vehicles},
    health,
    identity::{auth, service_accounts, users},
    maintenance::{anomalies, bookings, insights},
    openapi,
    problem::{Code, Problem},
};

/// Registers every operation of the OpenAPI document.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            scope::scope("/api/v1/auth")
                .service(auth::tokens::login)
                .service(auth::tokens::refresh)
                .service(auth::sessions::logout)
                .service(auth::account::me)
                .service(auth::account::change_password)
                .service(auth::sessions::list)
                .service(auth::sessions::end),
        )
        .service(
            scope::scope("/api/v1/users")
                .service(users::list)
                .service(users::create::create)
                .service(users::get_user)
                .service(users::change::change)
                .service(users::delete_user),
        )
        .service(
            scope::scope("/api/v1/service-accounts")
                .service(service_accounts::list)
                .service(service_accounts::issue::create)
                .service(service_accounts::get_service_account)
                .service(service_accounts::issue::renew_key)
                .service(service_accounts::revoke),
        )
        .service(
            scope::scope("/api/v1/vehicles")
                .service(vehicles::list::list)
                .service(vehicles::create::create)
                .service(vehicles::get_vehicle)
                .service(vehicles::change::change)
                .service(vehicles::delete_vehicle)
                .service(vehicles::status)
                .service(anomalies::list::list_of_vehicle)
                .service(anomalies::report::report_of_vehicle),
        )
        .service(
            scope::scope("/api/v1/anomalies")
                .service(anomalies::list::list)
                .service(anomalies::report::report)
                .service(anomalies::get_anomaly)
                .service(anomalies::diagnoses::list)
                .service(anomalies::diagnoses::diagnose),
        )
        .service(
            scope::scope("/api/v1/commands")
                .service(commands::catalog::catalog)
                .service(commands::submit::submit)
                .service(commands::list::list)
                .service(commands::get_command)
                .service(commands::cancel)
                .service(commands::responses::responses)
                .service(commands::events::events),
        )
        .service(
            scope::scope("/api/v1/bookings")
                .service(bookings::list)
                .service(bookings::create::create)
                .service(bookings::get_booking)
                .service(bookings::change::change),
        )
        .service(
            scope::scope("/api/v1/insights")
                .service(insights::list::list)
                .service(insights::create::create)
                .service(insights::list::summary)
                .service(insights::detectors::detectors)
                .service(insights::create::derive)
                .service(insights::get_insight),
        )
        .service(
            scope::scope("/api/v1/audit-logs")
                .service(audit::list::list)
                .service(audit::export::export),
        )
        .service(
            scope::scope("/api/v1/ueba-logs")
                .service(activity::list)
                .service(activity::record),
        )
        .service(
            scope::scope("/api/v1/agent-suspensions")
                .service(suspensions::list)
                .service(suspensions::lift),
        )
        .service(commands::websocket::watch)
        .service(fleet::websocket::watch_fleet)
        .service(health::live)
        .service(health::ready)
        .service(health::health);
}

/// Registers the OpenAPI document and Swagger UI.
pub(crate) fn documentation(config: &mut web::ServiceConfig) {
    config.service(openapi::openapi_json).configure(openapi::ui);
}

/// Responds to requests that match no route: 405 if the path supports another method, else 404.
pub(crate) async fn fallback(
    request: HttpRequest,
    methods: Data<MethodTable>,
) -> Result<HttpResponse, Problem> {
    match methods.allowed(request.path()) {
        None => Err(Problem::new(
            Code::NotFound,
            "there is nothing at this path",
        )),
        Some(allowed) => Ok(HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, allowed))
            .finish()),
    }
}

/// The methods that each path of the document supports.
pub(crate) struct MethodTable(Vec<(ResourceDef, String)>);

impl MethodTable {
    pub(crate) fn of(document: &OpenApi) -> Self {
        let documented = document.paths.paths.iter();
        let documented =
            documented.map(|(path, item)| (path.as_str(), methods_of(item).join(", ")));
        let others = ["/openapi.json", "/docs/{file}*"].map(|path| (path, "GET, HEAD".to_owned()));
        let rows = documented.chain(others);
        Self(
            rows.map(|(path, methods)| (ResourceDef::new(path), methods))
                .collect(),
        )
    }

    fn allowed(&self, path: &str) -> Option<String> {
        let (_, methods) = self
            .0
            .iter()
            .find(|(resource, _)| resource.is_match(path))?;
        Some(methods.clone())
    }
}

fn methods_of(item: &PathItem) -> Vec<&'static str> {
    [
        (item.get.is_some(), "GET"),
        (item.get.is_some(), "HEAD"),
        (item.post.is_some(), "POST"),
        (item.put.is_some(), "PUT"),
        (item.patch.is_some(), "PATCH"),
        (item.delete.is_some(), "DELETE"),
    ]
    .into_iter()
    .filter_map(|(is_supported, method)| is_supported.then_some(method))
    .collect()
}
