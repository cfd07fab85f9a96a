use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use sovd_connector::{CommandRequest, Connector, ConnectorError, ResponseChunk, ResponseStream};
use sovd_domain::{CommandId, VehicleId};
use tokio::sync::{
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    watch,
};

use crate::fixture::within;

/// What happens when a command of one name reaches the connector.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// These payloads come, and the last is final.
    Respond(Vec<Value>),
    /// These come, none of them final, and then the stream ends.
    Truncate(Vec<Value>),
    /// The connector fails at once.
    Fail(ConnectorError),
    /// These come, and then the connector fails.
    RespondThenFail(Vec<Value>, ConnectorError),
    /// These come, and then nothing.
    Hang(Vec<Value>),
    /// What the test feeds comes when it does.
    Fed(Fed),
}

type Fed = Arc<Mutex<UnboundedReceiver<ResponseChunk>>>;

impl Script {
    /// A reading of the faults with these codes.
    pub(crate) fn faults(codes: &str) -> Self {
        Self::Respond(vec![faults(codes)])
    }

    /// The vehicle says no.
    pub(crate) fn rejection() -> Self {
        let reason = "conditions not correct".to_owned();
        Self::Fail(ConnectorError::Rejected { reason })
    }

    /// There is no way to the vehicle.
    pub(crate) fn unreachable() -> Self {
        let reason = "no link".to_owned();
        Self::Fail(ConnectorError::Unreachable { reason })
    }

    /// The answer comes from the test.
    pub(crate) fn fed() -> (Feed, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Feed(sender), Self::Fed(Arc::new(Mutex::new(receiver))))
    }

    fn play(self) -> Result<ResponseStream, ConnectorError> {
        Ok(match self {
            Self::Respond(mut payloads) => {
                let last = payloads.pop().map(|payload| chunk(payload, true));
                parts(payloads).chain(stream::iter(last.map(Ok))).boxed()
            }
            Self::Truncate(payloads) => parts(payloads).boxed(),
            Self::Fail(error) => return Err(error),
            Self::RespondThenFail(payloads, error) => {
                parts(payloads).chain(stream::iter([Err(error)])).boxed()
            }
            Self::Hang(payloads) => parts(payloads).chain(stream::pending()).boxed(),
            Self::Fed(fed) => stream::unfold(fed, async |fed| {
                let chunk = poll_fn(|context| fed.lock().unwrap().poll_recv(context)).await?;
                Some((Ok(chunk), fed))
            })
            .boxed(),
        })
    }
}

/// What a reading with these codes looks like.
pub(crate) fn faults(codes: &str) -> Value {
    let faults = codes.split_whitespace().map(|code| json!({ "code": code }));
    json!({ "dtcs": faults.collect::<Vec<_>>() })
}

fn chunk(payload: Value, is_final: bool) -> ResponseChunk {
    ResponseChunk { payload, is_final }
}

fn parts(payloads: Vec<Value>) -> impl Stream<Item = Result<ResponseChunk, ConnectorError>> + Send {
    stream::iter(
        payloads
            .into_iter()
            .map(|payload| Ok(chunk(payload, false))),
    )
}

/// Feeds an answer. Dropped, it ends the stream.
pub(crate) struct Feed(UnboundedSender<ResponseChunk>);

impl Feed {
    /// Yields a chunk that is not the last.
    pub(crate) fn more(&self, payload: Value) {
        self.0.send(chunk(payload, false)).unwrap();
    }

    /// Yields the final chunk.
    pub(crate) fn last(&self, payload: Value) {
        self.0.send(chunk(payload, true)).unwrap();
    }
}

/// A connector that does as it is told, and remembers what it was asked.
pub(crate) struct ScriptedConnector {
    scripts: Mutex<HashMap<String, Vec<Script>>>,
    asked: watch::Sender<Vec<CommandRequest>>,
    streams: Arc<watch::Sender<Streams>>,
}

impl ScriptedConnector {
    pub(crate) const NAME: &str = "scripted";

    /// A connector that answers every command at once.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            scripts: Mutex::default(),
            asked: watch::Sender::default(),
            streams: Arc::default(),
        })
    }

    /// What happens to the commands called `name`: one script after the other, the last one from
    /// then on.
    pub(crate) fn on(self: Arc<Self>, name: &str, scripts: impl Into<Vec<Script>>) -> Arc<Self> {
        let mut scripts = scripts.into();
        scripts.reverse();
        self.scripts
            .lock()
            .unwrap()
            .insert(name.to_owned(), scripts);
        self
    }

    /// How often a command of that name was sent.
    pub(crate) fn request_count(&self, name: &str, command_id: CommandId) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.command_id == command_id && request.command_name == name)
            .count()
    }

    /// The names of all that was sent, in order.
    pub(crate) fn command_names(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|request| request.command_name)
            .collect()
    }

    /// All that was sent, in order.
    pub(crate) fn requests(&self) -> Vec<CommandRequest> {
        self.asked.borrow().clone()
    }

    /// Waits until the command called `name` was sent for the `count`-th time.
    pub(crate) async fn wait_for_request(&self, name: &str, count: usize) {
        let mut asked = self.asked.subscribe();
        within("the connector to be asked", async {
            let is_sent = |asked: &Vec<CommandRequest>| {
                asked
                    .iter()
                    .filter(|request| request.command_name == name)
                    .count()
                    >= count
            };
            asked.wait_for(is_sent).await.unwrap();
        })
        .await;
    }

    /// Waits until every stream that this gave has ended or was dropped.
    pub(crate) async fn wait_until_closed(&self) {
        let mut streams = self.streams.subscribe();
        within("the streams to be dropped", async {
            let is_left = |streams: &Streams| streams.open.is_empty();
            streams.wait_for(is_left).await.unwrap();
        })
        .await;
    }

    /// How many streams to one vehicle were ever open at the same time.
    pub(crate) fn max_open_streams(&self, vehicle_id: VehicleId) -> usize {
        let streams = self.streams.borrow();
        streams.most_open.get(&vehicle_id).copied().unwrap_or(0)
    }

    /// The same over all vehicles.
    pub(crate) fn max_open_streams_total(&self) -> usize {
        self.streams.borrow().most_open_in_all
    }

    fn script(&self, name: &str) -> Script {
        let mut scripts = self.scripts.lock().unwrap();
        match scripts.get_mut(name) {
            Some(left) if left.len() > 1 => left.pop().unwrap(),
            Some(left) => left[0].clone(),
            None => Script::Respond(vec![json!({ "dtcs": [] })]),
        }
    }
}

#[async_trait]
impl Connector for ScriptedConnector {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn execute(&self, request: CommandRequest) -> Result<ResponseStream, ConnectorError> {
        let script = self.script(&request.command_name);
        let open = Open::new(&self.streams, request.vehicle_id);
        self.asked.send_modify(|asked| asked.push(request));
        let answer = script.play()?.map(move |item| {
            let _ = &open;
            item
        });
        Ok(answer.boxed())
    }
}

/// The streams that a connector gave.
#[derive(Default)]
struct Streams {
    /// The vehicle of each that is open.
    open: Vec<VehicleId>,
    most_open: HashMap<VehicleId, usize>,
    most_open_in_all: usize,
}

/// Counts a stream while it lives.
struct Open {
    streams: Arc<watch::Sender<Streams>>,
    vehicle_id: VehicleId,
}

impl Open {
    fn new(streams: &Arc<watch::Sender<Streams>>, vehicle_id: VehicleId) -> Self {
        streams.send_modify(|streams| {
            streams.open.push(vehicle_id);
            let open = streams.open.iter().filter(|open| **open == vehicle_id);
            let most_open = streams.most_open.entry(vehicle_id).or_default();
            *most_open = open.count().max(*most_open);
            streams.most_open_in_all = streams.open.len().max(streams.most_open_in_all);
        });
        Self {
            streams: Arc::clone(streams),
            vehicle_id,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.send_modify(|streams| {
            let place = streams
                .open
                .iter()
                .position(|open| *open == self.vehicle_id);
            streams.open.swap_remove(place.unwrap());
        });
    }
}
