//! Watching the fleet.

use std::sync::Arc;

use chrono::TimeDelta;
use sovd_domain::{CommandStatus, FleetEvent};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{OFFLINE, TestBed, VEHICLE, admin, engineer, within},
    scripted_connector::ScriptedConnector,
};

#[tokio::test]
async fn every_state_of_a_command_is_told() {
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
        let news = within("news", watch.next()).await.unwrap();
        let FleetEvent::Command {
            command_id: id,
            status,
            ..
        } = news.as_ref()
        else {
            panic!("{news:?}")
        };
        assert_eq!((*id, *status), (command_id, expected));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_vehicle_s_link_is_told_whoever_changed_it() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let stop = CancellationToken::new();
    let fleet = bed.parts.fleet();
    let mut watch = fleet.watch(&engineer(), None).await.unwrap();
    let listening = tokio::spawn(sovd_services::fleet::events::listen(
        bed.parts.database.clone(),
        Arc::clone(&bed.parts.bus),
        stop.clone(),
    ));
    // It listens from here on.
    assert_eq!(
        *within("a first word", watch.next()).await.unwrap(),
        FleetEvent::Resync
    );
    bed.connect(OFFLINE).await;
    let news = within("news", watch.next()).await.unwrap();
    assert_eq!(news.vehicle_id(), Some(OFFLINE));
    stop.cancel();
    within("the end", listening).await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let fleet = bed.parts.fleet();
    let mut caller = engineer();
    caller.expires_at = bed.now() + TimeDelta::minutes(15);
    let mut watch = fleet.watch(&caller, None).await.unwrap();
    let passing = async {
        bed.advance_to(caller.expires_at).await;
    };
    let (news, ()) = tokio::join!(within("the end", watch.next()), passing);
    assert_eq!(news, None);
}

#[tokio::test]
async fn news_that_were_lost_on_the_way_are_to_be_fetched() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let fleet = bed.parts.fleet();
    let mut watch = fleet.watch(&admin(), None).await.unwrap();
    bed.bus.drop_messages(false);
    bed.submit("ReadDTC").await;
    bed.parts.event_publisher.flush().await;
    bed.bus.deliver_messages();
    let news = within("news", watch.next()).await.unwrap();
    assert_eq!(*news, FleetEvent::Resync);
    let command_id = bed.submit("ReadDTC").await;
    let news = within("news", watch.next()).await.unwrap();
    assert!(matches!(
        news.as_ref(),
        FleetEvent::Command { command_id: id, .. } if *id == command_id
    ));
}
