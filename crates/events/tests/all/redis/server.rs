use std::fmt::Debug;

use bb8_redis::redis::{Client, FromRedisValue, aio::MultiplexedConnection, cmd};
use sovd_devstack::{Redis, SearchPath};
use sovd_domain::CommandId;
use sovd_events::{RedisBus, RedisCertificates, RedisServer};
use tokio::time::timeout;

use crate::subscription::DEADLINE;

/// A private Redis whose state a test can inspect.
pub(crate) struct Server {
    pub(crate) redis: Redis,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self {
            redis: Redis::start(&SearchPath::system()).unwrap(),
        }
    }

    pub(crate) fn bus(&self) -> RedisBus {
        self.bus_of("sovd")
    }

    /// Returns a bus of the installation with this prefix.
    pub(crate) fn bus_of(&self, prefix: &str) -> RedisBus {
        let server = RedisServer::new(&self.redis.url(), &RedisCertificates::default());
        RedisBus::new(server.unwrap(), prefix, 64)
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(self.redis.url()).unwrap()
    }

    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        let client = self.client();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub(crate) async fn ask<T: FromRedisValue + Debug>(&self, words: &[&str]) -> T {
        let mut command = cmd(words.first().unwrap());
        for word in words.iter().skip(1) {
            command.arg(word);
        }
        command.query_async(&mut self.raw().await).await.unwrap()
    }

    /// Returns the number of subscribers of the command's channel.
    pub(crate) async fn subscribers(&self, command_id: CommandId) -> i64 {
        let channel = format!("response:{command_id}");
        let (_, count): (String, i64) = self.ask(&["PUBSUB", "NUMSUB", &channel]).await;
        count
    }

    /// Waits until the command's channel has the expected number of subscribers.
    pub(crate) async fn wait_for_subscribers(&self, command_id: CommandId, expected: i64) {
        let reached = async { while self.subscribers(command_id).await != expected {} };
        timeout(DEADLINE, reached).await.unwrap();
    }

    /// Returns how often the server has executed a command.
    pub(crate) async fn calls(&self, command: &str) -> usize {
        let statistics: String = self.ask(&["INFO", "commandstats"]).await;
        let start = format!("cmdstat_{command}:calls=");
        let rest = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        rest.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}
