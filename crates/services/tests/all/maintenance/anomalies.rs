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
async fn an_anomaly_is_found_now_at_the_latest() {
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
        panic!("it was not refused for its time");
    };
    assert_eq!(errors[0].pointer, "/detected_at");
}

#[tokio::test]
async fn a_moment_is_told_as_it_is_kept() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    for (said, expected) in [
        (
            "2026-03-01T12:00:00.123456789Z",
            "2026-03-01T12:00:00.123456Z",
        ),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
    ] {
        let told = found(Some(said.parse().unwrap()));
        let told = anomalies.report(&engineer(), told).await.unwrap();
        let (kept, _) = anomalies.get(&engineer(), told.id).await.unwrap();
        assert_eq!(kept, told);
        let expected: DateTime<Utc> = expected.parse().unwrap();
        assert_eq!(told.detected_at.to_rfc3339(), expected.to_rfc3339());
    }
}

#[tokio::test]
async fn what_comes_while_the_vehicle_is_deleted_finds_none_and_is_in_nobody_s_way() {
    let bed = TestBed::new(ScriptedConnector::new()).await;
    let anomalies = bed.parts.anomalies();
    let open = anomalies.report(&engineer(), found(None)).await.unwrap();
    let mut client = bed.sql().await;
    let deletion = client.transaction().await.unwrap();
    let lock = "SELECT FROM vehicles WHERE vehicle_id = $1 FOR UPDATE";
    deletion.execute(lock, &[&VEHICLE.0]).await.unwrap();
    let caller = engineer();
    let diagnosing = async {
        let diagnosing = anomalies.diagnose(&caller, open.id, worn_pads()).await;
        diagnosing.map(|_| ())
    };
    let reporting = async { anomalies.report(&caller, found(None)).await.map(|_| ()) };
    let deleting = async {
        bed.wait_for_blocked(2).await;
        let delete = "DELETE FROM vehicles WHERE vehicle_id = $1";
        deletion.execute(delete, &[&VEHICLE.0]).await.unwrap();
        deletion.commit().await.unwrap();
    };
    let (diagnosed, reported, ()) = join3(diagnosing, reporting, deleting).await;
    for refused in [diagnosed, reported] {
        let is_gone = matches!(refused, Err(ServiceError::NotFound { .. }));
        assert!(is_gone, "{refused:?}");
    }
}

#[tokio::test]
async fn who_has_logged_out_since_writes_nothing() {
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
