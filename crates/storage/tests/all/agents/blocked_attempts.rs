use sovd_domain::AgentAction;
use sovd_storage::{Connection, agents::blocked_attempts};

use crate::{
    agents::activity::attempt,
    fixture::{Fleet, at},
};

async fn with_attempts(attempts: &[AgentAction]) -> Fleet {
    let fleet = Fleet::new().await;
    let mut connection = fleet.connection().await;
    for attempt in attempts {
        let added = blocked_attempts::add(&mut connection, attempt).await;
        added.unwrap();
    }
    fleet
}

async fn count(connection: &mut Connection, agent: &str, action: &str, after: i64) -> i64 {
    blocked_attempts::count(connection, agent, action, at(after))
        .await
        .unwrap()
}

fn of_others() -> [AgentAction; 2] {
    [
        AgentAction {
            agent_name: "robot".to_owned(),
            ..attempt(5, 12)
        },
        AgentAction {
            action_type: "vehicles.read".to_owned(),
            ..attempt(6, 12)
        },
    ]
}

#[tokio::test]
async fn counts_later_attempts_by_agent_and_action() {
    let [robot, reading] = of_others();
    let attempts = [
        attempt(1, 10),
        attempt(2, 11),
        attempt(3, 12),
        robot,
        reading,
    ];
    let fleet = with_attempts(&attempts).await;
    let mut connection = fleet.connection().await;
    for (seconds, expected) in [(9, 3), (10, 2), (11, 1), (12, 0)] {
        let counted = count(&mut connection, "monitor", "commands.submit", seconds).await;
        assert_eq!(counted, expected, "after {seconds}");
    }
}

#[tokio::test]
async fn clears_attempts_by_agent_and_action() {
    let [robot, reading] = of_others();
    let fleet = with_attempts(&[attempt(1, 10), attempt(2, 11), robot, reading]).await;
    let mut connection = fleet.connection().await;
    blocked_attempts::clear(&mut connection, "monitor", "commands.submit")
        .await
        .unwrap();
    for (agent, action, expected) in [
        ("monitor", "commands.submit", 0),
        ("robot", "commands.submit", 1),
        ("monitor", "vehicles.read", 1),
    ] {
        let counted = count(&mut connection, agent, action, 0).await;
        assert_eq!(counted, expected, "{agent} {action}");
    }
}

#[tokio::test]
async fn deletes_attempts_up_to_and_including_a_time() {
    let fleet = with_attempts(&[attempt(1, 10), attempt(2, 11), attempt(3, 12)]).await;
    let mut connection = fleet.connection().await;
    blocked_attempts::delete_until(&mut connection, at(11))
        .await
        .unwrap();
    let counted = count(&mut connection, "monitor", "commands.submit", 0).await;
    assert_eq!(counted, 1);
}
