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

/// The behavior of the connector when it receives a command.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Responds with these payloads, the last of which is final.
    Respond(Vec<Value>),
    /// Responds with these payloads and ends the stream without a final one.
    Truncate(Vec<Value>),
    /// Fails at once.
    Fail(ConnectorError),
    /// Responds with these payloads and then fails.
    RespondThenFail(Vec<Value>, ConnectorError),
    /// Responds with these payloads and then hangs.
    Hang(Vec<Value>),
    /// Responds with what the test feeds.
    Fed(Fed),
}

type Fed = Arc<Mutex<UnboundedReceiver<ResponseChunk>>>;

impl Script {
    /// Responds with a list of these fault codes.
    pub(crate) fn faults(codes: &str) -> Self {
        Self::Respond(vec![faults(codes)])
    }

    /// The vehicle rejects the command.
    pub(crate) fn rejection() -> Self {
        let reason = "conditions not correct".to_owned();
        Self::Fail(ConnectorError::Rejected { reason })
    }

    /// The vehicle cannot be reached.
    pub(crate) fn unreachable() -> Self {
        let reason = "no link".to_owned();
        Self::Fail(ConnectorError::Unreachable { reason })
    }

    /// The test feeds the response.
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

/// Returns the payload of a list of these fault codes.
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

/// Feeds a response. Dropping it ends the stream.
pub(crate) struct Feed(UnboundedSender<ResponseChunk>);

impl Feed {
    /// Feeds a chunk that is not final.
    pub(crate) fn more(&self, payload: Value) {
        self.0.send(chunk(payload, false)).unwrap();
    }

    /// Feeds the final chunk.
    pub(crate) fn last(&self, payload: Value) {
        self.0.send(chunk(payload, true)).unwrap();
    }
}

/// A connector that follows scripts and records its requests.
pub(crate) struct ScriptedConnector {
    scripts: Mutex<HashMap<String, Vec<Script>>>,
    requests: watch::Sender<Vec<CommandRequest>>,
    streams: Arc<watch::Sender<Streams>>,
}

impl ScriptedConnector {
    pub(crate) const NAME: &str = "scripted";

    /// Creates a connector that completes every command at once.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            scripts: Mutex::default(),
            requests: watch::Sender::default(),
            streams: Arc::default(),
        })
    }

    /// Sets the scripts for the commands called `name`, which are played in order. The last one is
    /// repeated.
    pub(crate) fn on(self: Arc<Self>, name: &str, scripts: impl Into<Vec<Script>>) -> Arc<Self> {
        let mut scripts = scripts.into();
        scripts.reverse();
        self.scripts
            .lock()
            .unwrap()
            .insert(name.to_owned(), scripts);
        self
    }

    /// Returns how often the command was sent under this name.
    pub(crate) fn request_count(&self, name: &str, command_id: CommandId) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.command_id == command_id && request.command_name == name)
            .count()
    }

    /// Returns the names of all requests, in order.
    pub(crate) fn command_names(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|request| request.command_name)
            .collect()
    }

    /// Returns all requests, in order.
    pub(crate) fn requests(&self) -> Vec<CommandRequest> {
        self.requests.borrow().clone()
    }

    /// Waits for the `count`-th request of commands called `name`.
    pub(crate) async fn wait_for_request(&self, name: &str, count: usize) {
        let mut requests = self.requests.subscribe();
        within("a request to the connector", async {
            let is_sent = |requests: &Vec<CommandRequest>| {
                let named = requests
                    .iter()
                    .filter(|request| request.command_name == name);
                named.count() >= count
            };
            requests.wait_for(is_sent).await.unwrap();
        })
        .await;
    }

    /// Waits until all response streams have ended or been dropped.
    pub(crate) async fn wait_until_closed(&self) {
        let mut streams = self.streams.subscribe();
        within("the streams to be dropped", async {
            let is_closed = |streams: &Streams| streams.open.is_empty();
            streams.wait_for(is_closed).await.unwrap();
        })
        .await;
    }

    /// Returns the maximum number of simultaneous streams of one vehicle.
    pub(crate) fn max_open_streams(&self, vehicle_id: VehicleId) -> usize {
        let streams = self.streams.borrow();
        streams.max_open.get(&vehicle_id).copied().unwrap_or(0)
    }

    /// Returns the maximum number of simultaneous streams of all vehicles.
    pub(crate) fn max_open_streams_total(&self) -> usize {
        self.streams.borrow().max_open_total
    }

    fn script(&self, name: &str) -> Script {
        let mut scripts = self.scripts.lock().unwrap();
        match scripts.get_mut(name) {
            Some(scripts) if scripts.len() > 1 => scripts.pop().unwrap(),
            Some(scripts) => scripts[0].clone(),
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
        self.requests.send_modify(|requests| requests.push(request));
        let response = script.play()?.map(move |item| {
            let _ = &open;
            item
        });
        Ok(response.boxed())
    }
}

/// The response streams of a connector.
#[derive(Default)]
struct Streams {
    /// The vehicles of the open streams.
    open: Vec<VehicleId>,
    max_open: HashMap<VehicleId, usize>,
    max_open_total: usize,
}

/// Counts a stream while it exists.
struct Open {
    streams: Arc<watch::Sender<Streams>>,
    vehicle_id: VehicleId,
}

impl Open {
    fn new(streams: &Arc<watch::Sender<Streams>>, vehicle_id: VehicleId) -> Self {
        streams.send_modify(|streams| {
            streams.open.push(vehicle_id);
            let open = streams.open.iter().filter(|open| **open == vehicle_id);
            let max_open = streams.max_open.entry(vehicle_id).or_default();
            *max_open = open.count().max(*max_open);
            streams.max_open_total = streams.open.len().max(streams.max_open_total);
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
            let index = streams
                .open
                .iter()
                .position(|open| *open == self.vehicle_id);
            streams.open.swap_remove(index.unwrap());
        });
    }
}
