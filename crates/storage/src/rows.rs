//! Conversion between rows and entities.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types::BigInt};
use serde_json::Value;
use sovd_domain::{
    AgentActionId, AgentActionStatus, AnomalyId, AuditResult, BookingStatus, CommandId,
    CommandStatus, ConnectionStatus, DiagnosisId, FailureKind, Finding, InsightId, Outcome,
    Permission, ResponseId, Role, Severity, SuspensionId, UserId, VehicleId, VehicleType, Vin,
};
use uuid::Uuid;

use crate::{Result, StorageError};

/// A value that one column contains.
pub(crate) trait Stored: Sized {
    /// The type of the column.
    type Column;

    /// Converts the value for an insertion.
    fn store(&self) -> Self::Column;

    /// Converts the content of a column, or returns why it is invalid.
    fn restore(column: Self::Column) -> Result<Self, String>;
}

macro_rules! stored {
    ($($type:ty),+ as $column:ty; $value:ident => $store:expr, $restore:expr) => {
        $(impl Stored for $type {
            type Column = $column;

            fn store(&self) -> $column {
                let $value = self;
                $store
            }

            fn restore($value: $column) -> Result<Self, String> {
                $restore
            }
        })+
    };
}

stored!(bool, i32, i64, f64, DateTime<Utc> as Self; value => *value, Ok(value));
stored!(String, Value as Self; value => value.clone(), Ok(value));
stored!(
    AgentActionId, AnomalyId, CommandId, DiagnosisId, InsightId, ResponseId, SuspensionId, UserId,
    VehicleId as Uuid; id => id.0, Ok(Self(id))
);
stored!(
    AgentActionStatus, AuditResult, BookingStatus, CommandStatus, ConnectionStatus, FailureKind,
    Finding, Outcome, Permission, Role, Severity, VehicleType, Vin as String;
    text => text.as_str().to_owned(), text.parse().map_err(|error| format!("{error}"))
);

impl<T: Stored> Stored for Option<T> {
    type Column = Option<T::Column>;

    fn store(&self) -> Self::Column {
        self.as_ref().map(T::store)
    }

    fn restore(column: Self::Column) -> Result<Self, String> {
        column.map(T::restore).transpose()
    }
}

/// The row of a statement that only counts.
#[derive(QueryableByName)]
pub(crate) struct Counted {
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}

/// Restores the value of a column from the row with this primary key.
pub(crate) fn restore<T: Stored>(
    column: T::Column,
    table: &'static str,
    name: &'static str,
    key: Uuid,
) -> Result<T> {
    T::restore(column).map_err(|reason| StorageError::corrupt(table, name, key, reason))
}

/// Defines the row of a table for an entity whose fields are columns of the same name, and the conversions
/// between row and entity. The primary key is in brackets.
macro_rules! row {
    (
        $(#[$meta:meta])* $visibility:vis $row:ident of $table:ident[$key:ident] for $entity:ident {
            $($field:ident: $type:ty),+ $(,)?
        }
    ) => {
        #[derive(diesel::Queryable, diesel::Selectable, diesel::Insertable)]
        #[diesel(table_name = $table, check_for_backend(diesel::pg::Pg))]
        #[diesel(treat_none_as_default_value = false)]
        $(#[$meta])*
        $visibility struct $row {
            $($field: <$type as $crate::rows::Stored>::Column),+
        }

        impl TryFrom<$row> for $entity {
            type Error = $crate::StorageError;

            fn try_from(row: $row) -> Result<Self, Self::Error> {
                use $crate::rows::restore;
                let key = row.$key;
                Ok(Self {
                    $($field: restore(row.$field, stringify!($table), stringify!($field), key)?),+
                })
            }
        }

        impl From<&$entity> for $row {
            fn from(entity: &$entity) -> Self {
                Self {
                    $($field: $crate::rows::Stored::store(&entity.$field)),+
                }
            }
        }
    };
}

pub(crate) use row;
