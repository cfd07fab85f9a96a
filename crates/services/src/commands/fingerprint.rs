use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Submission;

/// Returns the SHA-256 of the fields of a submission in a fixed order.
pub(super) fn fingerprint(submission: &Submission) -> Vec<u8> {
    let fields = json!([
        submission.vehicle_id,
        submission.command_name,
        canonical(&submission.command_params),
        submission.expires_in.map(|span| span.as_secs()),
        submission.queue_if_offline,
        submission.skip_evidence,
    ]);
    Sha256::digest(fields.to_string()).to_vec()
}

/// Returns a representation that does not depend on the order of the fields of objects.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let pairs = sorted
                .into_iter()
                .map(|(name, field)| json!([name, canonical(field)]));
            json!({ "fields": pairs.collect::<Vec<_>>() })
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::from_str;
    use sovd_domain::VehicleId;
    use uuid::Uuid;

    use super::*;

    fn submission(params: &str) -> Submission {
        Submission {
            vehicle_id: VehicleId(Uuid::from_u128(1)),
            command_name: "ReadDTC".to_owned(),
            command_params: from_str(params).unwrap(),
            expires_in: None,
            queue_if_offline: false,
            skip_evidence: false,
            idempotency_key: None,
        }
    }

    #[test]
    fn ignores_the_order_of_fields() {
        assert_eq!(
            fingerprint(&submission(r#"{"a": 1, "b": {"c": 2, "d": [3, 4]}}"#)),
            fingerprint(&submission(r#"{"b": {"d": [3, 4], "c": 2}, "a": 1}"#))
        );
    }

    #[test]
    fn covers_every_field() {
        let one = submission(r#"{"a": 1}"#);
        let changed = |change: fn(&mut Submission)| {
            let mut other = one.clone();
            change(&mut other);
            other
        };
        for other in [
            submission(r#"{"a": 2}"#),
            submission(r#"{"a": [1]}"#),
            submission(r#"{"a": {"fields": [["a", 1]]}}"#),
            changed(|it| it.vehicle_id = VehicleId(Uuid::from_u128(2))),
            changed(|it| it.command_name = "ClearDTC".to_owned()),
            changed(|it| it.expires_in = Some(Duration::from_secs(1))),
            changed(|it| it.queue_if_offline = true),
            changed(|it| it.skip_evidence = true),
        ] {
            assert_ne!(fingerprint(&one), fingerprint(&other), "{other:?}");
        }
    }
}
