use std::collections::BTreeMap;

use sovd_domain::{Permission, Rule};
use sovd_storage::maintenance::insights::{self, RuleOutcomes};

use super::{Insights, derive::share};
use crate::{error::Result, identity::caller::Caller};

/// A detection rule and the outcomes of its anomalies.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// The name of the rule.
    pub rule: String,
    /// The rule; `None` if it is no longer active.
    pub active_rule: Option<Rule>,
    /// Number of detected anomalies.
    pub detected: i64,
    /// Number of open anomalies.
    pub open: i64,
    /// Number of anomalies closed as `confirmed`.
    pub confirmed: i64,
    /// Number of anomalies closed as `no_fault_found`.
    pub no_fault_found: i64,
    /// Number of anomalies closed as `other`.
    pub other: i64,
}

impl Detector {
    /// Returns the number of closed anomalies.
    pub const fn count(&self) -> i64 {
        self.confirmed + self.no_fault_found + self.other
    }

    /// Returns the share of confirmed anomalies among the closed ones, from 0 to 1; `None` if none is
    /// closed.
    pub fn precision(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| share(self.confirmed, count))
    }

    fn of(rule: String, active_rule: Option<Rule>, outcomes: &RuleOutcomes) -> Self {
        Self {
            rule,
            active_rule,
            detected: outcomes.detected,
            open: outcomes.open,
            confirmed: outcomes.confirmed,
            no_fault_found: outcomes.no_fault_found,
            other: outcomes.other,
        }
    }
}

impl Insights {
    /// Returns the active rules in file order, then former rules by name, with their outcomes.
    pub async fn detectors(&self, caller: &Caller) -> Result<Vec<Detector>> {
        caller.require(Permission::ReadInsights)?;
        let outcomes = {
            let mut connection = self.access.bulk_connection(caller).await?;
            insights::rule_outcomes(&mut connection).await?
        };
        let mut outcomes: BTreeMap<String, RuleOutcomes> = outcomes
            .into_iter()
            .map(|outcomes| (outcomes.rule_name.clone(), outcomes))
            .collect();
        let active = self.rules.iter().map(|rule| {
            let outcomes = outcomes.remove(&rule.name).unwrap_or_default();
            Detector::of(rule.name.clone(), Some(rule.clone()), &outcomes)
        });
        let mut detectors: Vec<Detector> = active.collect();
        let former = outcomes.into_iter();
        detectors.extend(former.map(|(name, outcomes)| Detector::of(name, None, &outcomes)));
        Ok(detectors)
    }
}
