use std::{num::NonZeroU32, time::Duration};

use sovd_events::{Admission, RedisRates, SharedRates};
use tokio::time::{sleep, timeout};

use super::server::Server;
use crate::subscription::DEADLINE;

const PER_MINUTE: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Waits for the connection and counts a use.
async fn count(rates: &RedisRates, name: &str) -> Admission {
    let counted = async {
        loop {
            if let Some(admission) = rates.count(name, PER_MINUTE).await {
                return admission;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, counted).await.unwrap()
}

#[tokio::test]
async fn admits_as_many_uses_as_the_rate_allows() {
    let server = Server::start();
    let rates = server.bus().rates();
    for _ in 0..2 {
        assert_eq!(count(&rates, "a").await, Admission::Admitted);
    }
    let Admission::RefusedFor(wait) = count(&rates, "a").await else {
        panic!("a third use was admitted");
    };
    assert!(
        (Duration::from_secs(20)..=Duration::from_secs(30)).contains(&wait),
        "{wait:?}"
    );
    assert_eq!(count(&rates, "b").await, Admission::Admitted);
}

#[tokio::test]
async fn ignores_a_forged_value() {
    let server = Server::start();
    let rates = server.bus().rates();
    count(&rates, "a").await;
    let keys: Vec<String> = server.ask(&["KEYS", "*a*"]).await;
    let [key] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    for forged in ["9e18", "inf", "nan", "-5", "text"] {
        server.ask::<()>(&["SET", key, forged]).await;
        assert_eq!(count(&rates, "a").await, Admission::Admitted, "{forged}");
    }
}
