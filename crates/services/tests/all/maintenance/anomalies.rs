//! Reporting anomalies.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join3;
use sovd_domain::Severity;
use sovd_services::{
    AuthFailure, ServiceError,
    maintenance::anomalies::{NewAnomaly, NewDiagnosis},
};

use crate::{
    fixture::{TestBed, VEHICLE, engineer},
    scripted_connector::ScriptedConnector,
};

fn found(detected_at: Option<DateTime<Utc>>) -> NewAnomaly {
    NewAnomaly {
        vehicle_id: VEHICLE,
        anomaly_type: "brakes".to_owned(),
        severity: Severity::Low,
        sensor_snapshot: None,
        rul_prediction: None,
        component_name: None,
        detected_at,
    }
}

fn worn_pads() -> NewDiagnosis {
    NewDiagnosis {
        diagnosis_text: "worn pads".to_owned(),
        confidence_score: 1.0,
    }
}

#[tokio::test]
async fn rejects_a_detection_time_in_the_future() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    let now = bed.now();
    for detected_at in [None, Some(now)] {
        let anomaly = anomalies.report(&engineer(), found(detected_at)).await;
        assert_eq!(anomaly.unwrap().detected_at, now);
    }
    let later = now + TimeDelta::nanoseconds(1);
    let refused = anomalies.report(&engineer(), found(Some(later))).await;
    let ServiceError::Invalid(errors) = refused.unwrap_err() else {
        panic!("the report was accepted");
    };
    assert_eq!(errors[0].pointer, "/detected_at");
}

#[tokio::test]
async fn returns_the_detection_time_as_stored() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    for (detected_at, expected) in [
        (
            "2026-03-01T12:00:00.123456789Z",
            "2026-03-01T12:00:00.123456Z",
        ),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
    ] {
        let new = found(Some(detected_at.parse().unwrap()));
        let reported = anomalies.report(&engineer(), new).await.unwrap();
        let (stored, _) = anomalies.get(&engineer(), reported.id).await.unwrap();
        assert_eq!(stored, reported);
        let expected: DateTime<Utc> = expected.parse().unwrap();
        assert_eq!(reported.detected_at.to_rfc3339(), expected.to_rfc3339());
    }
}

#[tokio::test]
async fn reports_and_diagnoses_wait_for_the_deletion_of_the_vehicle() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    let open = anomalies.report(&engineer(), found(None)).await.unwrap();
    let mut client = bed.sql().await;
    let deletion = client.transaction().await.unwrap();
    let lock = "SELECT FROM vehicles WHERE vehicle_id = $1 FOR UPDATE";
    deletion.execute(lock, &[&VEHICLE.0]).await.unwrap();
    let caller = engineer();
    let diagnosis = async {
        let diagnosed = anomalies.diagnose(&caller, open.id, worn_pads()).await;
        diagnosed.map(|_| ())
    };
    let report = async { anomalies.report(&caller, found(None)).await.map(|_| ()) };
    let delete = async {
        bed.wait_for_blocked(2).await;
        let delete = "DELETE FROM vehicles WHERE vehicle_id = $1";
        deletion.execute(delete, &[&VEHICLE.0]).await.unwrap();
        deletion.commit().await.unwrap();
    };
    let (diagnosed, reported, ()) = join3(diagnosis, report, delete).await;
    for refused in [diagnosed, reported] {
        let is_gone = matches!(refused, Err(ServiceError::NotFound { .. }));
        assert!(is_gone, "{refused:?}");
    }
}

#[tokio::test]
async fn rejects_changes_after_logout() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    let open = anomalies.report(&engineer(), found(None)).await.unwrap();
    let sql = bed.sql().await;
    sql.batch_execute("DELETE FROM sessions").await.unwrap();
    let reported = anomalies.report(&engineer(), found(None)).await;
    let diagnosed = anomalies.diagnose(&engineer(), open.id, worn_pads()).await;
    for refused in [reported.map(|_| ()), diagnosed.map(|_| ())] {
        assert!(
            matches!(
                refused,
                Err(ServiceError::NotAuthenticated(AuthFailure::SessionRevoked))
            ),
            "{refused:?}"
        );
    }
    let count = "SELECT count(*) FROM anomaly_events WHERE vehicle_id = $1";
    let row = sql.query_one(count, &[&VEHICLE.0]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    let row = sql.query_one("SELECT count(*) FROM audit_logs", &[]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 1);
}
