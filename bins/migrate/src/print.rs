use std::io::{Result, Write, stdout};

use sovd_app::migrate::{MigrationState, Verification};

pub(crate) fn line(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}")
}

pub(crate) fn names(what: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return line("nothing to do");
    }
    names
        .iter()
        .try_for_each(|name| line(&format!("{what} {name}")))
}

pub(crate) fn states(states: &[MigrationState]) -> Result<()> {
    states.iter().try_for_each(|state| {
        let word = if state.applied { "applied" } else { "pending" };
        line(&format!("{word:<8} {}", state.name))
    })
}

/// A table of counts, then every difference with both sides.
pub(crate) fn verification(verification: &Verification) -> Result<()> {
    line(&format!("{:<20} {:>8} {:>8}", "kind", "expected", "found"))?;
    for count in &verification.counts {
        line(&format!(
            "{:<20} {:>8} {:>8}",
            count.kind, count.expected, count.found
        ))?;
    }
    for difference in &verification.differences {
        line(&format!(
            "\n{} {} differs",
            difference.kind, difference.name
        ))?;
        line(&format!(
            "  expected: {}",
            side(difference.expected.as_deref())
        ))?;
        line(&format!(
            "  found:    {}",
            side(difference.found.as_deref())
        ))?;
    }
    match verification.differences.len() {
        0 => line("\nthe schema is as the migrations define it"),
        1 => line("\n1 difference"),
        count => line(&format!("\n{count} differences")),
    }
}

fn side(definition: Option<&str>) -> &str {
    match definition {
        None => "nothing",
        Some("") => "it is there",
        Some(definition) => definition,
    }
}
