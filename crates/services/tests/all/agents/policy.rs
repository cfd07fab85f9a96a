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

/// An agent whose key covers only reading.
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

/// Attempts to submit a command outside the scope of the key.
async fn attempt_blocked(agents: &Agents) {
    let mut caller = agent();
    let refused = agents
        .admit(&mut caller, Permission::SubmitCommands, "POST", "/x")
        .await
        .unwrap_err();
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

async fn only_suspension(bed: &TestBed) -> SuspensionId {
    let sql = "SELECT suspension_id FROM agent_suspensions";
    let row = bed.sql().await.query_one(sql, &[]).await.unwrap();
    SuspensionId(row.get(0))
}

/// Makes five blocked attempts and one more after `delay`; returns whether that suspends.
async fn suspends_after(delay: TimeDelta) -> bool {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..5 {
        attempt_blocked(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 0);
    bed.timer.advance(delay);
    attempt_blocked(&agents).await;
    count(&bed, "agent_suspensions").await == 1
}

#[tokio::test]
async fn counts_attempts_within_ten_minutes() {
    let window = TimeDelta::minutes(10);
    assert!(suspends_after(window - TimeDelta::microseconds(1)).await);
    assert!(!suspends_after(window).await);
}

#[tokio::test]
async fn lifting_clears_earlier_attempts() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        attempt_blocked(&agents).await;
    }
    let id = only_suspension(&bed).await;
    // At the time of the last attempts.
    agents.lift(&admin(), id).await.unwrap();
    bed.timer.advance(TimeDelta::microseconds(1));
    for _ in 0..5 {
        attempt_blocked(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 1);
    attempt_blocked(&agents).await;
    assert_eq!(count(&bed, "agent_suspensions").await, 2);
}

#[tokio::test]
async fn attempts_during_a_suspension_do_not_count_despite_clock_skew() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        attempt_blocked(&agents).await;
    }
    // Simulates a node whose clock is ahead.
    bed.timer.advance(TimeDelta::minutes(5));
    for _ in 0..6 {
        attempt_blocked(&agents).await;
    }
    bed.timer.advance(TimeDelta::minutes(-5));
    agents
        .lift(&admin(), only_suspension(&bed).await)
        .await
        .unwrap();
    for _ in 0..5 {
        attempt_blocked(&agents).await;
    }
    assert_eq!(count(&bed, "agent_suspensions").await, 1);
    assert_eq!(count(&bed, "ueba_logs").await, 17);
}

#[tokio::test]
async fn limits_the_log_entries_of_a_suspended_agent() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..106 {
        attempt_blocked(&agents).await;
    }
    let suspended = count(&bed, "ueba_logs").await - 6;
    assert!((60..75).contains(&suspended), "{suspended}");
}

#[tokio::test]
async fn waiting_attempts_hold_no_connections() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let database = &bed.parts.database;
    let mut lock = database.begin().await.unwrap();
    suspensions::lock_attempts(&mut lock, "engineer", "commands.submit")
        .await
        .unwrap();
    let attempts = (0..50).map(|_| {
        let agents = bed.parts.agents();
        tokio::spawn(async move { attempt_blocked(&agents).await })
    });
    let attempts: Vec<_> = attempts.collect();
    bed.wait_for_blocked(1).await;
    // One holds the lock, one waits for it.
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
async fn lifting_and_recording_are_serialized() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    for _ in 0..6 {
        attempt_blocked(&agents).await;
    }
    let id = only_suspension(&bed).await;
    let mut lock = bed.parts.database.begin().await.unwrap();
    suspensions::lock_attempts(&mut lock, "engineer", "commands.submit")
        .await
        .unwrap();
    let lift = tokio::spawn({
        let agents = bed.parts.agents();
        async move { agents.lift(&admin(), id).await }
    });
    bed.wait_for_blocked(1).await;
    let record = tokio::spawn({
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
    bed.wait_for_blocked(2).await;
    // Attempts of a suspended agent need no lock.
    within("the attempt", attempt_blocked(&agents)).await;
    assert!(!lift.is_finished() && !record.is_finished());
    lock.commit().await.unwrap();
    lift.await.unwrap().unwrap();
    record.await.unwrap().unwrap();
    // The lifting waited first, so only the record counts.
    assert_eq!(count(&bed, "blocked_attempts").await, 1);
}

#[tokio::test]
async fn counts_an_attempt_whose_caller_disconnects() {
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
    within("the entry", async {
        while count(&bed, "ueba_logs").await == 0 {}
    })
    .await;
}

#[tokio::test]
async fn truncates_a_long_path() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let agents = bed.parts.agents();
    let path = format!("/{}", "ä".repeat(511));
    for requested in [path.clone(), format!("{path}x")] {
        let mut caller = agent();
        agents
            .admit(&mut caller, Permission::ReadVehicles, "GET", &requested)
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
async fn deletes_entries_older_than_the_retention() {
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
    // Keeps entries that are exactly as old as the retention.
    run_housekeeping_with(&bed, retention).await;
    let rows = bed
        .sql()
        .await
        .query("SELECT action_type FROM ueba_logs ORDER BY 1", &[])
        .await
        .unwrap();
    let kept: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, ["1", "2"]);
}
