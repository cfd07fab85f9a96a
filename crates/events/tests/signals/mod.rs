use std::{sync::Arc, time::Duration};

use serde_json::json;
use sovd_domain::{CommandId, ResponseId, StreamEvent};
use sovd_events::{EventBus, Signal, Subscription};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// The number of the event that only finds out whether anybody listens.
const PROBE: i32 = 0;

pub(crate) fn command(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

pub(crate) fn event(command_id: CommandId, number: i32) -> StreamEvent {
    StreamEvent::Response {
        command_id,
        response_id: ResponseId(Uuid::from_u128(7)),
        response: json!({"dtcs": [{"code": "P0420", "text": "Katalysator – \"Bank 1\"\n"}]}),
        sequence_number: number,
        is_final: false,
        received_at: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Signal {
    timeout(DEADLINE, subscription.next()).await.unwrap()
}

/// The next event that is no probe, whatever signals come before it.
pub(crate) async fn next_event(subscription: &mut Subscription) -> Arc<StreamEvent> {
    loop {
        if let Signal::Event(event) = next(subscription).await
            && !is_probe(&event)
        {
            return event;
        }
    }
}

/// A subscription that has heard something, so that from now on it hears everything.
pub(crate) async fn watch(bus: &dyn EventBus, command_id: CommandId) -> Subscription {
    let mut subscription = bus.subscribe(command_id);
    bus.publish(&event(command_id, PROBE)).await.unwrap();
    next(&mut subscription).await;
    subscription
}

pub(crate) fn is_probe(event: &StreamEvent) -> bool {
    number(event) == PROBE
}

pub(crate) fn number(event: &StreamEvent) -> i32 {
    match event {
        StreamEvent::Response {
            sequence_number, ..
        } => *sequence_number,
        other => panic!("{other:?}"),
    }
}
