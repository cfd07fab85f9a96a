use std::{cell::RefCell, time::Duration};

use futures_util::future::join_all;
use tokio::time::{interval, sleep};

use crate::{
    Context,
    arguments::Part,
    candidate::Candidate,
    databases::Role,
    load::{self, as_float},
    operation::Operation,
    report::label,
    samples::{Memory, Samples},
    server::Server,
    user::open_socket,
};

const SOCKETS: usize = 1_000;
/// Sockets that are opened at a time.
const AT_A_TIME: usize = 50;
const USERS: usize = 64;
const DURATION: Duration = Duration::from_mins(1);

/// Measures the memory for an idle WebSocket, and the memory of the server during a minute of lifecycles.
pub(crate) async fn measure(context: &Context<'_>, samples: &mut Samples) {
    if !context.includes(Part::Memory) {
        return;
    }
    for (index, binaries) in context.binaries.iter().enumerate() {
        let database = format!("memory{index}");
        let candidate = Candidate::start(context.postgres, &database, binaries, Role::Engineer);
        let candidate = candidate.await;
        let socket_kib = idle_sockets(&candidate).await;
        let resident_kib = lifecycles(&candidate).await;
        let (first, last) = resident_kib.split_at(resident_kib.len() / 2);
        let memory = Memory {
            server: index,
            socket_kib,
            peak_mib: mean(resident_kib.iter().max()) / 1024.0,
            growth_mib: (mean(last) - mean(first)) / 1024.0,
        };
        println!(
            "memory, {}: {socket_kib:.1} KiB for a socket, {:.0} MiB at the peak, {:+.1} MiB",
            label(index),
            memory.peak_mib,
            memory.growth_mib
        );
        samples.memory.push(memory);
    }
}

/// Returns the growth of the server's resident memory for each idle stream of fleet events, in KiB.
async fn idle_sockets(candidate: &Candidate) -> f64 {
    let (server, tokens) = (&candidate.server, &candidate.tokens);
    let mut sockets = Vec::new();
    let mut before = 0;
    // The first sockets allocate what is allocated once.
    while sockets.len() < SOCKETS + AT_A_TIME {
        if sockets.len() == AT_A_TIME {
            before = settled(server).await;
        }
        let opening = tokens.iter().cycle().take(AT_A_TIME);
        let opening = opening.map(|token| open_socket(server.address, "/ws/events", token));
        for socket in join_all(opening).await {
            sockets.push(socket.unwrap());
        }
    }
    let growth = settled(server).await.saturating_sub(before);
    f64::from(growth) / as_float(SOCKETS)
}

async fn settled(server: &Server) -> u32 {
    sleep(Duration::from_secs(2)).await;
    server.resident_kib()
}

/// Returns the resident memory in KiB in each second of the load.
async fn lifecycles(candidate: &Candidate) -> Vec<u32> {
    let (server, tokens) = (&candidate.server, &candidate.tokens);
    let resident_kib = RefCell::default();
    let sample = async {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let resident: &RefCell<Vec<u32>> = &resident_kib;
            resident.borrow_mut().push(server.resident_kib());
        }
    };
    tokio::select! {
        () = sample => (),
        _ = load::run(server, tokens, Operation::Lifecycle, USERS, DURATION) => (),
    }
    resident_kib.into_inner()
}

fn mean<'a>(values: impl IntoIterator<Item = &'a u32>) -> f64 {
    let values: Vec<f64> = values.into_iter().map(|value| f64::from(*value)).collect();
    values.iter().sum::<f64>() / as_float(values.len())
}
