//! Deriving insights from confirmed failures.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sovd_domain::{Insight, Role, RuleBook};
use sovd_services::{
    Caller, ServiceError,
    maintenance::insights::{Insights, NewInsight},
};

use crate::{
    fixture::{TestBed, admin, engineer},
    scripted_connector::ScriptedConnector,
};

/// Stores `count` closed episodes of the connected vehicle's catalyst.
async fn failures(bed: &TestBed, count: i32, outcome: &str) {
    let sql = "WITH event AS (
                   INSERT INTO anomaly_events (vehicle_id, anomaly_type, severity)
                   SELECT '00000000-0000-0000-0000-000000000101', 'emissions', 'Medium'
                   FROM generate_series(1, $1) RETURNING id, vehicle_id)
               INSERT INTO anomaly_episodes
                   (anomaly_event_id, vehicle_id, rule_name, component_name, dtc_code, outcome,
                    closed_at)
               SELECT id, vehicle_id, 'catalyst-efficiency', 'catalyst', 'P0420', $2, now()
               FROM event";
    let client = bed.sql().await;
    client.execute(sql, &[&count, &outcome]).await.unwrap();
}

async fn bed() -> TestBed {
    TestBed::new(ScriptedConnector::new()).await
}

fn service(bed: &TestBed, threshold: u32) -> Insights {
    bed.parts.insights(threshold)
}

async fn derive(bed: &TestBed, threshold: Option<u32>) -> Vec<Insight> {
    service(bed, 0).derive(&admin(), threshold).await.unwrap()
}

async fn audited(bed: &TestBed) -> Vec<(String, Value)> {
    let sql = "SELECT action, details FROM audit_logs WHERE entity_type = 'insight'";
    let rows = bed.sql().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn derives_an_insight_above_the_threshold() {
    let bed = bed().await;
    failures(&bed, 3, "confirmed").await;
    failures(&bed, 1, "no_fault_found").await;
    assert_eq!(derive(&bed, Some(3)).await, []);
    let by_default = service(&bed, 3).derive(&admin(), None).await;
    assert_eq!(by_default.unwrap(), []);
    let derived = derive(&bed, Some(2)).await;
    assert_eq!(derived.len(), 1);
    assert_eq!(derived[0].component_name, "catalyst");
    let pattern = "P0420: 3 confirmed failures on 1 vehicle";
    assert_eq!(derived[0].failure_pattern, pattern);
    let batch = Some("Tesla Model 3 2023");
    assert_eq!(derived[0].affected_batch.as_deref(), batch);
    assert_eq!(derived[0].confidence_score, Some(0.75));
    assert_eq!(derived[0].created_at, bed.now());
    let found = service(&bed, 0).get(&admin(), derived[0].id).await.unwrap();
    assert_eq!(found.failure_pattern, pattern);
    let entries = audited(&bed).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, "insight.derive");
    let expected = json!({
        "component_name": "catalyst", "failure_pattern": pattern, "affected_batch": batch,
        "recommendation": null, "confidence_score": 0.75,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(
            entries[0].1.get(field).unwrap_or(&Value::Null),
            value,
            "{field}"
        );
    }
}

#[tokio::test]
async fn derives_an_insight_again_only_after_new_failures() {
    let bed = bed().await;
    failures(&bed, 1, "confirmed").await;
    assert_eq!(derive(&bed, None).await.len(), 1);
    assert_eq!(derive(&bed, None).await, []);
    failures(&bed, 1, "other").await;
    assert_eq!(derive(&bed, None).await, []);
    failures(&bed, 1, "confirmed").await;
    assert_eq!(derive(&bed, None).await.len(), 1);
    assert_eq!(audited(&bed).await.len(), 2);
}

#[tokio::test]
async fn concurrent_derivations_create_each_insight_once() {
    let bed = bed().await;
    failures(&bed, 2, "confirmed").await;
    let derived = join_all((0..8).map(|_| derive(&bed, None))).await;
    assert_eq!(derived.concat().len(), 1);
    assert_eq!(audited(&bed).await.len(), 1);
    assert_eq!(bed.parts.database.connections_in_use(), 0);
}

#[tokio::test]
async fn the_next_call_derives_groups_with_concurrent_deletions() {
    let bed = bed().await;
    failures(&bed, 3, "confirmed").await;
    let mut client = bed.sql().await;
    let deletion = client.transaction().await.unwrap();
    let delete = "DELETE FROM anomaly_events WHERE id IN (
                      SELECT anomaly_event_id FROM anomaly_episodes
                      WHERE component_name = 'catalyst' LIMIT 1)";
    deletion.execute(delete, &[]).await.unwrap();
    assert_eq!(derive(&bed, None).await, []);
    deletion.commit().await.unwrap();
    let derived = derive(&bed, None).await;
    assert_eq!(derived.len(), 1);
    let pattern = "P0420: 2 confirmed failures on 1 vehicle";
    assert_eq!(derived[0].failure_pattern, pattern);
    assert_eq!(derive(&bed, None).await, []);
}

#[tokio::test]
async fn derives_an_insight_after_a_deletion() {
    let bed = bed().await;
    failures(&bed, 3, "confirmed").await;
    assert_eq!(derive(&bed, None).await.len(), 1);
    let sql = "DELETE FROM anomaly_episodes WHERE component_name = 'catalyst'";
    bed.sql().await.batch_execute(sql).await.unwrap();
    assert_eq!(derive(&bed, None).await, []);
    failures(&bed, 1, "confirmed").await;
    let derived = derive(&bed, None).await;
    assert_eq!(derived.len(), 1);
    let pattern = "P0420: 1 confirmed failure on 1 vehicle";
    assert_eq!(derived[0].failure_pattern, pattern);
}

#[tokio::test]
async fn ignores_failures_after_a_model_correction() {
    let bed = bed().await;
    failures(&bed, 2, "confirmed").await;
    assert_eq!(derive(&bed, None).await.len(), 1);
    let sql = "UPDATE vehicles SET model = 'Model Y', year = 2024 WHERE model = 'Model 3'";
    bed.sql().await.batch_execute(sql).await.unwrap();
    assert_eq!(derive(&bed, None).await, []);
    failures(&bed, 1, "confirmed").await;
    let derived = derive(&bed, None).await;
    assert_eq!(derived.len(), 1);
    let pattern = "P0420: 3 confirmed failures on 1 vehicle";
    assert_eq!(derived[0].failure_pattern, pattern);
    let batch = Some("Tesla Model Y 2024");
    assert_eq!(derived[0].affected_batch.as_deref(), batch);
}

#[tokio::test]
async fn derives_at_most_100_insights_per_call() {
    let bed = bed().await;
    failures(&bed, 102, "confirmed").await;
    let sql = "UPDATE anomaly_episodes SET component_name = 'part ' || number
               FROM (SELECT anomaly_event_id, row_number() OVER () AS number
                     FROM anomaly_episodes WHERE component_name = 'catalyst') AS parts
               WHERE parts.anomaly_event_id = anomaly_episodes.anomaly_event_id AND number > 1";
    bed.sql().await.batch_execute(sql).await.unwrap();
    failures(&bed, 1, "confirmed").await;
    let derived = derive(&bed, None).await;
    assert_eq!(derived.len(), 100);
    let pattern = "P0420: 2 confirmed failures on 1 vehicle";
    assert_eq!(derived[0].failure_pattern, pattern);
    assert_eq!(audited(&bed).await.len(), 100);
    assert_eq!(derive(&bed, None).await.len(), 2);
    assert_eq!(derive(&bed, None).await, []);
}

#[tokio::test]
async fn rejects_changes_after_the_session_ended() {
    let bed = bed().await;
    failures(&bed, 1, "confirmed").await;
    let sql = "DELETE FROM sessions";
    bed.sql().await.execute(sql, &[]).await.unwrap();
    let insights = service(&bed, 0);
    let refused = insights.derive(&admin(), None).await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::NotAuthenticated(_)),
        "{refused}"
    );
    let new = NewInsight {
        component_name: "pump".to_owned(),
        failure_pattern: "It leaks.".to_owned(),
        affected_batch: None,
        recommendation: None,
        confidence_score: None,
    };
    let refused = insights.create(&admin(), new).await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::NotAuthenticated(_)),
        "{refused}"
    );
    assert_eq!(audited(&bed).await, []);
    let sql = "SELECT count(*) FROM manufacturing_insights WHERE component_name <> ALL ($1)";
    let seeds = vec!["battery module", "coolant pump"];
    let row = bed.sql().await.query_one(sql, &[&seeds]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn only_manufacturers_derive_insights() {
    let bed = bed().await;
    failures(&bed, 1, "confirmed").await;
    let refused = service(&bed, 0).derive(&engineer(), None).await;
    assert!(matches!(refused.unwrap_err(), ServiceError::Forbidden));
    let customer = with_role(Role::Customer);
    let refused = service(&bed, 0).detectors(&customer).await;
    assert!(matches!(refused.unwrap_err(), ServiceError::Forbidden));
}

fn with_role(role: Role) -> Caller {
    let mut caller = engineer();
    caller.user.role = role;
    caller
}

#[tokio::test]
async fn lists_active_rules_before_former_ones() {
    let bed = bed().await;
    failures(&bed, 3, "confirmed").await;
    failures(&bed, 1, "no_fault_found").await;
    let rules: RuleBook = r#"
        [[rule]]
        name = "new"
        patterns = ["P0500"]
        anomaly_type = "speed"
        severity = "Low"
        component = "speed sensor"
    "#
    .parse()
    .unwrap();
    let mut parts = bed.parts.clone();
    parts.rules = Arc::new(rules);
    let detectors = parts.insights(0).detectors(&engineer()).await;
    let [new, former] = &detectors.unwrap()[..] else {
        panic!("two detectors");
    };
    assert_eq!((new.rule.as_str(), new.detected), ("new", 0));
    assert_eq!(new.active_rule.as_ref().unwrap().component, "speed sensor");
    assert_eq!(new.precision(), None);
    assert_eq!(former.rule, "catalyst-efficiency");
    assert_eq!(former.active_rule, None);
    assert_eq!((former.detected, former.open, former.confirmed), (4, 0, 3));
    assert_eq!(former.precision(), Some(0.75));
}
