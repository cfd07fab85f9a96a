use chrono::{DateTime, Months, Utc};
use sovd_domain::FieldError;

/// The maximum time between a booking and its appointment.
const MAX_LEAD: Months = Months::new(24);

/// Validates the time of an appointment at `now` and truncates it to microseconds, as it is stored.
pub(super) fn appointment_time(
    time: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, FieldError> {
    let error = |detail| FieldError::new("/appointment_time", detail);
    let latest = now.checked_add_months(MAX_LEAD);
    if time <= now {
        return Err(error("must be in the future"));
    }
    if latest.is_none_or(|latest| time > latest) {
        return Err(error("must be at most 2 years ahead"));
    }
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| error("is not a valid time"))
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
            let accepted = appointment_time(at(time), now);
            assert_eq!(accepted.is_ok(), is_accepted, "{time}");
        }
    }

    #[test]
    fn truncates_the_time_to_microseconds() {
        let now = at("2016-12-31T12:00:00Z");
        for (time, stored) in [
            (
                "2017-01-01T00:00:00.1234567Z",
                "2017-01-01T00:00:00.123456Z",
            ),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ] {
            let truncated = appointment_time(at(time), now).unwrap();
            assert_eq!(truncated.to_rfc3339(), at(stored).to_rfc3339());
        }
    }
}
