use chrono::TimeDelta;
use sovd_services::housekeeping::{self, Retention};
use tokio_util::sync::CancellationToken;

use crate::{
    rig::{Rig, within},
    scripted::Scripted,
};

/// How often it is done.
const INTERVAL: TimeDelta = TimeDelta::minutes(10);

async fn sessions(rig: &Rig) -> Vec<String> {
    let sql = "SELECT refresh_token FROM sessions ORDER BY refresh_token";
    let rows = rig.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn sessions_are_swept_once_they_have_expired() {
    let rig = Rig::new(Scripted::new()).await;
    let soon = rig.now() + TimeDelta::minutes(5);
    let sql = rig.sql().await;
    let expiring = "UPDATE sessions SET expires_at = $1 WHERE refresh_token = 'engineer'";
    sql.execute(expiring, &[&soon]).await.unwrap();
    let spent =
        "INSERT INTO spent_refresh_tokens (token_hash, session_id, spent_at, successor_salt)
                 SELECT refresh_token, session_id, now(), '' FROM sessions";
    sql.execute(spent, &[]).await.unwrap();

    let stop = CancellationToken::new();
    let running = housekeeping::run(rig.environment.clone(), Retention::default(), stop.clone());
    let running = tokio::spawn(running);
    let next = rig.now() + INTERVAL;
    within("the first round", rig.timer.awaited(next)).await;
    let others = ["admin", "customer", "manufacturer", "service"];
    assert_eq!(sessions(&rig).await.len(), others.len() + 1);
    rig.timer.advance(INTERVAL);
    let next = rig.now() + INTERVAL;
    within("the second round", rig.timer.awaited(next)).await;
    assert_eq!(sessions(&rig).await, others);
    let left = "SELECT token_hash FROM spent_refresh_tokens ORDER BY token_hash";
    let rows = sql.query(left, &[]).await.unwrap();
    let left: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, others);
    stop.cancel();
    running.await.unwrap();
}
