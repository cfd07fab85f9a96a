use std::io::{Result, Write, stdout};

use sovd_app::migrate::{Count, MigrationState, SchemaCheck, audit};

pub(crate) fn print(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}")
}

pub(crate) fn print_names(operation: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return print("nothing to do");
    }
    let mut names = names.iter();
    names.try_for_each(|name| print(&format!("{operation} {name}")))
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
    for Count {
        kind,
        expected,
        found,
    } in &verification.counts
    {
        writeln!(out, "{kind:<32} {expected:>8} {found:>8}")?;
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

/// Prints what was verified, then the issues and the break.
pub(crate) fn print_audit_verification(verification: &audit::Verification) -> Result<()> {
    let mut out = stdout().lock();
    let (position, hash) = (verification.beginning.position, verification.beginning.hash);
    if position > 0 {
        writeln!(out, "pruned      up to position {position}, hash {hash}")?;
    }
    writeln!(out, "verified    {} entries", verification.entries)?;
    let (position, hash) = (verification.end.position, verification.end.hash);
    writeln!(out, "end         position {position}, hash {hash}")?;
    writeln!(out, "unsealed    {} entries", verification.unsealed)?;
    let (agreed, pruned) = (verification.checkpoints, verification.pruned_checkpoints);
    writeln!(
        out,
        "checkpoints {agreed} agree, {pruned} refer to pruned entries"
    )?;
    for issue in &verification.issues {
        writeln!(out, "\n{issue}")?;
    }
    let Some(broken) = &verification.broken else {
        return writeln!(out, "\nthe sealed entries are unchanged");
    };
    let (position, reason) = (broken.position, &broken.reason);
    let log_id = broken.log_id.map(|log_id| format!(", log_id {log_id}"));
    let log_id = log_id.unwrap_or_default();
    writeln!(out, "\nbroken at position {position}{log_id}: {reason}")
}

pub(crate) fn print_checkpoint(checkpoint: &audit::Checkpoint) -> Result<()> {
    let (position, hash) = (checkpoint.link.position, checkpoint.link.hash);
    print(&format!("signed position {position}, hash {hash}"))
}
