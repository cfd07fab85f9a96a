use sovd_domain::{AgentAction, AgentActionId, AgentActionStatus, Listing, SuspensionId};
use sovd_storage::agents::{
    activity::{self, AgentActionFilter},
    suspensions,
};
use uuid::Uuid;

use crate::{
    agents::suspensions::suspension,
    fixture::{Fleet, at, counted, page},
};

/// A blocked attempt of `monitor` to submit a command, at `at(seconds)`.
pub(crate) fn attempt(number: u128, seconds: i64) -> AgentAction {
    AgentAction {
        id: AgentActionId(Uuid::from_u128(number)),
        agent_name: "monitor".to_owned(),
        action_type: "commands.submit".to_owned(),
        source_node: Some("192.0.2.1".to_owned()),
        target_node: Some("POST /api/v1/commands".to_owned()),
        status: AgentActionStatus::Blocked,
        timestamp: at(seconds),
    }
}

async fn with_log(actions: &[AgentAction]) -> Fleet {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    for action in actions {
        activity::log(&mut connection, action).await.unwrap();
    }
    fleet
}

/// Lists matching entries; returns their numbers and the total.
async fn listed(fleet: &Fleet, filter: AgentActionFilter) -> (Vec<u128>, i64) {
    let mut connection = fleet.connection().await;
    let Listing {
        items: entries,
        total,
        ..
    } = activity::list(&mut connection, &filter, page(10, 0))
        .await
        .unwrap();
    (
        entries.iter().map(|entry| entry.id.0.as_u128()).collect(),
        total,
    )
}

#[tokio::test]
async fn lists_entries_as_inserted() {
    let bare = AgentAction {
        source_node: None,
        target_node: None,
        status: AgentActionStatus::Allowed,
        ..attempt(2, 1)
    };
    let fleet = with_log(&[attempt(1, 0), bare.clone()]).await;
    let mut connection = fleet.connection().await;
    let everything = AgentActionFilter::default();
    let first = activity::list(&mut connection, &everything, page(1, 0)).await;
    assert_eq!(counted(first.unwrap()), (vec![bare], 2));
    let second = activity::list(&mut connection, &everything, page(1, 1)).await;
    assert_eq!(counted(second.unwrap()), (vec![attempt(1, 0)], 2));
}

#[tokio::test]
async fn filters_entries_with_inclusive_time_bounds() {
    let fleet = with_log(&[
        attempt(1, 10),
        AgentAction {
            status: AgentActionStatus::Allowed,
            ..attempt(2, 20)
        },
        AgentAction {
            agent_name: "robot".to_owned(),
            ..attempt(3, 30)
        },
        AgentAction {
            action_type: "vehicles.read".to_owned(),
            ..attempt(4, 40)
        },
    ])
    .await;
    let any = AgentActionFilter::default;
    assert_eq!(listed(&fleet, any()).await, (vec![4, 3, 2, 1], 4));
    let allowed = AgentActionFilter {
        status: Some(AgentActionStatus::Allowed),
        ..any()
    };
    assert_eq!(listed(&fleet, allowed).await, (vec![2], 1));
    let robot = AgentActionFilter {
        agent_name: Some("robot".to_owned()),
        ..any()
    };
    assert_eq!(listed(&fleet, robot).await, (vec![3], 1));
    let reading = AgentActionFilter {
        action_type: Some("vehicles.read".to_owned()),
        ..any()
    };
    assert_eq!(listed(&fleet, reading).await, (vec![4], 1));
    let between = AgentActionFilter {
        start: Some(at(20)),
        end: Some(at(30)),
        ..any()
    };
    assert_eq!(listed(&fleet, between).await, (vec![3, 2], 2));
}

#[tokio::test]
async fn lists_blocked_attempts_newest_first_up_to_the_limit() {
    let allowed = AgentAction {
        status: AgentActionStatus::Allowed,
        ..attempt(9, 90)
    };
    let fleet = with_log(&[attempt(1, 10), attempt(3, 30), attempt(2, 20), allowed]).await;
    let mut connection = fleet.connection().await;
    let blocked = activity::blocked(&mut connection, 2).await.unwrap();
    assert_eq!(blocked, [attempt(3, 30), attempt(2, 20)]);
}

#[tokio::test]
async fn logs_no_allowed_action_while_the_agent_is_suspended() {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    suspensions::insert(&mut connection, &suspension(1, 0))
        .await
        .unwrap();
    let call = |number, agent_name: &str, action_type: &str| AgentAction {
        agent_name: agent_name.to_owned(),
        action_type: action_type.to_owned(),
        status: AgentActionStatus::Allowed,
        ..attempt(number, 5)
    };
    for (number, agent_name, action_type, expected) in [
        (1, "monitor", "commands.submit", false),
        (2, "monitor", "vehicles.read", true),
        (3, "robot", "commands.submit", true),
    ] {
        let action = call(number, agent_name, action_type);
        let logged = activity::log_unless_suspended(&mut connection, &action).await;
        assert_eq!(logged.unwrap(), expected, "{agent_name} {action_type}");
    }
    suspensions::lift(
        &mut connection,
        SuspensionId(Uuid::from_u128(1)),
        fleet.engineer,
        at(6),
    )
    .await
    .unwrap();
    let action = call(4, "monitor", "commands.submit");
    let logged = activity::log_unless_suspended(&mut connection, &action).await;
    assert!(logged.unwrap());

    let any = AgentActionFilter::default();
    assert_eq!(listed(&fleet, any.clone()).await, (vec![4, 3, 2], 3));
    let Listing { items: entries, .. } = activity::list(&mut connection, &any, page(1, 0))
        .await
        .unwrap();
    assert_eq!(entries, [action]);
}

#[tokio::test]
async fn deletes_old_entries_in_batches_oldest_first() {
    let fleet = with_log(&[
        attempt(1, 10),
        attempt(2, 20),
        attempt(3, 30),
        attempt(4, 40),
    ])
    .await;
    let mut connection = fleet.connection().await;
    let any = AgentActionFilter::default;
    let deleted = activity::delete_before(&mut connection, at(40), 2).await;
    assert_eq!(deleted.unwrap(), 2);
    assert_eq!(listed(&fleet, any()).await, (vec![4, 3], 2));
    let deleted = activity::delete_before(&mut connection, at(40), 2).await;
    assert_eq!(deleted.unwrap(), 1);
    assert_eq!(listed(&fleet, any()).await, (vec![4], 1));
}

#[tokio::test]
async fn concurrent_deletions_take_different_entries() {
    let fleet = with_log(&[attempt(1, 10), attempt(2, 20)]).await;
    let mut first = fleet.pool.begin().await.unwrap();
    assert_eq!(
        activity::delete_before(&mut first, at(40), 1)
            .await
            .unwrap(),
        1
    );
    let mut second = fleet.connection().await;
    assert_eq!(
        activity::delete_before(&mut second, at(40), 2)
            .await
            .unwrap(),
        1
    );
    first.rollback().await.unwrap();
    let any = AgentActionFilter::default();
    assert_eq!(listed(&fleet, any).await, (vec![1], 1));
}
