use sovd_domain::ClientInfo;
use sovd_storage::identity::sessions::{
    self,
    spent::{self, SpentToken},
};

use crate::{
    fixture::{Fleet, at},
    identity::sessions::{id, logged_in},
};

fn token() -> SpentToken {
    SpentToken {
        session_id: id(1),
        spent_at: at(10),
        successor_salt: vec![1, 2, 3],
        client: ClientInfo {
            ip_address: Some("192.0.2.1".parse().unwrap()),
            user_agent: None,
        },
    }
}

async fn with_spent_token() -> Fleet {
    let fleet = logged_in().await;
    spent::insert(&mut *fleet.connection().await, "spent", &token())
        .await
        .unwrap();
    fleet
}

#[tokio::test]
async fn finds_a_spent_token_with_its_user() {
    let fleet = with_spent_token().await;
    let mut connection = fleet.connection().await;
    let found = spent::find(&mut connection, "spent").await.unwrap();
    assert_eq!(found, Some((token(), fleet.engineer)));
    assert_eq!(spent::find(&mut connection, "old").await.unwrap(), None);
}

#[tokio::test]
async fn is_deleted_with_its_session() {
    let fleet = with_spent_token().await;
    let mut connection = fleet.connection().await;
    sessions::end(&mut connection, fleet.engineer, id(1))
        .await
        .unwrap();
    assert_eq!(spent::find(&mut connection, "spent").await.unwrap(), None);
    assert_eq!(fleet.count("spent_refresh_tokens").await, 0);
}
