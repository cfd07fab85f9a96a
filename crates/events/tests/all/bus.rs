//! The contract of [`EventBus`], run against each implementation.
use futures_util::FutureExt;
use sovd_devstack::{Redis, SearchPath};
use sovd_domain::{AccessChange, ConnectionStatus, FleetEvent, UserId, VehicleId};
use sovd_events::{
    BroadcastReceiver, Broadcastable, CommandSignal, EventBus, LocalBus, RedisBus,
    RedisCertificates, RedisServer,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::subscription::{DEADLINE, command, event, is_probe, next, next_event, number, watch};

/// A power of two, because the underlying channel rounds up to one.
const BACKLOG: u8 = 8;

/// Runs each test function against each bus.
macro_rules! contract {
    ($($name:ident)+) => {
        mod local {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&super::LocalBus::new(super::BACKLOG.into())).await;
                }
            )+
        }

        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    let server = super::Redis::start(&super::SearchPath::system()).unwrap();
                    let address =
                        super::RedisServer::new(&server.url(), &super::RedisCertificates::default());
                    let bus = super::RedisBus::new(address.unwrap(), "test", super::BACKLOG.into());
                    super::$name(&bus).await;
                }
            )+
        }
    };
}

contract! {
    delivers_an_event_to_every_subscriber_of_its_command
    delivers_no_event_of_another_command
    preserves_the_order_of_events
    keeps_subscriptions_when_another_is_dropped
    allows_subscribing_to_a_command_again
    replaces_missed_events_by_one_reread
    publishes_an_event_without_subscribers
    returns_the_subscribed_commands
    requests_a_reread_from_the_subscribers_of_a_command
    reports_whether_it_is_connected
    delivers_fleet_events_to_every_receiver_in_order
    replaces_missed_fleet_events_by_one_resync
    delivers_access_changes_separately_from_fleet_events
    responds_to_a_ping
}

async fn delivers_an_event_to_every_subscriber_of_its_command(bus: &dyn EventBus) {
    let id = command(1);
    let mut subscriptions = [
        watch(bus, id).await,
        watch(bus, id).await,
        watch(bus, id).await,
    ];
    let event = event(id, 1);
    bus.publish(&event).await.unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(*next_event(subscription).await, event);
    }
}

async fn delivers_no_event_of_another_command(bus: &dyn EventBus) {
    let mut one = watch(bus, command(1)).await;
    let mut other = watch(bus, command(2)).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut one).await, event(command(1), 1));
    // Events are ordered, so a misdelivered first event would arrive before the second.
    bus.publish(&event(command(2), 2)).await.unwrap();
    assert_eq!(*next_event(&mut other).await, event(command(2), 2));
}

async fn preserves_the_order_of_events(bus: &dyn EventBus) {
    let id = command(1);
    let mut subscription = watch(bus, id).await;
    for burst in 0..10 {
        let numbers = burst * 5 + 1..=burst * 5 + 5;
        for number in numbers.clone() {
            bus.publish(&event(id, number)).await.unwrap();
        }
        for expected in numbers {
            let event = next_event(&mut subscription).await;
            assert_eq!(number(&event), expected);
        }
    }
}

async fn keeps_subscriptions_when_another_is_dropped(bus: &dyn EventBus) {
    let id = command(1);
    let dropped = watch(bus, id).await;
    let mut other = watch(bus, id).await;
    drop(dropped);
    for number in 1..=3 {
        bus.publish(&event(id, number)).await.unwrap();
        assert_eq!(*next_event(&mut other).await, event(id, number));
    }
}

async fn allows_subscribing_to_a_command_again(bus: &dyn EventBus) {
    let id = command(1);
    for number in 1..=20 {
        let mut subscription = watch(bus, id).await;
        bus.publish(&event(id, number)).await.unwrap();
        assert_eq!(*next_event(&mut subscription).await, event(id, number));
    }
}

async fn replaces_missed_events_by_one_reread(bus: &dyn EventBus) {
    let id = command(1);
    let mut slow = watch(bus, id).await;
    let mut fast = watch(bus, id).await;
    let last = i32::from(BACKLOG) * 3;
    for number in 1..=last {
        bus.publish(&event(id, number)).await.unwrap();
        // What the fast subscriber received is ready for the slow one.
        assert_eq!(*next_event(&mut fast).await, event(id, number));
    }
    assert_eq!(next(&mut slow).await, CommandSignal::Reread);
    let (mut numbers, mut rereads) = (Vec::new(), 0);
    while numbers.last() != Some(&last) {
        match next(&mut slow).await {
            CommandSignal::Event(event) => numbers.push(number(&event)),
            CommandSignal::Reread => rereads += 1,
            CommandSignal::Hint(hint) => panic!("{hint:?} is a message of this process"),
        }
    }
    // The Redis bus adds one when it has subscribed to the channel.
    assert!(rereads <= 1, "{rereads}");
    let first = last + 1 - i32::try_from(numbers.len()).unwrap();
    assert!(numbers.iter().copied().eq(first..=last), "{numbers:?}");
    assert!(
        numbers.len() + rereads == usize::from(BACKLOG),
        "{numbers:?}"
    );
    bus.publish(&event(id, 99)).await.unwrap();
    assert_eq!(*next_event(&mut slow).await, event(id, 99));
}

async fn publishes_an_event_without_subscribers(bus: &dyn EventBus) {
    bus.publish(&event(command(1), 1)).await.unwrap();
    let mut subscription = watch(bus, command(1)).await;
    bus.publish(&event(command(1), 2)).await.unwrap();
    let event = next_event(&mut subscription).await;
    assert_eq!(number(&event), 2);
    assert!(!is_probe(&event));
}

async fn responds_to_a_ping(bus: &dyn EventBus) {
    bus.ping().await.unwrap();
}

async fn returns_the_subscribed_commands(bus: &dyn EventBus) {
    assert_eq!(bus.subscribed_commands(), []);
    let one = watch(bus, command(1)).await;
    let again = watch(bus, command(1)).await;
    assert_eq!(bus.subscribed_commands(), [command(1)]);
    drop(one);
    let other = watch(bus, command(2)).await;
    let mut watched = bus.subscribed_commands();
    watched.sort();
    assert_eq!(watched, [command(1), command(2)]);
    drop((again, other));
    // The Redis bus removes it asynchronously.
    let removed = async {
        while !bus.subscribed_commands().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, removed).await.unwrap();
}

async fn requests_a_reread_from_the_subscribers_of_a_command(bus: &dyn EventBus) {
    let mut first = watch(bus, command(1)).await;
    let mut second = watch(bus, command(1)).await;
    let mut other = watch(bus, command(2)).await;
    // The probes and rereads of `watch`.
    for subscription in [&mut first, &mut second, &mut other] {
        while subscription.next().now_or_never().is_some() {}
    }
    bus.request_reread(command(1));
    assert_eq!(next(&mut first).await, CommandSignal::Reread);
    assert_eq!(next(&mut second).await, CommandSignal::Reread);
    bus.request_reread(command(3));
    assert!(other.next().now_or_never().is_none());
}

async fn reports_whether_it_is_connected(bus: &dyn EventBus) {
    let mut connected = bus.connected();
    let change = connected.wait_for(|connected| *connected);
    assert!(*timeout(DEADLINE, change).await.unwrap().unwrap());
}

fn fleet_event(number: u128) -> FleetEvent {
    FleetEvent::Vehicle {
        vehicle_id: VehicleId(Uuid::from_u128(number)),
        owner_id: None,
        connection_status: ConnectionStatus::Connected,
        last_seen_at: None,
    }
}

/// Waits until the bus is connected and returns a receiver.
async fn receiver(bus: &dyn EventBus) -> BroadcastReceiver<FleetEvent> {
    reports_whether_it_is_connected(bus).await;
    bus.fleet_events()
}

async fn next_message<T: Broadcastable + Clone + PartialEq>(
    receiver: &mut BroadcastReceiver<T>,
) -> T {
    loop {
        let message = timeout(DEADLINE, receiver.next()).await.unwrap();
        // Sent once when the bus connects.
        if *message != T::MISSED {
            return message.as_ref().clone();
        }
    }
}

async fn delivers_fleet_events_to_every_receiver_in_order(bus: &dyn EventBus) {
    let (mut one, mut other) = (receiver(bus).await, receiver(bus).await);
    for number in 1..=3 {
        bus.publish_fleet_event(&fleet_event(number)).await.unwrap();
    }
    for receiver in [&mut one, &mut other] {
        for number in 1..=3 {
            assert_eq!(next_message(receiver).await, fleet_event(number));
        }
    }
    bus.broadcast_locally(fleet_event(4));
    assert_eq!(next_message(&mut one).await, fleet_event(4));
}

async fn replaces_missed_fleet_events_by_one_resync(bus: &dyn EventBus) {
    let (mut slow, mut fast) = (receiver(bus).await, receiver(bus).await);
    for number in 0..300 {
        bus.publish_fleet_event(&fleet_event(number)).await.unwrap();
        assert_eq!(next_message(&mut fast).await, fleet_event(number));
    }
    let missed = timeout(DEADLINE, slow.next()).await.unwrap();
    assert_eq!(*missed, FleetEvent::Resync);
    let next = timeout(DEADLINE, slow.next()).await.unwrap();
    assert_ne!(*next, FleetEvent::Resync, "one for all missed events");
}

async fn delivers_access_changes_separately_from_fleet_events(bus: &dyn EventBus) {
    let mut fleet_events = receiver(bus).await;
    let (mut one, mut other) = (bus.access_changes(), bus.access_changes());
    let change = AccessChange::User {
        user_id: UserId(Uuid::from_u128(1)),
    };
    bus.publish_access_change(change).await.unwrap();
    bus.publish_fleet_event(&fleet_event(1)).await.unwrap();
    assert_eq!(next_message(&mut one).await, change);
    assert_eq!(next_message(&mut other).await, change);
    assert_eq!(next_message(&mut fleet_events).await, fleet_event(1));
}
