use std::{sync::Arc, time::Duration};

use serde_json::json;
use sovd_domain::{CommandId, ResponseId, StreamEvent};
use sovd_events::{CommandSignal, EventBus, Subscription};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// The sequence number of the event that tests whether a subscription is active.
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

pub(crate) async fn next(subscription: &mut Subscription) -> CommandSignal {
    timeout(DEADLINE, subscription.next()).await.unwrap()
}

/// Returns the next event that is not a probe, skipping other signals.
pub(crate) async fn next_event(subscription: &mut Subscription) -> Arc<StreamEvent> {
    loop {
        if let CommandSignal::Event(event) = next(subscription).await
            && !is_probe(&event)
        {
            return event;
        }
    }
}

/// Returns a subscription that is active.
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
