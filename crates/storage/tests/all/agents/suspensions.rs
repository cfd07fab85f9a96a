use sovd_domain::{Listing, Suspension, SuspensionId};
use sovd_storage::{
    StorageError,
    agents::suspensions::{self, SuspensionFilter},
    identity::users,
};
use uuid::Uuid;

use crate::{
    fixture::{Fleet, at, page},
    waiting::{wait_until_blocked, within_deadline},
};

const AGENT: (&str, &str) = ("monitor", "commands.submit");

/// A suspension of `monitor` from submitting commands.
pub(crate) fn suspension(number: u128, seconds: i64) -> Suspension {
    Suspension {
        suspension_id: SuspensionId(Uuid::from_u128(number)),
        agent_name: AGENT.0.to_owned(),
        action_type: AGENT.1.to_owned(),
        blocked_attempts: 6,
        suspended_at: at(seconds),
        lifted_at: None,
        lifted_by: None,
    }
}

async fn insert(fleet: &Fleet, suspension: &Suspension) -> bool {
    let mut connection = fleet.connection().await;
    suspensions::insert(&mut connection, suspension)
        .await
        .unwrap()
}

async fn lift(fleet: &Fleet, number: u128, seconds: i64) -> bool {
    let mut connection = fleet.connection().await;
    let id = SuspensionId(Uuid::from_u128(number));
    suspensions::lift(&mut connection, id, fleet.engineer, at(seconds))
        .await
        .unwrap()
}

#[tokio::test]
async fn allows_one_active_suspension_per_agent_and_action() {
    let fleet = Fleet::new().await;
    assert!(insert(&fleet, &suspension(1, 0)).await);
    assert!(!insert(&fleet, &suspension(2, 1)).await);
    let other_kind = Suspension {
        action_type: "vehicles.read".to_owned(),
        ..suspension(3, 2)
    };
    assert!(insert(&fleet, &other_kind).await);
    assert!(lift(&fleet, 1, 3).await);
    assert!(insert(&fleet, &suspension(4, 4)).await);
    assert_eq!(fleet.count("agent_suspensions").await, 3);
}

#[tokio::test]
async fn lifts_once_and_records_the_admin() {
    let fleet = Fleet::new().await;
    insert(&fleet, &suspension(1, 0)).await;
    let mut connection = fleet.connection().await;
    let (agent, action) = AGENT;
    let active = suspensions::is_active(&mut connection, agent, action).await;
    assert!(active.unwrap());

    assert!(lift(&fleet, 1, 5).await);
    assert!(!lift(&fleet, 1, 6).await);
    assert!(!lift(&fleet, 2, 6).await);
    let active = suspensions::is_active(&mut connection, agent, action).await;
    assert!(!active.unwrap());
    let id = SuspensionId(Uuid::from_u128(1));
    let mut expected = Suspension {
        lifted_at: Some(at(5)),
        lifted_by: Some(fleet.engineer),
        ..suspension(1, 0)
    };
    let found = suspensions::find(&mut connection, id).await.unwrap();
    assert_eq!(found, Some(expected.clone()));
    users::delete(&mut connection, fleet.engineer)
        .await
        .unwrap();
    expected.lifted_by = None;
    let found = suspensions::find(&mut connection, id).await.unwrap();
    assert_eq!(found, Some(expected));
}

#[tokio::test]
async fn lists_newest_first_filtered_by_agent_and_state() {
    let fleet = Fleet::new().await;
    insert(&fleet, &suspension(1, 10)).await;
    lift(&fleet, 1, 15).await;
    insert(&fleet, &suspension(2, 20)).await;
    let robot = Suspension {
        agent_name: "robot".to_owned(),
        ..suspension(3, 30)
    };
    insert(&fleet, &robot).await;
    let mut connection = fleet.connection().await;
    let of_monitor = Some("monitor".to_owned());
    for (agent_name, is_active, expected) in [
        (None, None, vec![3, 2, 1]),
        (of_monitor.clone(), None, vec![2, 1]),
        (None, Some(true), vec![3, 2]),
        (None, Some(false), vec![1]),
        (of_monitor, Some(true), vec![2]),
    ] {
        let filter = SuspensionFilter {
            agent_name,
            is_active,
        };
        let Listing {
            items: found,
            total,
            ..
        } = suspensions::list(&mut connection, &filter, page(10, 0))
            .await
            .unwrap();
        let numbers: Vec<u128> = found
            .iter()
            .map(|suspension| suspension.suspension_id.0.as_u128())
            .collect();
        assert_eq!(numbers, expected, "{filter:?}");
        assert_eq!(total, i64::try_from(expected.len()).unwrap());
    }
    let everything = SuspensionFilter::default();
    let Listing {
        items: page, total, ..
    } = suspensions::list(&mut connection, &everything, page(1, 1))
        .await
        .unwrap();
    assert_eq!((page, total), (vec![suspension(2, 20)], 3));
}

#[tokio::test]
async fn locks_attempts_per_agent_and_action() {
    let fleet = Fleet::new().await;
    let mut first = fleet.pool.begin().await.unwrap();
    suspensions::lock_attempts(&mut first, AGENT.0, AGENT.1)
        .await
        .unwrap();
    for (agent, action) in [("robot", AGENT.1), (AGENT.0, "vehicles.read")] {
        let mut other = fleet.pool.begin().await.unwrap();
        within_deadline(suspensions::lock_attempts(&mut other, agent, action))
            .await
            .unwrap();
        other.rollback().await.unwrap();
    }
    let mut second = fleet.pool.begin().await.unwrap();
    let waiting = tokio::spawn(async move {
        suspensions::lock_attempts(&mut second, AGENT.0, AGENT.1).await?;
        second.rollback().await
    });
    wait_until_blocked(&fleet, 1).await;
    assert!(!waiting.is_finished());
    first.commit().await.unwrap();
    within_deadline(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn suspensions_and_changes_wait_for_each_other() {
    let fleet = Fleet::new().await;
    let mut changes = Vec::new();
    for _ in 0..2 {
        let mut change = fleet.pool.begin().await.unwrap();
        let permitted =
            within_deadline(suspensions::lock_action_type(&mut change, AGENT.0, AGENT.1)).await;
        assert!(permitted.unwrap());
        changes.push(change);
    }
    let mut transaction = fleet.pool.begin().await.unwrap();
    let suspending = tokio::spawn(async move {
        suspensions::lock_changes(&mut transaction, AGENT.0, AGENT.1).await?;
        suspensions::insert(&mut transaction, &suspension(1, 0)).await?;
        Ok::<_, StorageError>(transaction)
    });
    wait_until_blocked(&fleet, 1).await;
    for change in changes {
        assert!(!suspending.is_finished());
        change.commit().await.unwrap();
    }
    let suspended = within_deadline(suspending).await.unwrap().unwrap();

    let mut late = fleet.pool.begin().await.unwrap();
    let changing = tokio::spawn(async move {
        let permitted = suspensions::lock_action_type(&mut late, AGENT.0, AGENT.1).await;
        late.rollback().await.map(|()| permitted)
    });
    wait_until_blocked(&fleet, 1).await;
    let mut other = fleet.pool.begin().await.unwrap();
    // The changes lock does not delay attempts.
    within_deadline(suspensions::lock_attempts(&mut other, AGENT.0, AGENT.1))
        .await
        .unwrap();
    for (agent, action) in [("robot", AGENT.1), (AGENT.0, "vehicles.read")] {
        let permitted =
            within_deadline(suspensions::lock_action_type(&mut other, agent, action)).await;
        assert!(permitted.unwrap());
    }
    suspended.commit().await.unwrap();
    assert!(!within_deadline(changing).await.unwrap().unwrap().unwrap());
}
