use std::time::Duration;

use chrono::TimeDelta;
use sovd_domain::{AgentActionStatus, Permission, Scope, SuspensionId};
use sovd_services::{
    Caller, Credential, ServiceError,
    agents::{Agents, Block, NewAgentAction},
    housekeeping::Retention,
};
use sovd_storage::agents::suspensions;

use crate::{
    audit::sealing::run_housekeeping_with,
    fixture::{TestBed, admin, engineer, within},
    scripted_connector::ScriptedConnector,
};

/// A machine whose key opens reading, and who is allowed nothing more.
fn agent() -> Caller {
    Caller {
        credential: Credential::ApiKey("hash".to_owned()),
        scope: Some(Scope {
            permissions: vec![Permission::ReadVehicles],
            vehicle_ids: None,
        }),
        ..engineer()
    }
}

/// Tries in vain to send a command.
async fn try_in_vain(agents: &Agents) {
    let mut caller = agent();
    let attempt = agents.admit(&mut caller, Permission::SubmitCommands, "POST", "/x");
    let refused = attempt.await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::Blocked(Block::NotCovered)),
        "{refused:?}"
    );
    assert_eq!(caller.admitted, []);
}

async fn count(bed: &TestBed, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    bed.sql().await.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Gives `()` once so many transactions wait for a lock.
async fn until_waiting(bed: &TestBed, transactions: i64) {
    let sql = bed.sql().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    within("transactions to wait", async {
        while sql.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != transactions {}
    })
    .await;
}

async fn only_suspension(bed: &TestBed) -> SuspensionId {
    let sql = "SELECT suspension_id FROM agent_suspensions";
    let row = bed.sql().await.query_one(sql, &[]).await.unwrap();
    SuspensionId(row.get(0))
}

/// Tries five times in vain, then once more after a while; says whether that suspends.
async fn suspends_after(pause: TimeDelta) -> bool {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..5 {
        try_in_vain(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 0);
    bed.timer.advance(pause);
    try_in_vain(&agents).await;
    count(&bed, "agent_suspensions").await == 1
}

#[tokio::test]
async fn attempts_count_for_ten_minutes_and_no_longer() {
    let window = TimeDelta::minutes(10);
    assert!(suspends_after(window - TimeDelta::microseconds(1)).await);
    assert!(!suspends_after(window).await);
}

#[tokio::test]
async fn what_was_tried_until_the_lifting_does_not_count_after_it() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        try_in_vain(&agents).await;
    }
    let id = only_suspension(&bed).await;
    // At the very moment of the last attempts.
    agents.lift(&admin(), id).await.unwrap();
    bed.timer.advance(TimeDelta::microseconds(1));
    for _ in 0..5 {
        try_in_vain(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 1);
    try_in_vain(&agents).await;
    assert_eq!(count(&bed, "agent_suspensions").await, 2);
}

#[tokio::test]
async fn what_a_suspension_blocks_does_not_count_whatever_a_clock_says() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        try_in_vain(&agents).await;
    }
    // A node whose clock is ahead.
    bed.timer.advance(TimeDelta::minutes(5));
    for _ in 0..6 {
        try_in_vain(&agents).await;
    }
    bed.timer.advance(TimeDelta::minutes(-5));
    agents
        .lift(&admin(), only_suspension(&bed).await)
        .await
        .unwrap();
    for _ in 0..5 {
        try_in_vain(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 1);
    assert_eq!(count(&bed, "ueba_logs").await, 17);
}

#[tokio::test]
async fn what_a_suspended_agent_tries_does_not_fill_the_log() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..106 {
        try_in_vain(&agents).await;
    }
    let suspended = count(&bed, "ueba_logs").await - 6;
    assert!((60..75).contains(&suspended), "{suspended}");
}

#[tokio::test]
async fn attempts_that_wait_to_be_counted_leave_connections_to_others() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let database = &bed.parts.database;
    let mut lock = database.begin().await.unwrap();
    suspensions::lock(&mut lock, "engineer", "commands.submit")
        .await
        .unwrap();
    let attempts = (0..50).map(|_| {
        let agents = bed.parts.agents();
        tokio::spawn(async move { try_in_vain(&agents).await })
    });
    let attempts: Vec<_> = attempts.collect();
    until_waiting(&bed, 1).await;
    // The lock, the one attempt that waits for it, and those that are being looked at.
    within("the others to queue", async {
        while database.connections_in_use() > 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    database.ping().await.unwrap();
    assert_eq!(count(&bed, "ueba_logs").await, 0);
    lock.commit().await.unwrap();
    for attempt in attempts {
        attempt.await.unwrap();
    }
    assert_eq!(count(&bed, "ueba_logs").await, 50);
    assert_eq!(count(&bed, "agent_suspensions").await, 1);
}

#[tokio::test]
async fn a_lifting_and_what_is_recorded_meanwhile_wait_for_each_other() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        try_in_vain(&agents).await;
    }
    let id = only_suspension(&bed).await;
    let mut lock = bed.parts.database.begin().await.unwrap();
    suspensions::lock(&mut lock, "engineer", "commands.submit")
        .await
        .unwrap();
    let lifting = tokio::spawn({
        let agents = bed.parts.agents();
        async move { agents.lift(&admin(), id).await }
    });
    until_waiting(&bed, 1).await;
    let recording = tokio::spawn({
        let agents = bed.parts.agents();
        let new = NewAgentAction {
            agent_name: "engineer".to_owned(),
            action_type: "commands.submit".to_owned(),
            source_node: None,
            target_node: None,
            status: AgentActionStatus::Blocked,
        };
        async move { agents.record(&admin(), new).await }
    });
    until_waiting(&bed, 2).await;
    // What a suspended agent tries itself needs no lock.
    within("the attempt", try_in_vain(&agents)).await;
    assert!(!lifting.is_finished() && !recording.is_finished());
    lock.commit().await.unwrap();
    lifting.await.unwrap().unwrap();
    recording.await.unwrap().unwrap();
    // The first to wait was the lifting, so that the record counts and nothing before it.
    assert_eq!(count(&bed, "blocked_attempts").await, 1);
}

#[tokio::test]
async fn an_attempt_counts_also_when_whoever_tried_does_not_wait() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    let mut caller = agent();
    tokio::select! {
        biased;
        outcome = agents.admit(&mut caller, Permission::SubmitCommands, "POST", "/x") => {
            panic!("too fast: {outcome:?}")
        }
        () = std::future::ready(()) => {}
    }
    within("the line", async {
        while count(&bed, "ueba_logs").await == 0 {}
    })
    .await;
}

#[tokio::test]
async fn a_long_path_is_cut_off() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    let path = format!("/{}", "ä".repeat(511));
    for tried in [path.clone(), format!("{path}x")] {
        let mut caller = agent();
        agents
            .admit(&mut caller, Permission::ReadVehicles, "GET", &tried)
            .await
            .unwrap();
        assert_eq!(caller.admitted, [Permission::ReadVehicles]);
    }
    let sql = "SELECT target_node FROM ueba_logs";
    let rows = bed.sql().await.query(sql, &[]).await.unwrap();
    let targets: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(targets, vec![format!("GET {path}"); 2]);
}

#[tokio::test]
async fn the_log_is_kept_as_long_as_it_is_said() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let write = "INSERT INTO ueba_logs (agent_name, action_type, status, timestamp)
                 SELECT 'monitor', n::text, 'ALLOWED', $1::timestamptz - interval '1 day' * n
                 FROM generate_series(1, 3) n";
    bed.sql().await.execute(write, &[&bed.now()]).await.unwrap();
    run_housekeeping_with(&bed, Retention::default()).await;
    assert_eq!(count(&bed, "ueba_logs").await, 3);
    let retention = Retention {
        agents: Some(Duration::from_hours(48)),
        ..Retention::default()
    };
    // What is exactly as old as that stays.
    run_housekeeping_with(&bed, retention).await;
    let rows = bed
        .sql()
        .await
        .query("SELECT action_type FROM ueba_logs ORDER BY 1", &[])
        .await
        .unwrap();
    let left: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, ["1", "2"]);
}
