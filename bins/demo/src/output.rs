use std::io::{Write, stderr, stdout};

use crate::{client::Engineer, program::Program};

/// Prints a line. A closed standard output is not an error.
pub(crate) fn print(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Prints the name of the next step.
pub(crate) fn print_step(step: &str) {
    print(&format!("> {step}"));
}

/// Prints the reason of a failure.
pub(crate) fn print_error(reason: &str) {
    let _ = writeln!(stderr(), "sovd-demo: {reason}");
}

/// Prints the addresses and credentials, and commands to repeat the scenario manually.
pub(crate) fn print_instructions(program: &Program, vehicle_id: &str) {
    let base = format!("http://{}", program.address);
    let socket = format!("ws://{}", program.address);
    let (name, password) = (Engineer::NAME, Engineer::PASSWORD);
    print(&format!(
        r#"
The server is up at {base} (documentation: {base}/docs/).
Log in as {name} / {password}, or as admin, service, manufacturer or customer. The password of each is
the name followed by 123.
PostgreSQL: {database}
Redis:      {redis}

Repeat it manually:

TOKEN=$(curl -s {base}/api/v1/auth/login -H 'Content-Type: application/json' \
  -d '{{"username":"{name}","password":"{password}"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

COMMAND=$(curl -s {base}/api/v1/commands -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' \
  -d '{{"vehicle_id":"{vehicle_id}","command_name":"ReadDTC","command_params":{{"ecuAddress":"0x10"}}}}' \
  | sed 's/.*"command_id":"\([^"]*\)".*/\1/')

curl -s {base}/api/v1/commands/$COMMAND/responses -H "Authorization: Bearer $TOKEN"

With Node.js, follow the responses live or replay them:

npx --yes wscat -H "Authorization: Bearer $TOKEN" -c {socket}/ws/responses/$COMMAND

Ctrl-C stops all servers."#,
        database = program.stack.database_url(),
        redis = program.stack.redis_url(),
    ));
}
