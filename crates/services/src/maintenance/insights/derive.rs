use sovd_domain::{AnomalyId, AuditEntry, Insight, Permission};
use sovd_storage::{
    Transaction, audit,
    maintenance::insights::{self, FailureGroup},
};

use super::{Insights, NewInsight, audit_entry};
use crate::{error::Result, identity::caller::Caller};

/// The maximum number of trouble codes in the text of an insight.
const MAX_CODES: usize = 20;

/// The maximum number of insights per call.
const MAX_INSIGHTS: i64 = 100;

impl Insights {
    /// Groups the confirmed failures by component, model and model year, and creates an insight for each
    /// group with more than `threshold` failures, at least one of which belongs to no insight. Returns up
    /// to 100 insights, most failures first. Each failure counts as new once, also for concurrent calls.
    pub async fn derive(&self, caller: &Caller, threshold: Option<u32>) -> Result<Vec<Insight>> {
        caller.require(Permission::RecordInsights)?;
        let threshold = i64::from(threshold.unwrap_or(self.threshold));
        let insert = async |transaction: &mut Transaction, now| {
            insights::lock_derivation(transaction).await?;
            let groups = insights::derivable_groups(transaction, threshold, MAX_INSIGHTS).await?;
            if groups.is_empty() {
                return Ok(Vec::new());
            }
            let derived: Vec<(Insight, Vec<AnomalyId>)> = groups
                .into_iter()
                .map(|it| (self.new_insight(summarize(&it.group)), it.new_failures))
                .collect();
            insights::insert_derived(transaction, &derived).await?;
            let insights: Vec<Insight> = derived.into_iter().map(|(insight, _)| insight).collect();
            let entries: Vec<AuditEntry> = insights
                .iter()
                .map(|insight| audit_entry(caller, "insight.derive", insight))
                .collect();
            audit::insert_all(transaction, &entries, now).await?;
            Ok(insights)
        };
        self.access.change(caller, insert).await
    }
}

fn summarize(group: &FailureGroup) -> NewInsight {
    NewInsight {
        component_name: group.component_name.clone(),
        failure_pattern: format!(
            "{}{} on {}",
            codes(&group.dtc_codes),
            counted(group.failures, "confirmed failure"),
            counted(group.vehicles, "vehicle"),
        ),
        affected_batch: Some(format!("{} {} {}", group.make, group.model, group.year)),
        recommendation: None,
        confidence_score: Some(share(group.failures, group.closed)),
    }
}

/// Returns the codes as the beginning of a sentence.
fn codes(codes: &[String]) -> String {
    if codes.is_empty() {
        return String::new();
    }
    let named: Vec<&str> = codes.iter().take(MAX_CODES).map(String::as_str).collect();
    let named = named.join(", ");
    match codes.len().saturating_sub(MAX_CODES) {
        0 => format!("{named}: "),
        others => format!("{named} and {others} more: "),
    }
}

fn counted(count: i64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// Returns the share of `part` in `whole`, from 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "a fleet has fewer than 2^53 failures"
)]
pub(super) fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(failures: i64, vehicles: i64, codes: usize) -> FailureGroup {
        FailureGroup {
            component_name: "pump".to_owned(),
            make: "Tesla".to_owned(),
            model: "Model 3".to_owned(),
            year: 2023,
            failures,
            closed: 4,
            vehicles,
            dtc_codes: (0..codes).map(|code| format!("P04{code:02}")).collect(),
        }
    }

    #[test]
    fn an_insight_names_codes_and_counts_failures_and_vehicles() {
        let found = summarize(&group(3, 2, 2));
        assert_eq!(found.component_name, "pump");
        assert_eq!(
            found.failure_pattern,
            "P0400, P0401: 3 confirmed failures on 2 vehicles"
        );
        assert_eq!(found.affected_batch.as_deref(), Some("Tesla Model 3 2023"));
        assert_eq!(found.confidence_score, Some(0.75));
        let found = summarize(&group(1, 1, 0));
        assert_eq!(found.failure_pattern, "1 confirmed failure on 1 vehicle");
    }

    #[test]
    fn an_insight_names_at_most_20_codes() {
        let all = summarize(&group(1, 1, 20)).failure_pattern;
        assert!(all.contains("P0418, P0419: 1"), "{all}");
        let some = summarize(&group(1, 1, 22)).failure_pattern;
        assert!(some.contains("P0419 and 2 more: 1"), "{some}");
    }
}
