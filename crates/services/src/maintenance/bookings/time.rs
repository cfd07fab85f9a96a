use chrono::{DateTime, Months, Utc};
use sovd_domain::FieldError;

/// How far ahead a service can be booked.
const FARTHEST: Months = Months::new(24);

/// The time of an appointment as it is kept, to the microsecond, if it can be one at `now`.
pub(super) fn appointment(
    time: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, FieldError> {
    let wrong = |detail| FieldError::new("/appointment_time", detail);
    let farthest = now.checked_add_months(FARTHEST);
    if time <= now {
        return Err(wrong("must be in the future"));
    }
    if farthest.is_none_or(|farthest| time > farthest) {
        return Err(wrong("must be at most 2 years ahead"));
    }
    DateTime::from_timestamp_micros(time.timestamp_micros()).ok_or_else(|| wrong("is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn accepts_appointments_within_two_years() {
        let now = at("2026-03-01T12:00:00Z");
        for (time, is_accepted) in [
            ("2026-03-01T11:59:59.999999Z", false),
            ("2026-03-01T12:00:00Z", false),
            ("2026-03-01T12:00:00.000001Z", true),
            ("2028-03-01T12:00:00Z", true),
            ("2028-03-01T12:00:00.000001Z", false),
        ] {
            let accepted = appointment(at(time), now);
            assert_eq!(accepted.is_ok(), is_accepted, "{time}");
        }
    }

    #[test]
    fn truncates_the_time_to_microseconds() {
        let now = at("2016-12-31T12:00:00Z");
        for (time, kept) in [
            (
                "2017-01-01T00:00:00.123456789Z",
                "2017-01-01T00:00:00.123456Z",
            ),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                appointment(at(time), now).unwrap().to_rfc3339(),
                at(kept).to_rfc3339()
            );
        }
    }
}
