//! Insights into component failures, for the manufacturer.

mod derive;
mod detectors;

use std::sync::Arc;

use derive_more::Constructor;
use serde_json::json;
use sovd_domain::{AuditEntry, Insight, InsightId, Listing, Page, Permission, Random, RuleBook};
use sovd_storage::{Transaction, audit, maintenance::insights};

use crate::{
    error::{Result, ServiceError},
    identity::{access::Access, caller::Caller},
};

pub use detectors::Detector;
pub use sovd_storage::maintenance::insights::ComponentSummary;

/// Reads, creates and derives insights.
#[derive(Constructor)]
pub struct Insights {
    access: Access,
    rules: Arc<RuleBook>,
    random: Arc<dyn Random>,
    /// The default of [`Self::derive`]: a group with more confirmed failures makes an insight.
    threshold: u32,
}

/// A new insight.
#[derive(Debug, Clone)]
pub struct NewInsight {
    /// The component that fails.
    pub component_name: String,
    /// How it fails.
    pub failure_pattern: String,
    /// The affected vehicles.
    pub affected_batch: Option<String>,
    /// The recommended remedy.
    pub recommendation: Option<String>,
    /// Confidence from 0 to 1.
    pub confidence_score: Option<f64>,
}

impl Insights {
    /// Returns a page of the insights about `component_name`, or about every component, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        component_name: Option<&str>,
        page: Page,
    ) -> Result<Listing<Insight>> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(insights::list(&mut connection, component_name, page).await?)
    }

    /// Returns the insight with the id.
    pub async fn get(&self, caller: &Caller, id: InsightId) -> Result<Insight> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.connection().await?;
        let found = insights::find(&mut connection, id).await?;
        found.ok_or(ServiceError::not_found("insight", None))
    }

    /// Returns a page of the components with confirmed failures or insights, most confirmed failures
    /// first.
    pub async fn summary(&self, caller: &Caller, page: Page) -> Result<Listing<ComponentSummary>> {
        caller.require(Permission::ReadInsights)?;
        let mut connection = self.access.bulk_connection(caller).await?;
        Ok(insights::summary(&mut connection, page).await?)
    }

    /// Creates an insight.
    pub async fn create(&self, caller: &Caller, new: NewInsight) -> Result<Insight> {
        caller.require(Permission::RecordInsights)?;
        let insight = self.new_insight(new);
        let insert = async |transaction: &mut Transaction, _| {
            insights::insert(transaction, &insight).await?;
            let entry = audit_entry(caller, "insight.create", &insight);
            Ok(audit::insert(transaction, &entry, insight.created_at).await?)
        };
        self.access.change(caller, insert).await?;
        Ok(insight)
    }

    fn new_insight(&self, new: NewInsight) -> Insight {
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

fn audit_entry(caller: &Caller, action: &'static str, insight: &Insight) -> AuditEntry {
    AuditEntry {
        details: json!({
            "component_name": insight.component_name,
            "failure_pattern": insight.failure_pattern,
            "affected_batch": insight.affected_batch,
            "recommendation": insight.recommendation,
            "confidence_score": insight.confidence_score,
        }),
        ..caller.audit_of(action, "insight", insight.id.0)
    }
}
