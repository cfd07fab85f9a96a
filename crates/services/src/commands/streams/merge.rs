use sovd_domain::{Command, CommandStatus, Response, StreamEvent};
use sovd_events::Hint;

/// Decides what of the replay and the live feed a client gets, so that it gets everything once
/// and in order.
///
/// The stream is: `in_progress` if the command was ever started, the responses by number, the
/// terminal event.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    last_number: i32,
    progress: Progress,
    stale: bool,
}

/// How far a client has come, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Waiting,
    Started,
    SawFinal,
    Ended,
}

/// What to do with a live event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next one.
    Next,
    /// The client has it.
    Seen,
    /// Something before it is missing: only the database knows.
    Gap,
}

impl Merge {
    /// For a client that has the responses up to `number`.
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

    /// Whether the database has to be read before anything else is delivered.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Judges a live event; [`Verdict::Next`] counts as delivered.
    pub(super) fn offer(&mut self, event: &StreamEvent) -> Verdict {
        if self.has_ended() {
            return Verdict::Seen;
        }
        if self.stale {
            return Verdict::Gap;
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
            StreamEvent::Status { .. } if self.progress == Progress::SawFinal => {
                self.progress = Progress::Ended;
                Verdict::Next
            }
            // How many responses came before it, the event does not say.
            StreamEvent::Status { .. } | StreamEvent::Error { .. } => Verdict::Gap,
        }
    }

    /// Whether the database has to be read because of a hint: whether that says more than the client
    /// has.
    pub(super) fn is_new(&self, hint: Hint) -> bool {
        match hint {
            Hint::Started => self.progress == Progress::Waiting,
            Hint::Response(number) => !self.has_ended() && number > self.last_number,
            Hint::Ended => !self.has_ended(),
        }
    }

    /// What of the database's state is new to the client, in order. With a page of responses that
    /// is not the last one the rest has to be read afterwards.
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
        let mut news = Vec::new();
        if command.started_at.is_some() && self.progress == Progress::Waiting {
            self.progress = Progress::Started;
            news.push(StreamEvent::Status {
                command_id: command.command_id,
                status: CommandStatus::InProgress,
                completed_at: None,
            });
        }
        for response in responses {
            if response.sequence_number > self.last_number {
                self.last_number = response.sequence_number;
                if response.is_final {
                    self.progress = Progress::SawFinal;
                }
                news.push(response.clone().into());
            }
        }
        if command.status.is_terminal() && is_last_page {
            self.progress = Progress::Ended;
            news.extend(StreamEvent::of_state(command));
        }
        news
    }

    fn offer_start(&mut self) -> Verdict {
        if self.progress >= Progress::Started {
            return Verdict::Seen;
        }
        self.progress = Progress::Started;
        Verdict::Next
    }

    fn offer_response(&mut self, number: i32, is_final: bool) -> Verdict {
        if number <= self.last_number {
            return Verdict::Seen;
        }
        if self.progress == Progress::Waiting || number != self.last_number + 1 {
            return Verdict::Gap;
        }
        self.last_number = number;
        if is_final {
            self.progress = Progress::SawFinal;
        }
        Verdict::Next
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

    /// Everything that is ever published about the command, in order.
    fn history() -> Vec<StreamEvent> {
        let mut events = vec![StreamEvent::of_state(&command(CommandStatus::InProgress)).unwrap()];
        events.extend((1..=CHUNKS).map(|number| response(number).into()));
        events.push(StreamEvent::of_state(&command(CommandStatus::Completed)).unwrap());
        events
    }

    /// What the database holds once the first `committed` events are, read in pages of `page`.
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

    /// Delivers the history with losses, repetitions and exchanges that `random` chooses, and
    /// rereadings at random moments.
    fn stormy(random: &SeededRandom, after: i32) -> Vec<StreamEvent> {
        let history = history();
        let mut merge = Merge::after(after);
        let mut seen = Vec::new();
        let mut committed = usize::try_from(random.between(0, 8)).unwrap();
        while !merge.has_ended() {
            if random.between(0, 2) == 0 {
                committed = (committed + 1).min(history.len());
            }
            if random.between(0, 9) == 0 {
                merge.mark_stale();
            }
            // A live event is one of those committed, any of them: late, lost or twice.
            let live = usize::try_from(random.between(0, 7)).unwrap();
            if live < committed {
                match merge.offer(&history[live]) {
                    Verdict::Next => seen.push(history[live].clone()),
                    Verdict::Seen => {}
                    Verdict::Gap => merge.mark_stale(),
                }
            }
            if merge.is_stale() {
                let page = usize::try_from(random.between(1, 8)).unwrap();
                seen.extend(catch_up(&mut merge, committed, page));
            }
        }
        seen
    }

    #[test]
    fn any_disorder_of_the_bus_gives_the_same_stream() {
        for seed in 0..2_000 {
            let random = SeededRandom::new(seed);
            let after = i32::try_from(random.between(0, 7)).unwrap();
            assert_eq!(
                stormy(&random, after),
                expected(after),
                "seed {seed}, after {after}"
            );
        }
    }

    #[test]
    fn a_calm_bus_needs_no_second_look() {
        let mut merge = Merge::after(0);
        assert_eq!(catch_up(&mut merge, 0, 64), vec![]);
        for event in history() {
            assert_eq!(merge.offer(&event), Verdict::Next, "{event:?}");
        }
        assert!(merge.has_ended());
    }

    #[test]
    fn a_hint_is_new_if_it_says_more_than_the_client_has() {
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
    fn nothing_is_delivered_before_the_first_look() {
        let mut merge = Merge::after(0);
        assert_eq!(merge.offer(&history()[0]), Verdict::Gap);
    }
}
