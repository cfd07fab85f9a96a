use std::io::{Write, stderr, stdout};

use crate::{client::Engineer, job::Job, program::Program};

/// Prints a line. That nobody reads it is no failure.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Prints what comes next.
pub(crate) fn step(what: &str) {
    say(&format!("> {what}"));
}

/// Prints why it did not work.
pub(crate) fn complain(reason: &str) {
    let _ = writeln!(stderr(), "sovd-demo: {reason}");
}

/// Prints how to go on by hand.
pub(crate) fn invite(program: &Program, job: &Job) {
    let base = format!("http://{}", program.address());
    let socket = format!("ws://{}", program.address());
    let (name, password) = (Engineer::NAME, Engineer::PASSWORD);
    let vehicle_id = &job.vehicle_id;
    say(&format!(
        r#"
The server is up at {base} (documentation: {base}/docs/).
Log in as {name} / {password}, or as admin, service, manufacturer or customer, each with 123 behind
the name as the password.
PostgreSQL: {database}
Redis:      {redis}

Try it by hand:

TOKEN=$(curl -s {base}/api/v1/auth/login -H 'Content-Type: application/json' \
  -d '{{"username":"{name}","password":"{password}"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

COMMAND=$(curl -s {base}/api/v1/commands -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' \
  -d '{{"vehicle_id":"{vehicle_id}","command_name":"ReadDTC","command_params":{{"ecuAddress":"0x10"}}}}' \
  | sed 's/.*"command_id":"\([^"]*\)".*/\1/')

curl -s {base}/api/v1/commands/$COMMAND/responses -H "Authorization: Bearer $TOKEN"

With Node.js, watch it live (or again, the stream can be replayed):

npx --yes wscat -H "Authorization: Bearer $TOKEN" -c {socket}/ws/responses/$COMMAND

Ctrl-C stops everything."#,
        database = program.database_url(),
        redis = program.redis_url(),
    ));
}
