use serde_json::json;
use sovd_tests::{CONNECTED, Client, within};

use crate::{
    agents::policy::{
        COMMANDS, LOGS, SUSPENSIONS, audited, listed, log_entry, logged, machine, machine_as,
    },
    fleet::events::{listening, next_of_command, own_bus},
};

/// Suspends an agent from an action type by recording blocked attempts.
async fn suspend(admin: &Client, agent_name: &str, action_type: &str) {
    let blocked = json!({
        "agent_name": agent_name, "action_type": action_type, "target_node": "x",
        "status": "BLOCKED",
    });
    for _ in 0..6 {
        admin.post(LOGS, &blocked).await.expect(201);
    }
}

#[tokio::test]
async fn an_agent_suspended_from_reading_commands_receives_no_command_events() {
    let world = own_bus().await;
    let admin = world.log_in("admin").await;
    let account = json!({
        "name": "monitor", "role": "admin", "expires_in_days": 1,
        "permissions": ["vehicles.read", "commands.read", "commands.read_all"],
    });
    let monitor = machine_as(&world, account).await;
    let engineer = world.log_in("engineer").await;
    let mut before = listening(&world, &monitor, "/ws/events").await;
    let id = engineer.read_dtc().await;
    assert_eq!(next_of_command(&mut before).await["command_id"], id);
    engineer.ended(&id).await;

    suspend(&admin, "monitor", "commands.read").await;
    let mut after = listening(&world, &monitor, "/ws/events").await;
    let mut all = listening(&world, &admin, "/ws/events").await;
    let id = engineer.read_dtc().await;
    within("the admin to receive the completion", async {
        while next_of_command(&mut all).await["status"] != "completed" {}
    })
    .await;
    let disconnect = format!(
        "UPDATE vehicles SET connection_status = 'disconnected' WHERE vehicle_id = '{CONNECTED}'"
    );
    world.sql().await.execute(&disconnect, &[]).await.unwrap();
    within("the vehicle", async {
        loop {
            let event = after.next().await.unwrap();
            assert_ne!(event["command_id"], id, "{event}");
            if event["vehicle_id"] == CONNECTED {
                assert_eq!(event["event"], "vehicle");
                return;
            }
        }
    })
    .await;
    let blocked = log_entry("commands.read", "news of commands", "BLOCKED");
    assert!(logged(&world).await.contains(&blocked));
}

#[tokio::test]
async fn requests_for_another_user_s_command_do_not_count() {
    let world = own_bus().await;
    let monitor = machine(&world, "monitor", &["commands.read"]).await;
    let engineer = world.log_in("engineer").await;
    let id = engineer.read_dtc_offline(3600).await;
    let path = format!("{COMMANDS}/{id}");
    for _ in 0..7 {
        monitor.get(&path).await.expect_problem(404, "not_found");
    }
    let call = log_entry("commands.read", &format!("GET {path}"), "ALLOWED");
    assert_eq!(logged(&world).await, vec![call; 7]);
    world.wait_for_refusals().await;
    let refused = audited(&world, "command.read").await;
    assert_eq!(refused.len(), 7);
    assert!(refused.iter().all(|entry| entry["result"] == "refused"));
    let admin = world.log_in("admin").await;
    assert!(listed(&admin, SUSPENSIONS).await.is_empty());
}
