//! Submissions of concurrent requests, which are written together.

use futures_util::future::join_all;
use serde_json::json;
use sovd_domain::{Command, IdempotencyKey, VehicleId};
use sovd_services::{
    AuthFailure, Caller, Credential, ServiceError,
    commands::{Commands, Submission, Submitted},
};
use uuid::Uuid;

use crate::{
    fixture::{OFFLINE, TestBed, VEHICLE, engineer, submission, within},
    scripted_connector::ScriptedConnector,
};

/// The number of concurrent submissions.
const MANY: usize = 64;

async fn bed() -> TestBed {
    TestBed::new(ScriptedConnector::new()).await
}

/// Submits all at once and returns the results in the same order.
async fn submit_all(
    commands: &Commands,
    caller: &Caller,
    submissions: Vec<Submission>,
) -> Vec<Result<Submitted, ServiceError>> {
    let all = submissions
        .into_iter()
        .map(|submission| commands.submit(caller, submission));
    within("all submissions to be answered", join_all(all)).await
}

fn keyed(key: &str, submission: Submission) -> Submission {
    Submission {
        idempotency_key: Some(key.parse::<IdempotencyKey>().unwrap()),
        ..submission
    }
}

fn to(vehicle_id: VehicleId, submission: Submission) -> Submission {
    Submission {
        vehicle_id,
        ..submission
    }
}

/// Returns the number of rows that the accepted submissions left in each table.
async fn rows(bed: &TestBed) -> [i64; 3] {
    let client = bed.sql().await;
    let mut counts = [0; 3];
    for (count, table) in counts.iter_mut().zip([
        "commands",
        "command_queue",
        "audit_logs WHERE action = 'command.submit' AND result = 'done'",
    ]) {
        let sql = format!("SELECT count(*) FROM {table}");
        *count = client.query_one(&sql, &[]).await.unwrap().get(0);
    }
    counts
}

#[tokio::test]
async fn concurrent_submissions_are_queued_in_the_order_of_their_arrival() {
    let bed = bed().await;
    let submissions = vec![submission("ReadDTC"); MANY];
    let submitted = submit_all(&bed.commands, &engineer(), submissions).await;
    let ids: Vec<Uuid> = submitted
        .into_iter()
        .map(|submitted| submitted.unwrap().command.command_id.0)
        .collect();
    let sql = "SELECT command_id FROM command_queue ORDER BY position";
    let queued = bed.sql().await.query(sql, &[]).await.unwrap();
    let queued: Vec<Uuid> = queued.iter().map(|row| row.get(0)).collect();
    assert_eq!(queued, ids);
    assert_eq!(rows(&bed).await, [64; 3]);
}

#[tokio::test]
async fn refused_submissions_do_not_affect_their_neighbors() {
    let bed = bed().await;
    let first = keyed("used", submission("ReadDTC"));
    let earlier = bed
        .commands
        .submit(&engineer(), first.clone())
        .await
        .unwrap();
    let revoked = Caller {
        credential: Credential::Session(sovd_domain::SessionId(Uuid::from_u128(0xdead))),
        ..engineer()
    };
    let unusual = [
        (engineer(), first.clone()),
        (engineer(), keyed("used", submission("ReadDataByID"))),
        (engineer(), to(OFFLINE, submission("ClearDTC"))),
        (
            engineer(),
            to(VehicleId(Uuid::from_u128(0xbad)), submission("ReadDTC")),
        ),
        (revoked, submission("ReadDTC")),
    ];
    let ordinary = || std::iter::repeat_n((engineer(), submission("ReadDTC")), 20);
    let all: Vec<(Caller, Submission)> = ordinary().chain(unusual).chain(ordinary()).collect();
    let submitting = all
        .iter()
        .map(|(caller, submission)| bed.commands.submit(caller, submission.clone()));
    let mut results = within("all submissions", join_all(submitting)).await;
    let refused: Vec<_> = results.splice(20..25, []).collect();
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(it) if !it.is_replay))
    );
    let [replay, mismatch, offline, unknown, ended] = &refused[..] else {
        panic!("{refused:?}")
    };
    let Ok(Submitted {
        command: Command { command_id, .. },
        is_replay: true,
    }) = replay
    else {
        panic!("{replay:?}")
    };
    assert_eq!(*command_id, earlier.command.command_id);
    assert!(
        matches!(mismatch, Err(ServiceError::IdempotencyMismatch)),
        "{mismatch:?}"
    );
    assert!(
        matches!(offline, Err(ServiceError::VehicleOffline)),
        "{offline:?}"
    );
    assert!(
        matches!(unknown, Err(ServiceError::NotFound { .. })),
        "{unknown:?}"
    );
    let revoked = matches!(
        ended,
        Err(ServiceError::NotAuthenticated(AuthFailure::SessionRevoked))
    );
    assert!(revoked, "{ended:?}");
    assert_eq!(rows(&bed).await, [41; 3]);
}

#[tokio::test]
async fn concurrent_uses_of_one_key_create_one_command() {
    let bed = bed().await;
    let submissions = vec![keyed("same", submission("ReadDTC")); MANY];
    let submitted = submit_all(&bed.commands, &engineer(), submissions).await;
    let submitted: Vec<Submitted> = submitted.into_iter().map(Result::unwrap).collect();
    let first = submitted[0].command.command_id;
    assert!(submitted.iter().all(|it| it.command.command_id == first));
    assert_eq!(submitted.iter().filter(|it| !it.is_replay).count(), 1);
    assert_eq!(rows(&bed).await, [1; 3]);
}

#[tokio::test]
async fn a_submission_that_cannot_be_written_fails_alone() {
    let bed = bed().await;
    let poisoned = json!({ "ecuAddress": "0x99" });
    let sql = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$;
               CREATE TRIGGER refuse BEFORE INSERT ON commands FOR EACH ROW
                   WHEN (NEW.command_params ->> 'ecuAddress' = '0x99')
                   EXECUTE FUNCTION refuse();";
    bed.sql().await.batch_execute(sql).await.unwrap();
    let mut submissions = vec![submission("ReadDTC"); MANY];
    submissions[30].command_params = poisoned;
    let results = submit_all(&bed.commands, &engineer(), submissions).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), number == 30, "{number}: {result:?}");
    }
    assert_eq!(rows(&bed).await, [63; 3]);
}

#[tokio::test]
async fn a_locked_vehicle_delays_no_other() {
    let bed = bed().await;
    bed.connect(OFFLINE).await;
    let client = bed.sql().await;
    let lock = "BEGIN; SELECT FROM vehicles WHERE vehicle_id = '00000000-0000-0000-0000-000000000101' FOR UPDATE";
    client.batch_execute(lock).await.unwrap();
    let caller = engineer();
    let blocked = bed
        .commands
        .submit(&caller, to(VEHICLE, submission("ReadDTC")));
    tokio::pin!(blocked);
    let others = submit_all(
        &bed.commands,
        &caller,
        vec![to(OFFLINE, submission("ReadDTC")); MANY],
    );
    tokio::select! {
        biased;
        submitted = &mut blocked => panic!("{submitted:?}"),
        others = others => assert!(others.iter().all(Result::is_ok)),
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    within("the blocked submission", blocked).await.unwrap();
    assert_eq!(rows(&bed).await, [65; 3]);
}

#[tokio::test]
async fn two_processes_submit_to_the_same_vehicles_without_a_deadlock() {
    let bed = bed().await;
    bed.connect(OFFLINE).await;
    let other = bed.parts.commands();
    let caller = engineer();
    for _ in 0..20 {
        let there = [VEHICLE, OFFLINE].repeat(16);
        let back: Vec<VehicleId> = there.iter().rev().copied().collect();
        let submissions = |vehicles: Vec<VehicleId>| {
            vehicles
                .into_iter()
                .map(|id| to(id, submission("ReadDTC")))
                .collect()
        };
        let (one, two) = tokio::join!(
            submit_all(&bed.commands, &caller, submissions(there)),
            submit_all(&other, &caller, submissions(back)),
        );
        assert!(one.iter().chain(&two).all(Result::is_ok), "{one:?} {two:?}");
    }
    assert_eq!(rows(&bed).await, [20 * 64; 3]);
}

#[tokio::test]
async fn submissions_beyond_the_queue_are_refused_at_once() {
    let bed = bed().await;
    let client = bed.sql().await;
    // The first batch cannot begin to write, so that all others wait.
    client
        .batch_execute("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let caller = engineer();
    let submitting = submit_all(&bed.commands, &caller, vec![submission("ReadDTC"); 10_000]);
    let release = async {
        sovd_devstack::wait_for_blocked(&client, 1).await;
        client.batch_execute("ROLLBACK").await.unwrap();
    };
    let (results, ()) = tokio::join!(submitting, release);
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(ServiceError::Unavailable(_))))
        .count();
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(refused + accepted, 10_000);
    assert!((1024..=1024 + 128).contains(&accepted), "{accepted}");
    assert_eq!(rows(&bed).await, [i64::try_from(accepted).unwrap(); 3]);
}
