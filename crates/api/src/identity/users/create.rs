use actix_web::{HttpResponse, post, web::Data};
use secrecy::SecretString;
use sovd_domain::Role;
use sovd_services::identity::users::NewUser;

use super::UserBody;
use crate::{
    extract::{Authorized, JsonBody, created},
    permissions::ManageUsers,
    problem::Problem,
    state::ApiState,
};

request_body! {
    /// A user to create.
    CreateUserRequest as body into NewUser {
        /// 1 to 50 lower-case letters, digits, `.`, `_` and `-`, starting with a letter or digit.
        #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,49}$", example = "anna")]
        username: String,
        /// An e-mail address of at most 255 characters, stored in lower case.
        #[schema(max_length = 255, format = Email, example = "anna@sovd.example.com")]
        email: String,
        /// 12 to 128 characters; not the user name or one of the 10,000 most common.
        #[schema(min_length = 12, max_length = 128, value_type = String, format = Password)]
        password: SecretString,
        /// `admin`, `engineer`, `service`, `manufacturer` or `customer`.
        #[schema(value_type = String, pattern = "^(admin|engineer|service|manufacturer|customer)$", example = "engineer")]
        role: Role,
    }
}

/// Create a user
#[utoipa::path(
    operation_id = "create_user",
    tag = "users",
    request_body = CreateUserRequest,
    responses(
        (status = 201, description = "The created user", body = UserBody,
         headers(("Location" = String))),
        (status = 409, description = "`conflict`: the name or address is taken"),
    ),
)]
#[post("")]
pub(crate) async fn create(
    caller: Authorized<ManageUsers>,
    state: Data<ApiState>,
    body: JsonBody<CreateUserRequest>,
) -> Result<HttpResponse, Problem> {
    let user = state.users.create(&caller, body.0.into()).await?;
    let location = format!("/api/v1/users/{}", user.user_id);
    Ok(created(location, UserBody::from(user)))
}
