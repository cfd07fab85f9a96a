use crate::effective::{Effective, Entry};
use crate::error::{Problem, SettingsError};
use crate::key::Key;
use crate::origin::{Origin, Origins, Place, Row};
use crate::{Environment, Settings, Sources, dotenv, files, rules, variables};

/// Settings together with where each of them came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The source of each value.
    pub origins: Origins,
}

impl Loaded {
    /// One row for each key: its path, its value with secrets masked, its source.
    #[must_use]
    pub fn describe(&self) -> &[Row] {
        self.origins.rows()
    }
}

pub(crate) fn load(sources: Sources) -> Result<Loaded, SettingsError> {
    let mut problems = Vec::new();
    let dir = sources.config_dir.clone();
    let given = given(sources, &mut problems);
    let environment = environment(&given);

    let mut effective = Effective::default();
    effective.extend(files::defaults(dir.as_deref(), &mut problems));
    effective.extend(Key::find(Environment::KEY).map(|key| Entry {
        key,
        value: Environment::default().as_str().into(),
        origin: Origin::Default,
    }));
    if let Some(environment) = environment {
        effective.extend(files::of_environment(
            environment,
            dir.as_deref(),
            &mut problems,
        ));
    }
    effective.extend(given);

    effective.check(&mut problems);
    rules::check(&effective, environment, &mut problems);
    if !problems.is_empty() {
        return Err(SettingsError::new(problems));
    }
    let origins = effective.rows();
    match effective.deserialize() {
        Ok(settings) => Ok(Loaded { settings, origins }),
        Err(problem) => Err(SettingsError::new(vec![problem])),
    }
}

/// What lies above the files, lowest first. It is read before them because it chooses one.
fn given(sources: Sources, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let Some(path) = sources.dotenv {
        let read = dotenv::read(&path, problems);
        entries.extend(variables::read(&read, &Place::Dotenv(path), problems));
    }
    entries.extend(variables::read(&sources.env, &Place::Environment, problems));
    for (path, value) in sources.overrides {
        let origin = Origin::Override;
        match Key::find(&path) {
            Some(key) => entries.push(Entry {
                key,
                value: value.into(),
                origin,
            }),
            None => problems.push(Problem::UnknownKey {
                key: path,
                origin: origin.to_string(),
            }),
        }
    }
    entries
}

/// `None` if the name is not accepted, which the check of the values reports.
fn environment(given: &[Entry]) -> Option<Environment> {
    match given
        .iter()
        .rfind(|entry| entry.key.path == Environment::KEY)
    {
        Some(entry) => entry.text().and_then(Environment::from_name),
        None => Some(Environment::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accepts::Accepts;

    fn with(path: &str, value: &impl ToString) -> Result<Loaded, SettingsError> {
        let overrides = [
            ("database.url", "postgres://localhost/sovd".to_owned()),
            // Wide bounds, so that no number is refused for the sake of another.
            ("connector.mock.min_delay_ms", "0".to_owned()),
            ("connector.mock.max_delay_ms", "600000".to_owned()),
            ("dispatch.first_retry_ms", "1".to_owned()),
            ("dispatch.longest_retry_ms", "3600000".to_owned()),
            ("streams.ping_seconds", "1".to_owned()),
            ("streams.idle_seconds", "86400".to_owned()),
            // What some of the algorithms ask for.
            ("auth.jwt_private_key", "x".to_owned()),
            (path, value.to_string()),
        ];
        let overrides = overrides
            .map(|(path, value)| (path.to_owned(), value))
            .into();
        load(Sources {
            overrides,
            ..Sources::default()
        })
    }

    #[test]
    fn every_number_ends_at_its_bounds_and_reaches_its_field() {
        for key in Key::all() {
            let Accepts::Whole(min, max) = key.accepts else {
                continue;
            };
            let field = key.path.rsplit('.').next().unwrap();
            for value in [min, max] {
                let shown = match with(key.path, &value) {
                    Ok(loaded) => format!("{:?}", loaded.settings),
                    Err(error) => panic!("{error}"),
                };
                assert!(
                    shown.contains(&format!("{field}: {value}")),
                    "{field} in {shown}"
                );
            }
            for value in [min - 1, max + 1] {
                let error = with(key.path, &value).unwrap_err().to_string();
                let expected = format!(
                    "{} = \"{value}\" (from override): expected a whole number from {min} to {max}",
                    key.path
                );
                assert!(error.contains(&expected), "{error}");
            }
        }
    }

    #[test]
    fn every_choice_and_switch_reaches_its_field() {
        for key in Key::all() {
            let names = match key.accepts {
                Accepts::OneOf(names) => names,
                Accepts::Switch => &["true", "false"],
                _ => continue,
            };
            // Production would ask for a better secret than the built-in one.
            for name in names
                .iter()
                .filter(|name| !["production", "test"].contains(name))
            {
                let shown = format!("{:?}", with(key.path, name).unwrap().settings).to_lowercase();
                let field = key.path.rsplit('.').next().unwrap();
                let expected = format!("{field}: {}", name.to_lowercase());
                assert!(shown.contains(&expected), "{expected} in {shown}");
            }
        }
    }
}
