use std::collections::BTreeMap;

use sovd_domain::{Permission, Rule, Severity};
use sovd_storage::maintenance::detections::{self, RuleRecord};

use super::{Insights, derive::share};
use crate::{error::ServiceError, identity::caller::Caller};

/// A rule, and how often it was right.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// The name of the rule.
    pub rule: String,
    /// What the rule looks for is; nothing when it is not in force any more.
    pub finds: Option<Finds>,
    /// How many anomalies it found.
    pub detected: i64,
    /// How many of them no workshop has looked at.
    pub open: i64,
    /// How many were there.
    pub confirmed: i64,
    /// How many were none.
    pub no_fault_found: i64,
    /// How many were something else.
    pub other: i64,
}

/// What a rule in force makes of what it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finds {
    /// What kind of anomaly.
    pub anomaly_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// The part of the vehicle that it suspects.
    pub component: String,
}

impl Detector {
    /// How many of what it found workshops have looked at.
    pub const fn count(&self) -> i64 {
        self.confirmed + self.no_fault_found + self.other
    }

    /// How much of what workshops have looked at was there, from 0 to 1; nothing while they have
    /// looked at nothing.
    pub fn precision(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| share(self.confirmed, count))
    }

    fn of(rule: String, finds: Option<Finds>, record: &RuleRecord) -> Self {
        Self {
            rule,
            finds,
            detected: record.detected,
            open: record.open,
            confirmed: record.confirmed,
            no_fault_found: record.no_fault_found,
            other: record.other,
        }
    }
}

impl From<&Rule> for Finds {
    fn from(rule: &Rule) -> Self {
        Self {
            anomaly_type: rule.anomaly_type.clone(),
            severity: rule.severity,
            component: rule.component.clone(),
        }
    }
}

impl Insights {
    /// How often each rule was right: the rules in force in their order, then those that once were,
    /// by name.
    ///
    /// # Errors
    ///
    /// When the caller may not see insights.
    pub async fn detectors(&self, caller: &Caller) -> Result<Vec<Detector>, ServiceError> {
        caller.require(Permission::ReadInsights)?;
        let records = {
            let mut connection = self.access.bulk_connection(caller).await?;
            detections::records(&mut connection).await?
        };
        let mut records: BTreeMap<String, RuleRecord> = records
            .into_iter()
            .map(|record| (record.rule_name.clone(), record))
            .collect();
        let in_force = self.rules.iter().map(|rule| {
            let record = records.remove(&rule.name).unwrap_or_default();
            Detector::of(rule.name.clone(), Some(rule.into()), &record)
        });
        let mut detectors: Vec<Detector> = in_force.collect();
        let past = records.into_iter();
        detectors.extend(past.map(|(name, record)| Detector::of(name, None, &record)));
        Ok(detectors)
    }
}
