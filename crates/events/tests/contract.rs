//! What every event bus promises, shown on each.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod signals;

use futures_util::FutureExt;
use signals::{DEADLINE, command, event, is_probe, next, next_event, number, watch};
use sovd_devstack::{Redis, SearchPath};
use sovd_domain::{AccessChange, ConnectionStatus, FleetEvent, UserId, VehicleId};
use sovd_events::{
    BroadcastReceiver, Broadcastable, EventBus, LocalBus, RedisBus, RedisCertificates, RedisServer,
    Signal,
};
use tokio::time::timeout;
use uuid::Uuid;

/// A power of two, because the channel below rounds up to one.
const BACKLOG: u8 = 8;

/// Runs each function of the suite on each bus.
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
    an_event_reaches_every_subscriber_of_its_command
    an_event_reaches_no_subscriber_of_another_command
    events_keep_their_order
    a_gone_subscriber_does_not_disturb_the_others
    a_command_can_be_watched_again
    a_slow_subscriber_is_told_to_read_again_and_goes_on
    an_event_that_nobody_watches_is_no_error
    it_is_known_who_is_watched
    watchers_are_sent_to_the_database
    it_is_told_whether_others_are_heard
    news_reach_every_reader_in_order
    a_slow_reader_is_told_to_fetch_everything_again
    access_changes_reach_every_reader_and_are_no_news
    the_bus_answers_a_ping
}

async fn an_event_reaches_every_subscriber_of_its_command(bus: &dyn EventBus) {
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

async fn an_event_reaches_no_subscriber_of_another_command(bus: &dyn EventBus) {
    let mut one = watch(bus, command(1)).await;
    let mut other = watch(bus, command(2)).await;
    bus.publish(&event(command(1), 1)).await.unwrap();
    assert_eq!(*next_event(&mut one).await, event(command(1), 1));
    // Had the first event come here as well, it would come before the second.
    bus.publish(&event(command(2), 2)).await.unwrap();
    assert_eq!(*next_event(&mut other).await, event(command(2), 2));
}

async fn events_keep_their_order(bus: &dyn EventBus) {
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

async fn a_gone_subscriber_does_not_disturb_the_others(bus: &dyn EventBus) {
    let id = command(1);
    let gone = watch(bus, id).await;
    let mut other = watch(bus, id).await;
    drop(gone);
    for number in 1..=3 {
        bus.publish(&event(id, number)).await.unwrap();
        assert_eq!(*next_event(&mut other).await, event(id, number));
    }
}

async fn a_command_can_be_watched_again(bus: &dyn EventBus) {
    let id = command(1);
    for number in 1..=20 {
        let mut subscription = watch(bus, id).await;
        bus.publish(&event(id, number)).await.unwrap();
        assert_eq!(*next_event(&mut subscription).await, event(id, number));
    }
}

async fn a_slow_subscriber_is_told_to_read_again_and_goes_on(bus: &dyn EventBus) {
    let id = command(1);
    let mut slow = watch(bus, id).await;
    let mut quick = watch(bus, id).await;
    let last = i32::from(BACKLOG) * 3;
    for number in 1..=last {
        bus.publish(&event(id, number)).await.unwrap();
        // What the quick one has heard lies ready for the slow one.
        assert_eq!(*next_event(&mut quick).await, event(id, number));
    }
    assert_eq!(next(&mut slow).await, Signal::Reread);
    let (mut numbers, mut rereads) = (Vec::new(), 0);
    while numbers.last() != Some(&last) {
        match next(&mut slow).await {
            Signal::Event(event) => numbers.push(number(&event)),
            Signal::Reread => rereads += 1,
            Signal::Hint(hint) => panic!("{hint:?} is an echo"),
        }
    }
    // The bus over Redis has one more when the channel is subscribed to.
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

async fn an_event_that_nobody_watches_is_no_error(bus: &dyn EventBus) {
    bus.publish(&event(command(1), 1)).await.unwrap();
    let mut subscription = watch(bus, command(1)).await;
    bus.publish(&event(command(1), 2)).await.unwrap();
    let event = next_event(&mut subscription).await;
    assert_eq!(number(&event), 2);
    assert!(!is_probe(&event));
}

async fn the_bus_answers_a_ping(bus: &dyn EventBus) {
    bus.ping().await.unwrap();
}

async fn it_is_known_who_is_watched(bus: &dyn EventBus) {
    assert_eq!(bus.watched(), []);
    let one = watch(bus, command(1)).await;
    let again = watch(bus, command(1)).await;
    assert_eq!(bus.watched(), [command(1)]);
    drop(one);
    let other = watch(bus, command(2)).await;
    let mut watched = bus.watched();
    watched.sort();
    assert_eq!(watched, [command(1), command(2)]);
    drop((again, other));
    // The one over Redis forgets when its connection does.
    let forgotten = async {
        while !bus.watched().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, forgotten).await.unwrap();
}

async fn watchers_are_sent_to_the_database(bus: &dyn EventBus) {
    let mut first = watch(bus, command(1)).await;
    let mut second = watch(bus, command(1)).await;
    let mut other = watch(bus, command(2)).await;
    // What made sure that they are subscribed.
    for subscription in [&mut first, &mut second, &mut other] {
        while subscription.next().now_or_never().is_some() {}
    }
    bus.reread(command(1));
    assert_eq!(next(&mut first).await, Signal::Reread);
    assert_eq!(next(&mut second).await, Signal::Reread);
    bus.reread(command(3));
    assert!(other.next().now_or_never().is_none());
}

async fn it_is_told_whether_others_are_heard(bus: &dyn EventBus) {
    let mut hears = bus.hears();
    let connected = timeout(DEADLINE, hears.wait_for(|hears| *hears)).await;
    assert!(*connected.unwrap().unwrap());
}

fn news(number: u128) -> FleetEvent {
    FleetEvent::Vehicle {
        vehicle_id: VehicleId(Uuid::from_u128(number)),
        owner_id: None,
        connection_status: ConnectionStatus::Connected,
        last_seen_at: None,
    }
}

/// A reader that certainly hears.
async fn reader(bus: &dyn EventBus) -> BroadcastReceiver<FleetEvent> {
    hearing(bus).await;
    bus.fleet_events()
}

async fn hearing(bus: &dyn EventBus) {
    let mut hears = bus.hears();
    let connected = timeout(DEADLINE, hears.wait_for(|hears| *hears)).await;
    connected.unwrap().unwrap();
}

async fn next_piece<T: Broadcastable + Clone + PartialEq>(reader: &mut BroadcastReceiver<T>) -> T {
    loop {
        let news = timeout(DEADLINE, reader.next()).await.unwrap();
        // Whatever was said while there was no connection is to be fetched.
        if *news != T::MISSED {
            return news.as_ref().clone();
        }
    }
}

async fn news_reach_every_reader_in_order(bus: &dyn EventBus) {
    let (mut one, mut other) = (reader(bus).await, reader(bus).await);
    for number in 1..=3 {
        bus.publish_fleet_event(&news(number)).await.unwrap();
    }
    for reader in [&mut one, &mut other] {
        for number in 1..=3 {
            assert_eq!(next_piece(reader).await, news(number));
        }
    }
    bus.broadcast_locally(news(4));
    assert_eq!(next_piece(&mut one).await, news(4));
}

async fn a_slow_reader_is_told_to_fetch_everything_again(bus: &dyn EventBus) {
    let (mut slow, mut quick) = (reader(bus).await, reader(bus).await);
    for number in 0..300 {
        bus.publish_fleet_event(&news(number)).await.unwrap();
        assert_eq!(next_piece(&mut quick).await, news(number));
    }
    let missed = timeout(DEADLINE, slow.next()).await.unwrap();
    assert_eq!(*missed, FleetEvent::Resync);
    let next = timeout(DEADLINE, slow.next()).await.unwrap();
    assert_ne!(*next, FleetEvent::Resync, "once for all that was missed");
}

async fn access_changes_reach_every_reader_and_are_no_news(bus: &dyn EventBus) {
    let mut news_reader = reader(bus).await;
    let (mut one, mut other) = (bus.access_changes(), bus.access_changes());
    let change = AccessChange::User {
        user_id: UserId(Uuid::from_u128(1)),
    };
    bus.publish_access_change(change).await.unwrap();
    bus.publish_fleet_event(&news(1)).await.unwrap();
    assert_eq!(next_piece(&mut one).await, change);
    assert_eq!(next_piece(&mut other).await, change);
    assert_eq!(next_piece(&mut news_reader).await, news(1));
}
