use std::time::Duration;

use serde_json::json;
use sovd_tests::{CONNECTED, World, within};

#[tokio::test]
async fn two_hundred_concurrent_commands_complete() {
    let world = World::with(|settings| {
        settings.database.pool_size = 5;
        settings.database.pool_overflow = 10;
    })
    .await;
    let engineer = world.log_in("engineer").await;
    let body = json!({
        "vehicle_id": CONNECTED, "command_name": "ReadDTC",
        "command_params": { "ecuAddress": "0x10" },
    });
    let jobs = (0..200).map(|_| async {
        let command = engineer.post("/api/v1/commands", &body).await.expect(201);
        let (events, closing) = engineer
            .watch(command["command_id"].as_str().unwrap())
            .await;
        assert_eq!(closing.code, 1000);
        assert_eq!(events.last().unwrap()["status"], "completed");
    });
    futures_util::future::join_all(jobs).await;

    let sql = world.sql().await;
    let counts = sql
        .query_one(
            "SELECT count(*) FILTER (WHERE status = 'completed'), count(*) FROM commands",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (counts.get::<_, i64>(0), counts.get::<_, i64>(1)),
        (200, 200)
    );
    let gaps = sql
        .query(
            "SELECT command_id FROM responses GROUP BY command_id \
             HAVING count(*) <> max(sequence_number) OR count(*) FILTER (WHERE is_final) <> 1",
            &[],
        )
        .await
        .unwrap();
    assert!(gaps.is_empty());

    // A connection in use would be in a transaction or a query.
    let count = async |condition: &str| {
        let connections = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND pid <> pg_backend_pid() AND {condition}"
        );
        sql.query_one(&connections, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    within("the connections to be idle", async {
        while count("state <> 'idle'").await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let open = count("true").await;
    assert!(open <= 17, "{open} is more than the pool and two listeners");
}
