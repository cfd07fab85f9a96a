use std::process::Output;

use sovd_tests::{World, within};
use tokio::process::Command;

use super::page::page;

/// The address that the documentation uses, which is that of the demo.
const DOCUMENTED: &str = "http://127.0.0.1:8080";

/// Runs the shell blocks of a page, from the one that sets `BASE` on, against a server in one shell.
async fn run(path: &str) -> Output {
    let world = World::start().await;
    let page = page(path);
    let blocks = page.shell();
    let blocks = blocks.skip_while(|block| !block.text.starts_with("BASE="));
    let text: String = blocks.map(|block| block.text.as_str()).collect();
    assert!(text.contains(DOCUMENTED), "{path} sets no BASE");
    let script = text.replace(DOCUMENTED, &format!("http://{}", world.address()));
    let mut bash = Command::new("bash");
    bash.args(["-e", "-u", "-o", "pipefail", "-c", &script])
        .kill_on_drop(true);
    let output = within(path, bash.output()).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{path}: {stdout}\n{stderr}");
    output
}

/// Fails the test unless the output of a walkthrough has each part, in this order.
fn assert_in_order(output: &Output, parts: &[&str]) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut rest = stdout.as_ref();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("{part} is missing in {rest}\nof {stdout}");
        };
        rest = after;
    }
}

async fn has_curl() -> bool {
    let version = Command::new("curl").arg("--version").output();
    let has_curl = version.await.is_ok();
    if !has_curl {
        eprintln!("not run: curl is not installed");
    }
    has_curl
}

#[tokio::test]
async fn the_main_job_of_the_readme_runs() {
    if !has_curl().await {
        return;
    }
    let output = run("README.md").await;
    let parts = [
        "TESTVIN0000000001",
        "\"status\":\"in_progress\"",
        "P0420",
        "\"status\":\"completed\"",
        "\"command_name\":\"ReadDTC\"",
    ];
    assert_in_order(&output, &parts);
}

#[tokio::test]
async fn the_maintenance_tutorial_runs() {
    if !has_curl().await {
        return;
    }
    let output = run("docs/maintenance.md").await;
    let parts = [
        "P0420",
        "\"status\":\"completed\"",
        "\"dtc_code\":\"P0420\"",
        "The catalytic converter is worn out.",
        "\"status\":\"CONFIRMED\"",
        "\"status\":\"COMPLETED\"",
        "\"outcome\":\"confirmed\"",
        "\"rule\":\"catalyst-efficiency\"",
        "\"component_name\":\"catalytic converter\"",
    ];
    assert_in_order(&output, &parts);
}
