//! Following commands when the bus delivers nothing.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all};
use serde_json::json;
use sovd_domain::{CommandId, StreamEvent};
use sovd_services::commands::{
    Submission,
    streams::{Follower, Streams},
};

use crate::{
    captured_log::CapturedLog,
    fixture::{OFFLINE, TestBed, engineer, submission, within},
    scripted_connector::{Script, ScriptedConnector},
};

const READ: &str = "ReadDTC";

async fn follow(bed: &TestBed, streams: &Streams, command_id: CommandId, after: i32) -> Follower {
    let caller = engineer();
    let follower = streams.follow(&bed.commands, &caller, command_id, after);
    follower.await.unwrap()
}

fn numbers(events: &[StreamEvent]) -> Vec<i32> {
    let number = |event: &StreamEvent| match event {
        StreamEvent::Response {
            sequence_number, ..
        } => Some(*sequence_number),
        StreamEvent::Status { .. } | StreamEvent::Error { .. } => None,
    };
    events.iter().filter_map(number).collect()
}

/// Covers an outage that the bus reports, and a publisher that crashed.
#[tokio::test]
async fn no_event_is_lost_without_the_bus() {
    for is_known in [true, false] {
        let (feed, slow) = Script::fed();
        let bed = TestBed::new(ScriptedConnector::new().on(READ, [slow])).await;
        let streams = bed.parts.streams();
        let command_id = bed.submit(READ).await;
        let running = bed.start_dispatcher();
        let follower = follow(&bed, &streams, command_id, 0).await;
        let mut events = Box::pin(follower.into_stream());
        feed.more(json!({ "part": 1 }));
        for _ in 0..2 {
            within("the first events", events.next()).await.unwrap();
        }
        bed.bus.drop_messages(is_known);
        feed.more(json!({ "part": 2 }));
        feed.last(json!({ "part": 3 }));
        let rest: Vec<StreamEvent> = within("the rest", events.collect()).await;
        assert_eq!(numbers(&rest), [2, 3]);
        assert!(rest.last().unwrap().is_terminal());
        running.stop().await;
    }
}

#[tokio::test]
async fn a_hundred_followers_share_one_catch_up_worker() {
    let log = CapturedLog::start();
    let (feed, slow) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [slow])).await;
    bed.bus.drop_messages(true);
    let streams = bed.parts.streams();
    let command_id = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    bed.connector.wait_for_request(READ, 1).await;
    let started = Instant::now();
    let followers = (0..100).map(|_| follow(&bed, &streams, command_id, 0));
    let streams: Vec<_> = join_all(followers)
        .await
        .into_iter()
        .map(|follower| follower.into_stream().collect::<Vec<_>>())
        .collect();
    for part in 0..20 {
        feed.more(json!({ "part": part }));
    }
    feed.last(json!({ "part": 20 }));
    for events in within("the streams", join_all(streams)).await {
        assert_eq!(numbers(&events), (1..=21).collect::<Vec<_>>());
    }
    let runs = log.count("reading the database");
    let intervals = started.elapsed().as_millis() / Duration::from_millis(500).as_millis();
    assert!(
        runs <= usize::try_from(intervals).unwrap() + 1,
        "{runs} runs in {intervals} intervals"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_long_response_is_paged_from_any_position() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let streams = bed.parts.streams();
    let command_id = bed.submit(READ).await;
    bed.crash_while_sending(command_id).await;
    let parts: Vec<_> = (1..=200).map(|part| json!({ "part": part })).collect();
    bed.store_responses(command_id, &parts).await;
    let running = bed.start_dispatcher();
    bed.wait_for_end(command_id).await;
    for after in [0, 1, 63, 64, 65, 199, 200, 201, 202] {
        let follower = follow(&bed, &streams, command_id, after).await;
        let events: Vec<_> = within("the stream", follower.into_stream().collect()).await;
        assert_eq!(numbers(&events), (after + 1..=201).collect::<Vec<_>>());
        let terminal = events.iter().filter(|event| event.is_terminal()).count();
        assert_eq!(terminal, 1);
    }
    running.stop().await;
}

#[tokio::test]
async fn an_unreadable_command_ends_only_its_stream() {
    let (feed, slow) = Script::fed();
    let bed = TestBed::new(ScriptedConnector::new().on(READ, [slow])).await;
    let streams = bed.parts.streams();
    let other = Submission {
        vehicle_id: OFFLINE,
        command_params: json!({ "ecuAddress": "0x10", "dataId": "0xF190" }),
        ..submission("ReadDataByID")
    };
    let broken = bed.submit_with(other).await;
    let whole = bed.submit(READ).await;
    let running = bed.start_dispatcher();
    let followers = (
        follow(&bed, &streams, broken, 0).await,
        follow(&bed, &streams, whole, 0).await,
    );
    let sql = "ALTER TABLE commands DROP CONSTRAINT chk_commands_status;
               UPDATE commands SET status = 'asleep' WHERE command_name = 'ReadDataByID'";
    bed.sql().await.batch_execute(sql).await.unwrap();
    feed.last(json!({ "dtcs": [] }));
    let (broken, whole) = tokio::join!(
        within(
            "the broken one",
            followers.0.into_stream().collect::<Vec<_>>()
        ),
        within(
            "the whole one",
            followers.1.into_stream().collect::<Vec<_>>()
        ),
    );
    assert_eq!(broken, []);
    assert_eq!(numbers(&whole), [1]);
    running.stop().await;
}
