use sovd_domain::Role;
use sovd_storage::{StorageError, identity::users};

use crate::fixture::Fleet;

#[tokio::test]
async fn finds_credentials_by_exact_name() {
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
async fn replaces_only_the_current_hash() {
    let fleet = Fleet::new().await;
    fleet.user("other").await;
    let mut connection = fleet.connection().await;
    let mut replace = async |old: &str, new: &str| {
        let replaced = users::replace_hash(&mut connection, fleet.engineer, old, new).await;
        replaced.unwrap()
    };
    assert!(replace("hash of engineer", "dearer").await);
    assert!(!replace("hash of engineer", "late").await);
    assert!(!replace("hash of other", "late").await);
    for (name, hash) in [("engineer", "dearer"), ("other", "hash of other")] {
        let found = users::credentials_of(&mut connection, name).await;
        assert_eq!(found.unwrap().unwrap().password_hash, hash);
    }
}

#[tokio::test]
async fn corrupt_row_error_names_table_column_and_row() {
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
