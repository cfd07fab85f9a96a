use actix_web::http::StatusCode;

macro_rules! codes {
    ($($name:ident = $text:literal, $status:ident, $title:literal;)+) => {
        /// The problem types.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            $($name),+
        }

        impl Code {
            /// Returns the machine-readable name.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Returns the HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// Returns the human-readable title.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", BAD_REQUEST, "Malformed request";
    NotAuthenticated = "not_authenticated", UNAUTHORIZED, "Not authenticated";
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Invalid credentials";
    TokenExpired = "token_expired", UNAUTHORIZED, "Token expired";
    TokenInvalid = "token_invalid", UNAUTHORIZED, "Token invalid";
    SessionRevoked = "session_revoked", UNAUTHORIZED, "Session revoked";
    Forbidden = "forbidden", FORBIDDEN, "Forbidden";
    AccountDisabled = "account_disabled", FORBIDDEN, "Account disabled";
    NotFound = "not_found", NOT_FOUND, "Not found";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "Request timeout";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "Payload too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type";
    Conflict = "conflict", CONFLICT, "Conflict";
    IdempotencyMismatch = "idempotency_mismatch", CONFLICT, "Idempotency mismatch";
    NotCancellable = "not_cancellable", CONFLICT, "Not cancellable";
    VehicleOffline = "vehicle_offline", CONFLICT, "Vehicle offline";
    QueueFull = "queue_full", CONFLICT, "Queue full";
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, "Validation failed";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal =  "internal", INTERNAL_SERVER_ERROR, "Internal error";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Unavailable";
}

impl Code {
    /// Returns the code for a status that a library set.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            other if other.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}
