use sovd_domain::{Command, CommandStatus, Response, StreamEvent};
use sovd_events::Hint;

/// Merges the events from the database with those from the bus, so that a follower receives each event
/// once and in order: `in_progress` if the command was started, the responses by number, and the terminal
/// event.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    last_number: i32,
    progress: Progress,
    stale: bool,
}

/// The progress of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Waiting,
    Started,
    ReceivedFinal,
    Ended,
}

/// The order of an event from the bus relative to the delivered events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventOrder {
    /// It is the next event.
    Next,
    /// It has been delivered already.
    Duplicate,
    /// Events before it may be missing, which must be read from the database.
    Gap,
}

impl Merge {
    /// Creates the state of a follower that has received the responses up to `number`.
    pub(super) fn after(number: i32) -> Self {
        Self {
            last_number: number,
            progress: Progress::Waiting,
            stale: true,
        }
    }

    pub(super) fn last_number(&self) -> i32 {
        self.last_number
    }

    pub(super) fn has_ended(&self) -> bool {
        self.progress == Progress::Ended
    }

    /// Returns whether the database must be read before further events are delivered.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Classifies an event from the bus. [`EventOrder::Next`] marks it as delivered.
    pub(super) fn offer(&mut self, event: &StreamEvent) -> EventOrder {
        if self.has_ended() {
            return EventOrder::Duplicate;
        }
        if self.stale {
            return EventOrder::Gap;
        }
        match event {
            StreamEvent::Status {
                status: CommandStatus::InProgress,
                ..
            } => self.offer_start(),
            StreamEvent::Response {
                sequence_number,
                is_final,
                ..
            } => self.offer_response(*sequence_number, *is_final),
            StreamEvent::Status { .. } if self.progress == Progress::ReceivedFinal => {
                self.progress = Progress::Ended;
                EventOrder::Next
            }
            // The number of responses before it is unknown.
            StreamEvent::Status { .. } | StreamEvent::Error { .. } => EventOrder::Gap,
        }
    }

    /// Returns whether the hint indicates undelivered events.
    pub(super) fn is_new(&self, hint: Hint) -> bool {
        match hint {
            Hint::Started => self.progress == Progress::Waiting,
            Hint::Response(number) => !self.has_ended() && number > self.last_number,
            Hint::Ended => !self.has_ended(),
        }
    }

    /// Returns the undelivered events of the state in the database, in order, and marks them as delivered.
    /// The merge stays stale unless the page of responses is the last one.
    pub(super) fn catch_up(
        &mut self,
        command: &Command,
        responses: &[Response],
        is_last_page: bool,
    ) -> Vec<StreamEvent> {
        self.stale = !is_last_page;
        if self.has_ended() {
            return Vec::new();
        }
        let mut events = Vec::new();
        if command.started_at.is_some() && self.progress == Progress::Waiting {
            self.progress = Progress::Started;
            events.push(StreamEvent::Status {
                command_id: command.command_id,
                status: CommandStatus::InProgress,
                completed_at: None,
            });
        }
        for response in responses {
            if response.sequence_number > self.last_number {
                self.last_number = response.sequence_number;
                if response.is_final {
                    self.progress = Progress::ReceivedFinal;
                }
                events.push(response.clone().into());
            }
        }
        if command.status.is_terminal() && is_last_page {
            self.progress = Progress::Ended;
            events.extend(StreamEvent::of_state(command));
        }
        events
    }

    fn offer_start(&mut self) -> EventOrder {
        if self.progress >= Progress::Started {
            return EventOrder::Duplicate;
        }
        self.progress = Progress::Started;
        EventOrder::Next
    }

    fn offer_response(&mut self, number: i32, is_final: bool) -> EventOrder {
        if number <= self.last_number {
            return EventOrder::Duplicate;
        }
        if self.progress == Progress::Waiting || number != self.last_number + 1 {
            return EventOrder::Gap;
        }
        self.last_number = number;
        if is_final {
            self.progress = Progress::ReceivedFinal;
        }
        EventOrder::Next
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;
    use sovd_domain::{CommandId, Random, ResponseId, SeededRandom, UserId, VehicleId};
    use uuid::Uuid;

    use super::*;

    const CHUNKS: i32 = 6;

    fn at() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn command(status: CommandStatus) -> Command {
        Command {
            command_id: CommandId(Uuid::from_u128(1)),
            user_id: UserId(Uuid::from_u128(2)),
            vehicle_id: VehicleId(Uuid::from_u128(3)),
            command_name: "ReadDTC".into(),
            command_params: json!({}),
            status,
            failure_kind: None,
            error_message: None,
            submitted_at: at(),
            started_at: (status != CommandStatus::Pending).then(at),
            completed_at: status.is_terminal().then(at),
            expires_at: at(),
            finding: None,
        }
    }

    fn response(number: i32) -> Response {
        Response {
            response_id: ResponseId(Uuid::from_u128(100)),
            command_id: CommandId(Uuid::from_u128(1)),
            response_payload: json!(number),
            sequence_number: number,
            is_final: number == CHUNKS,
            received_at: at(),
        }
    }

    /// All events of the command, in order.
    fn history() -> Vec<StreamEvent> {
        let mut events = vec![StreamEvent::of_state(&command(CommandStatus::InProgress)).unwrap()];
        events.extend((1..=CHUNKS).map(|number| response(number).into()));
        events.push(StreamEvent::of_state(&command(CommandStatus::Completed)).unwrap());
        events
    }

    /// Reads a page from a database that contains the first `committed` events.
    fn catch_up(merge: &mut Merge, committed: usize, page: usize) -> Vec<StreamEvent> {
        let status = match committed {
            0 => CommandStatus::Pending,
            all if all == history().len() => CommandStatus::Completed,
            _ => CommandStatus::InProgress,
        };
        let stored = i32::try_from(committed)
            .unwrap()
            .saturating_sub(1)
            .min(CHUNKS);
        let mut responses: Vec<Response> =
            (merge.last_number() + 1..=stored).map(response).collect();
        responses.truncate(page);
        let is_last_page = responses.len() < page;
        merge.catch_up(&command(status), &responses, is_last_page)
    }

    fn expected(after: i32) -> Vec<StreamEvent> {
        history()
            .into_iter()
            .filter(|event| match event {
                StreamEvent::Response {
                    sequence_number, ..
                } => *sequence_number > after,
                _ => true,
            })
            .collect()
    }

    /// Delivers the history with random losses, duplicates, reorderings and catch-ups.
    fn deliver_randomly(random: &SeededRandom, after: i32) -> Vec<StreamEvent> {
        let history = history();
        let mut merge = Merge::after(after);
        let mut delivered = Vec::new();
        let mut committed = usize::try_from(random.between(0, 8)).unwrap();
        while !merge.has_ended() {
            if random.between(0, 2) == 0 {
                committed = (committed + 1).min(history.len());
            }
            if random.between(0, 9) == 0 {
                merge.mark_stale();
            }
            // The bus delivers any of the committed events.
            let live = usize::try_from(random.between(0, 7)).unwrap();
            if live < committed {
                match merge.offer(&history[live]) {
                    EventOrder::Next => delivered.push(history[live].clone()),
                    EventOrder::Duplicate => {}
                    EventOrder::Gap => merge.mark_stale(),
                }
            }
            if merge.is_stale() {
                let page = usize::try_from(random.between(1, 8)).unwrap();
                delivered.extend(catch_up(&mut merge, committed, page));
            }
        }
        delivered
    }

    #[test]
    fn the_stream_does_not_depend_on_the_bus() {
        for seed in 0..2_000 {
            let random = SeededRandom::new(seed);
            let after = i32::try_from(random.between(0, 7)).unwrap();
            assert_eq!(
                deliver_randomly(&random, after),
                expected(after),
                "seed {seed}, after {after}"
            );
        }
    }

    #[test]
    fn a_reliable_bus_needs_no_further_catch_up() {
        let mut merge = Merge::after(0);
        assert_eq!(catch_up(&mut merge, 0, 64), vec![]);
        for event in history() {
            assert_eq!(merge.offer(&event), EventOrder::Next, "{event:?}");
        }
        assert!(merge.has_ended());
    }

    #[test]
    fn a_hint_is_new_if_it_indicates_undelivered_events() {
        let mut merge = Merge::after(0);
        catch_up(&mut merge, 3, 64);
        assert_eq!(merge.last_number(), 2);
        for (hint, is_new) in [
            (Hint::Started, false),
            (Hint::Response(i32::MIN), false),
            (Hint::Response(2), false),
            (Hint::Response(3), true),
            (Hint::Response(i32::MAX), true),
            (Hint::Ended, true),
        ] {
            assert_eq!(merge.is_new(hint), is_new, "{hint:?}");
        }
        catch_up(&mut merge, history().len(), 64);
        assert!(!merge.is_new(Hint::Response(i32::MAX)));
        assert!(!merge.is_new(Hint::Ended));
    }

    #[test]
    fn delivers_nothing_before_the_first_catch_up() {
        let mut merge = Merge::after(0);
        assert_eq!(merge.offer(&history()[0]), EventOrder::Gap);
    }
}
