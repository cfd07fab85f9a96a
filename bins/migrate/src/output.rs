use std::io::{Result, Write, stdout};

use sovd_app::migrate::{MigrationState, SchemaCheck, audit};

pub(crate) fn print(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}")
}

pub(crate) fn print_names(operation: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return print("nothing to do");
    }
    names
        .iter()
        .try_for_each(|name| print(&format!("{operation} {name}")))
}

pub(crate) fn print_states(states: &[MigrationState]) -> Result<()> {
    states.iter().try_for_each(|state| {
        let word = if state.applied { "applied" } else { "pending" };
        print(&format!("{word:<8} {}", state.name))
    })
}

/// Prints a table of counts, then both sides of every difference.
pub(crate) fn print_schema_check(verification: &SchemaCheck) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{:<32} {:>8} {:>8}", "kind", "expected", "found")?;
    for count in &verification.counts {
        writeln!(
            out,
            "{:<32} {:>8} {:>8}",
            count.kind, count.expected, count.found
        )?;
    }
    for difference in &verification.differences {
        let expected = definition_or_state(difference.expected.as_deref());
        let found = definition_or_state(difference.found.as_deref());
        writeln!(out, "\n{} {} differs", difference.kind, difference.name)?;
        writeln!(out, "  expected: {expected}")?;
        writeln!(out, "  found:    {found}")?;
    }
    match verification.differences.len() {
        0 => writeln!(out, "\nthe schema is as the migrations define it"),
        1 => writeln!(out, "\n1 difference"),
        count => writeln!(out, "\n{count} differences"),
    }
}

fn definition_or_state(definition: Option<&str>) -> &str {
    match definition {
        None => "missing",
        Some("") => "present",
        Some(definition) => definition,
    }
}

/// Prints what was verified, then the warnings and the first error.
pub(crate) fn print_audit_verification(verification: &audit::Verification) -> Result<()> {
    let (beginning, end) = (verification.beginning, verification.end);
    let mut out = stdout().lock();
    if beginning.position > 0 {
        writeln!(
            out,
            "pruned      up to position {}, hash {}",
            beginning.position, beginning.hash
        )?;
    }
    writeln!(out, "verified    {} entries", verification.entries)?;
    writeln!(
        out,
        "end         position {}, hash {}",
        end.position, end.hash
    )?;
    writeln!(out, "unsealed    {} entries", verification.unsealed)?;
    writeln!(
        out,
        "checkpoints {} agree, {} refer to pruned entries",
        verification.checkpoints, verification.pruned_checkpoints
    )?;
    for doubt in &verification.doubts {
        writeln!(out, "\n{doubt}")?;
    }
    let Some(broken) = &verification.broken else {
        return writeln!(out, "\nthe sealed entries are unchanged");
    };
    let log_id = broken.log_id.map(|log_id| format!(", log_id {log_id}"));
    writeln!(
        out,
        "\nbroken at position {}{}: {}",
        broken.position,
        log_id.unwrap_or_default(),
        broken.reason
    )
}

pub(crate) fn print_checkpoint(checkpoint: &audit::Checkpoint) -> Result<()> {
    let link = checkpoint.link;
    print(&format!(
        "signed position {}, hash {}",
        link.position, link.hash
    ))
}
