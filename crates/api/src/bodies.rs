//! Bodies that are declared together with their conversion from or to a type of the services.
//!
//! A field with `= value` has that value after the conversion. Any other field has the value of the field
//! with the same name.

/// Declares a response body `$Body` and `From<$Source>`.
macro_rules! response_body {
    (
        $(#[$($attribute:tt)+])*
        $Body:ident from $source:ident: $Source:ty {
            $( $(#[$($field_attribute:tt)+])* $field:ident: $Field:ty $(= $value:expr)?, )+
        }
    ) => {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        $(#[$($attribute)+])*
        pub(crate) struct $Body {
            $( $(#[$($field_attribute)+])* $field: $Field, )+
        }

        impl From<$Source> for $Body {
            fn from($source: $Source) -> Self {
                Self { $( $field: converted!($source.$field $(, $value)?), )+ }
            }
        }
    };
}

/// Declares a request body `$Body`, whose unknown fields are rejected, and its conversion into `$Target`.
macro_rules! request_body {
    (
        $(#[$($attribute:tt)+])*
        $Body:ident as $body:ident into $Target:ident {
            $( $(#[$($field_attribute:tt)+])* $field:ident: $Field:ty $(= $value:expr)?, )+
        }
    ) => {
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$($attribute)+])*
        pub(crate) struct $Body {
            $( $(#[$($field_attribute)+])* $field: $Field, )+
        }

        impl From<$Body> for $Target {
            fn from($body: $Body) -> Self {
                Self { $( $field: converted!($body.$field $(, $value)?), )+ }
            }
        }
    };
}

macro_rules! converted {
    ($same:expr) => {
        $same
    };
    ($same:expr, $value:expr) => {
        $value
    };
}
