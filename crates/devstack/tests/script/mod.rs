use std::path::Path;
use std::process::Command;

/// Writes an executable shell script. Another process writes it, because a program cannot be executed
/// while a concurrent test that is forking holds it open for writing.
pub(crate) fn write_script(path: &Path, script: &str) {
    let write = r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#;
    let status = Command::new("sh")
        .args(["-c", write, "sh"])
        .arg(path)
        .arg(script)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot write {}",
        path.display()
    );
}
