use sovd_domain::Role;
use sovd_storage::{StorageError, users};

use crate::fleet::Fleet;

#[tokio::test]
async fn credentials_are_found_by_the_exact_name() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    let found = users::credentials_of(&mut connection, "engineer").await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.user.user_id, fleet.engineer);
    assert_eq!(found.user.username, "engineer");
    assert_eq!(found.user.email, "engineer@example.com");
    assert_eq!(found.user.role, Role::Engineer);
    assert_eq!(found.password_hash, "hash of engineer");
    for name in ["Engineer", "engineer ", "engineer@example.com", "%", ""] {
        let found = users::credentials_of(&mut connection, name).await.unwrap();
        assert!(found.is_none(), "{name:?}");
    }
}

#[tokio::test]
async fn an_unreadable_row_is_named() {
    let fleet = Fleet::new().await;
    fleet
        .client
        .batch_execute(
            "ALTER TABLE users DROP CONSTRAINT chk_users_role;
             UPDATE users SET role = 'wizard'",
        )
        .await
        .unwrap();
    let mut connection = fleet.connection().await;
    let found = users::credentials_of(&mut connection, "engineer").await;
    match found.err().unwrap() {
        StorageError::CorruptRow {
            table,
            column,
            row,
            reason,
        } => {
            assert_eq!((table, column), ("users", "role"));
            assert_eq!(row, fleet.engineer.to_string());
            assert!(reason.contains("wizard"), "{reason}");
        }
        error => panic!("{error:?}"),
    }
}
