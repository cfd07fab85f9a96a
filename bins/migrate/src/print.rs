use std::io::{Result, Write, stdout};

use sovd_app::migrate::{MigrationState, SchemaCheck, audit};

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
pub(crate) fn schema_check(check: &SchemaCheck) -> Result<()> {
    line(&format!("{:<32} {:>8} {:>8}", "kind", "expected", "found"))?;
    for count in &check.counts {
        line(&format!(
            "{:<32} {:>8} {:>8}",
            count.kind, count.expected, count.found
        ))?;
    }
    for difference in &check.differences {
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
    match check.differences.len() {
        0 => line("\nthe schema is as the migrations define it"),
        1 => line("\n1 difference"),
        count => line(&format!("\n{count} differences")),
    }
}

/// What was checked, then what is in doubt and the first thing that is wrong.
pub(crate) fn audit_verification(verification: &audit::Verification) -> Result<()> {
    let (beginning, end) = (verification.beginning, verification.end);
    if beginning.position > 0 {
        line(&format!(
            "cut off    up to position {}, hash {}",
            beginning.position, beginning.hash
        ))?;
    }
    line(&format!("verified   {} lines", verification.lines))?;
    line(&format!(
        "end        position {}, hash {}",
        end.position, end.hash
    ))?;
    line(&format!("not sealed {} lines", verification.unsealed))?;
    line(&format!(
        "checkpoints {} agree, {} are of lines that were cut off",
        verification.checkpoints, verification.pruned_checkpoints
    ))?;
    for doubt in &verification.doubts {
        line(&format!("\n{doubt}"))?;
    }
    let Some(broken) = &verification.broken else {
        return line("\nwhat is sealed of the audit trail is as it was sealed");
    };
    let log_id = match broken.log_id {
        Some(log_id) => format!(", log_id {log_id}"),
        None => String::new(),
    };
    line(&format!(
        "\nbroken at position {}{log_id}: {}",
        broken.position, broken.reason
    ))
}

pub(crate) fn checkpoint(checkpoint: &audit::Checkpoint) -> Result<()> {
    let link = checkpoint.link;
    line(&format!(
        "signed position {}, hash {}",
        link.position, link.hash
    ))
}

fn side(definition: Option<&str>) -> &str {
    match definition {
        None => "nothing",
        Some("") => "it is there",
        Some(definition) => definition,
    }
}
