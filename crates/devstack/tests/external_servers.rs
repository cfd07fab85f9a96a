//! `devstack up` with servers that the environment names.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sovd_devstack::{Postgres, SearchPath};

#[test]
fn up_prints_the_servers_of_the_environment() {
    let postgres = Postgres::start(&SearchPath::system()).unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_sovd-devstack"))
        .arg("up")
        .env("DATABASE_URL", postgres.url())
        .env("REDIS_URL", "redis://127.0.0.1:1/0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(up.stdout.take().unwrap()).lines().take(2);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    up.kill().unwrap();
    up.wait().unwrap();
    let expected = [
        format!("DATABASE_URL={}", postgres.url()),
        "REDIS_URL=redis://127.0.0.1:1/0".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn up_rejects_an_invalid_url_with_one_line() {
    let up = Command::new(env!("CARGO_BIN_EXE_sovd-devstack"))
        .arg("up")
        .env("DATABASE_URL", "host=localhost")
        .env("REDIS_URL", "redis://127.0.0.1:1/0")
        .output()
        .unwrap();
    assert!(!up.status.success());
    let error = String::from_utf8(up.stderr).unwrap();
    assert_eq!(
        error,
        "devstack: DATABASE_URL must look like postgres://user:password@host:port/database\n"
    );
}
