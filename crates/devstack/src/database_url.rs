use crate::error::StackError;

/// The same server and login with another database.
///
/// # Errors
///
/// [`StackError::DatabaseUrl`] when it is not of the form `postgres://…`.
pub(crate) fn with_database(url: &str, database: &str) -> Result<String, StackError> {
    let (scheme, rest) = url.split_once("://").ok_or(StackError::DatabaseUrl)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(StackError::DatabaseUrl);
    }
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let (server, _) = place.split_once('/').unwrap_or((place, ""));
    Ok(format!("{scheme}://{server}/{database}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_changes() {
        for (url, expected) in [
            (
                "postgres://sovd@127.0.0.1:5433/postgres",
                "postgres://sovd@127.0.0.1:5433/x",
            ),
            ("postgresql://a:b@db", "postgresql://a:b@db/x"),
            (
                "postgres://a:b@db/old?sslmode=disable",
                "postgres://a:b@db/x?sslmode=disable",
            ),
            (
                "postgres://db?connect_timeout=3",
                "postgres://db/x?connect_timeout=3",
            ),
        ] {
            assert_eq!(with_database(url, "x").unwrap(), expected);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for url in ["host=localhost user=sovd", "mysql://db/x", ""] {
            assert!(matches!(
                with_database(url, "x"),
                Err(StackError::DatabaseUrl)
            ));
        }
    }
}
