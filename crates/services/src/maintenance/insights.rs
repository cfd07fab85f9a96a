//! What failures over the fleet tell those who make the vehicles.

mod derive;
mod detectors;

use std::sync::Arc;

use serde_json::json;
use sovd_domain::{AuditEntry, Insight, InsightId, Page, Permission, Random, RuleBook};
use sovd_storage::{Transaction, audit, maintenance::insights};

use crate::{
    error::ServiceError,
    identity::{access::Access, caller::Caller},
};

pub use detectors::{Detector, Finds};
pub use sovd_storage::maintenance::insights::ComponentSummary;

/// Reads and writes insights, and derives them from what workshops have confirmed.
pub struct Insights {
    access: Access,
    rules: Arc<RuleBook>,
    random: Arc<dyn Random>,
    threshold: u32,
}

/// An insight to be.
#[derive(Debug, Clone)]
pub struct NewInsight {
    /// The part that fails.
    pub component_name: String,
    /// How it fails.
    pub failure_pattern: String,
    /// Which vehicles it concerns.
    pub affected_batch: Option<String>,
    /// What to do about it.
    pub recommendation: Option<String>,
    /// How sure it is, from 0 to 1.
    pub confidence_score: Option<f64>,
}

impl Insights {
    /// An insight service. More confirmed failures than `threshold`, on however many vehicles, make an
    /// insight, unless whoever derives it says otherwise.
    pub fn new(
        access: Access,
        rules: Arc<RuleBook>,
        random: Arc<dyn Random>,
        threshold: u32,
    ) -> Self {
        Self {
            access,
            rules,
            random,
            threshold,
        }
    }

    /// One page of the insights, newest first, those about one component if one is named, and how
    /// many there are in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see insights.
    pub async fn list(
        &self,
        caller: &Caller,
        component_name: Option<&str>,
        page: Page,
    ) -> Result<(Vec<Insight>, i64), ServiceError> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(insights::list(&mut connection, component_name, page).await?)
    }

    /// The insight with the id.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`] when there is none.
    pub async fn get(&self, caller: &Caller, id: InsightId) -> Result<Insight, ServiceError> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.connection().await?;
        insights::find(&mut connection, id)
            .await?
            .ok_or(ServiceError::NotFound {
                what: "insight",
                pointer: None,
            })
    }

    /// One page of what is known of each component, those with the most confirmed failures first,
    /// and how many components there are in all.
    ///
    /// # Errors
    ///
    /// When the caller may not see insights.
    pub async fn summary(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<(Vec<ComponentSummary>, i64), ServiceError> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(insights::summary(&mut connection, page).await?)
    }

    /// Writes an insight.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Forbidden`] to all but those who make vehicles, and admins.
    pub async fn create(&self, caller: &Caller, new: NewInsight) -> Result<Insight, ServiceError> {
        caller.require(Permission::RecordInsights)?;
        let insight = self.made(new);
        let write =
            async |transaction: &mut Transaction, _| write(transaction, caller, &insight).await;
        self.access.change(caller, write).await?;
        Ok(insight)
    }

    fn made(&self, new: NewInsight) -> Insight {
        Insight {
            id: InsightId(self.random.uuid()),
            component_name: new.component_name,
            failure_pattern: new.failure_pattern,
            affected_batch: new.affected_batch,
            recommendation: new.recommendation,
            confidence_score: new.confidence_score,
            created_at: self.access.now(),
        }
    }
}

async fn write(
    transaction: &mut Transaction,
    caller: &Caller,
    insight: &Insight,
) -> Result<(), ServiceError> {
    insights::insert(transaction, insight).await?;
    let entry = about(caller, "insight.create", insight);
    Ok(audit::insert(transaction, &entry, insight.created_at).await?)
}

/// An audit line about an insight that was written.
fn about(caller: &Caller, action: &'static str, insight: &Insight) -> AuditEntry {
    AuditEntry {
        entity_id: Some(insight.id.0),
        details: json!({
            "component_name": insight.component_name,
            "failure_pattern": insight.failure_pattern,
            "affected_batch": insight.affected_batch,
            "recommendation": insight.recommendation,
            "confidence_score": insight.confidence_score,
        }),
        ..caller.audit(action, "insight")
    }
}
