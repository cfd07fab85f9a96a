use thiserror::Error;

/// A text that is not a value of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{word:?} is not a {what}: expected one of {accepted}")]
pub struct UnknownText {
    /// The name of the enumeration, such as `role`.
    pub what: &'static str,
    /// The text.
    pub word: String,
    /// The accepted values, separated by commas.
    pub accepted: &'static str,
}

/// Declares an enumeration whose values have one text in JSON, in the database and in messages.
///
/// `strum` could derive most of this, but not an error that lists the accepted values, and every enumeration
/// would repeat five derives and two attributes.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $name:ident, $what:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $text)] $variant ),+
        }

        impl $name {
            /// Every value in order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// Returns the text of the value.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $text ),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text_enum::UnknownText;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err($crate::text_enum::UnknownText {
                        what: $what,
                        word: word.to_owned(),
                        accepted: $crate::text_enum::joined!($($text),+),
                    }),
                }
            }
        }
    };
}

macro_rules! joined {
    ($first:literal $(, $rest:literal)*) => {
        concat!($first $(, ", ", $rest)*)
    };
}

pub(crate) use joined;
pub(crate) use text_enum;
