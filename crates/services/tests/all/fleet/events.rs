//! Streams of fleet events.

use std::sync::Arc;

use chrono::TimeDelta;
use sovd_domain::{CommandStatus, FleetEvent};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{OFFLINE, TestBed, VEHICLE, admin, engineer, within},
    scripted_connector::ScriptedConnector,
};

#[tokio::test]
async fn reports_every_status_of_a_command() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let fleet = bed.parts.fleet();
    let mut watch = fleet.watch(&admin(), Some(VEHICLE)).await.unwrap();
    let command_id = bed.submit("ReadDTC").await;
    let running = bed.start_dispatcher();
    for expected in [
        CommandStatus::Pending,
        CommandStatus::InProgress,
        CommandStatus::Completed,
    ] {
        let event = within("an event", watch.next()).await.unwrap();
        let FleetEvent::Command {
            command_id: id,
            status,
            ..
        } = event.as_ref()
        else {
            panic!("{event:?}")
        };
        assert_eq!((*id, *status), (command_id, expected));
    }
    running.stop().await;
}

#[tokio::test]
async fn reports_connection_changes_of_any_process() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let stop = CancellationToken::new();
    let fleet = bed.parts.fleet();
    let mut watch = fleet.watch(&engineer(), None).await.unwrap();
    let listener = tokio::spawn(sovd_services::fleet::events::listen(
        bed.parts.database.clone(),
        Arc::clone(&bed.parts.bus),
        stop.clone(),
    ));
    // The first event shows that it listens.
    assert_eq!(
        *within("the first event", watch.next()).await.unwrap(),
        FleetEvent::Resync
    );
    bed.connect(OFFLINE).await;
    let event = within("an event", watch.next()).await.unwrap();
    assert_eq!(event.vehicle_id(), Some(OFFLINE));
    stop.cancel();
    within("the end", listener).await.unwrap();
}

#[tokio::test]
async fn ends_when_the_token_expires() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let fleet = bed.parts.fleet();
    let mut caller = engineer();
    caller.expires_at = bed.now() + TimeDelta::minutes(15);
    let mut watch = fleet.watch(&caller, None).await.unwrap();
    let expire = bed.advance_to(caller.expires_at);
    let (event, ()) = tokio::join!(within("the end", watch.next()), expire);
    assert_eq!(event, None);
}

#[tokio::test]
async fn reports_lost_events_as_resync() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let fleet = bed.parts.fleet();
    let mut watch = fleet.watch(&admin(), None).await.unwrap();
    bed.bus.drop_messages(false);
    bed.submit("ReadDTC").await;
    bed.parts.event_publisher.flush().await;
    bed.bus.deliver_messages();
    let event = within("an event", watch.next()).await.unwrap();
    assert_eq!(*event, FleetEvent::Resync);
    let command_id = bed.submit("ReadDTC").await;
    let event = within("an event", watch.next()).await.unwrap();
    assert!(matches!(
        event.as_ref(),
        FleetEvent::Command { command_id: id, .. } if *id == command_id
    ));
}
