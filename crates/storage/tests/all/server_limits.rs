use diesel::{sql_query, sql_types::Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use sovd_storage::{StorageError, commands::queue};

use crate::commands::queue::claimed;

#[derive(diesel::QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    setting: String,
}

/// A client that dies silently must not keep its locks for hours.
#[tokio::test]
async fn sets_timeouts_on_the_server() {
    let (fleet, ..) = claimed().await;
    let mut connection = fleet.connection().await;
    for (name, value) in [
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ] {
        let row: Setting = sql_query("SELECT current_setting($1) AS setting")
            .bind::<Text, _>(name)
            .get_result(&mut *connection)
            .await
            .unwrap();
        assert_eq!(row.setting, value, "{name}");
    }
}

#[tokio::test]
async fn an_idle_transaction_releases_its_locks() {
    let (fleet, _, first) = claimed().await;
    let mut idle = fleet.pool.begin().await.unwrap();
    idle.batch_execute("SET idle_in_transaction_session_timeout = '50ms'")
        .await
        .unwrap();
    assert!(queue::hold(&mut idle, &first).await.unwrap());
    let mut other = fleet.pool.begin().await.unwrap();
    assert!(queue::hold(&mut other, &first).await.unwrap());
    assert!(matches!(
        idle.commit().await,
        Err(StorageError::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_lock_timeout_is_reported_as_unavailable() {
    let (fleet, _, first) = claimed().await;
    let mut holder = fleet.pool.begin().await.unwrap();
    assert!(queue::hold(&mut holder, &first).await.unwrap());
    for limit in ["lock_timeout", "statement_timeout"] {
        let mut waiting = fleet.pool.begin().await.unwrap();
        let sql = format!("SET LOCAL {limit} = '50ms'");
        waiting.batch_execute(&sql).await.unwrap();
        let error = queue::hold(&mut waiting, &first).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    }
}
