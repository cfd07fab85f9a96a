use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sovd_domain::{
    Anomaly, AnomalyId, Closure, Detection, Diagnosis, DiagnosisId, Listing, Outcome, Page,
    Severity, VehicleId, VehicleScope, paging::AnomalyKey,
};
use sovd_storage::{
    StorageError,
    commands::responses,
    maintenance::{
        anomalies::{self, AnomalyFilter},
        diagnoses,
    },
};
use uuid::Uuid;

use crate::{
    commands::responses::chunk,
    constraints,
    fixture::{Fleet, at, counted, page},
};

/// A reported anomaly.
fn reported(number: u128, vehicle_id: VehicleId, detected_at: DateTime<Utc>) -> Anomaly {
    Anomaly {
        id: AnomalyId(Uuid::from_u128(number)),
        vehicle_id,
        detected_at,
        anomaly_type: "brakes".to_owned(),
        severity: Severity::Medium,
        sensor_snapshot: Some(json!({ "pad_thickness_mm": 3.1 })),
        rul_prediction: Some(60.5),
        component_name: None,
        source: None,
        closure: None,
    }
}

fn diagnosis(number: u128, anomaly_id: AnomalyId, created_at: DateTime<Utc>) -> Diagnosis {
    Diagnosis {
        id: DiagnosisId(Uuid::from_u128(number)),
        anomaly_event_id: anomaly_id,
        diagnosis_text: format!("cause {number}"),
        confidence_score: 0.5,
        created_at,
    }
}

async fn store(fleet: &Fleet, anomaly: &Anomaly) {
    anomalies::insert(&mut *fleet.connection().await, anomaly)
        .await
        .unwrap();
}

async fn stored(fleet: &Fleet, anomaly_id: AnomalyId) -> Option<Anomaly> {
    anomalies::find_within(
        &mut *fleet.connection().await,
        anomaly_id,
        &VehicleScope::All,
    )
    .await
    .unwrap()
}

/// Six anomalies of two vehicles, detected ten seconds apart.
struct History {
    fleet: Fleet,
    anomalies: Vec<Anomaly>,
}

impl History {
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let vehicles = [fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await];
        let mut anomalies = Vec::new();
        for (number, seconds) in (0..6_usize).zip((0..).step_by(10)) {
            let mut anomaly = reported(number as u128 + 1, vehicles[number / 3], at(seconds));
            if number == 4 {
                "battery".clone_into(&mut anomaly.anomaly_type);
                anomaly.severity = Severity::Critical;
            }
            store(&fleet, &anomaly).await;
            anomalies.push(anomaly);
        }
        Self { fleet, anomalies }
    }

    /// Lists matching anomalies; returns their numbers and the total.
    async fn numbers(&self, filter: &AnomalyFilter, limit: i64, offset: i64) -> (Vec<u128>, i64) {
        let scope = VehicleScope::All;
        self.numbers_in(&scope, filter, page(limit, offset)).await
    }

    async fn numbers_in(
        &self,
        scope: &VehicleScope,
        filter: &AnomalyFilter,
        page: Page<AnomalyKey>,
    ) -> (Vec<u128>, i64) {
        let mut connection = self.fleet.connection().await;
        let Listing {
            items: found,
            total,
            ..
        } = anomalies::list(&mut connection, filter, scope, page)
            .await
            .unwrap();
        let numbers = found.iter().map(|anomaly| anomaly.id.0.as_u128());
        (numbers.collect(), total)
    }

    async fn assert_lists<const N: usize>(&self, filter: &AnomalyFilter, expected: [u128; N]) {
        let (numbers, total) = self.numbers(filter, 100, 0).await;
        assert_eq!(numbers, expected, "{filter:?}");
        assert_eq!(total, i64::try_from(N).unwrap(), "{filter:?}");
    }
}

#[tokio::test]
async fn returns_an_anomaly_as_inserted() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let full = Anomaly {
        component_name: Some("brake pads".to_owned()),
        ..reported(1, vehicle, at(1))
    };
    let bare = Anomaly {
        sensor_snapshot: None,
        rul_prediction: None,
        severity: Severity::Low,
        ..reported(2, vehicle, at(2))
    };
    let command_id = fleet.submit(3, vehicle).await;
    let response = chunk(command_id, 1);
    responses::insert(&mut *fleet.connection().await, &response)
        .await
        .unwrap();
    let detected = Anomaly {
        component_name: Some("catalytic converter".to_owned()),
        source: Some(Detection {
            rule_name: "catalyst".to_owned(),
            dtc_code: "P0420".to_owned(),
            command_id: Some(command_id),
            response_id: Some(response.response_id),
        }),
        closure: Some(Closure {
            outcome: Outcome::NoFaultFound,
            closed_at: at(9),
        }),
        ..reported(4, vehicle, at(4))
    };
    for anomaly in [full, bare, detected.clone()] {
        store(&fleet, &anomaly).await;
        assert_eq!(stored(&fleet, anomaly.id).await, Some(anomaly));
    }
    assert_eq!(stored(&fleet, AnomalyId(Uuid::nil())).await, None);

    let sql = "DELETE FROM commands";
    fleet.client.batch_execute(sql).await.unwrap();
    let source = stored(&fleet, detected.id).await.unwrap().source.unwrap();
    assert_eq!((source.command_id, source.response_id), (None, None));
    assert_eq!(source.rule_name, "catalyst");
}

#[tokio::test]
async fn inserts_an_open_episode_but_reads_anomalies_without_one() {
    let fleet = Fleet::new().await;
    let anomaly = reported(1, fleet.vehicle("VIN1").await, at(0));
    store(&fleet, &anomaly).await;
    let sql = "SELECT to_jsonb(anomaly_episodes) FROM anomaly_episodes";
    let episode: Value = fleet.client.query_one(sql, &[]).await.unwrap().get(0);
    let expected = json!({
        "anomaly_event_id": anomaly.id, "vehicle_id": anomaly.vehicle_id,
        "rule_name": null, "component_name": null, "dtc_code": null, "command_id": null,
        "response_id": null, "outcome": null, "closed_at": null,
    });
    assert_eq!(episode, expected);
    let sql = "DELETE FROM anomaly_episodes";
    fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(stored(&fleet, anomaly.id).await, Some(anomaly.clone()));
    let mut connection = fleet.connection().await;
    let listed = anomalies::list(
        &mut connection,
        &AnomalyFilter::default(),
        &VehicleScope::All,
        page(1, 0),
    )
    .await;
    assert_eq!(counted(listed.unwrap()), (vec![anomaly], 1));
}

#[tokio::test]
async fn rejects_an_anomaly_without_a_vehicle() {
    let fleet = Fleet::new().await;
    let unknown = VehicleId(Uuid::from_u128(7));
    let anomaly = reported(1, unknown, at(0));
    let error = anomalies::insert(&mut *fleet.connection().await, &anomaly)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StorageError::Dangling { constraint }
            if constraint == "anomaly_events_vehicle_id_fkey"),
        "{error:?}"
    );
    assert_eq!(fleet.count("anomaly_events").await, 0);
    let sql = "INSERT INTO anomaly_events (anomaly_type, severity) VALUES ('brakes', 'Low')";
    let error = fleet.client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.column(), Some("vehicle_id"));
}

#[tokio::test]
async fn accepts_exactly_the_known_severities() {
    let fleet = Fleet::new().await;
    let mut anomaly = reported(1, fleet.vehicle("VIN1").await, at(0));
    for (number, severity) in (1..).zip(Severity::ALL) {
        anomaly.id = AnomalyId(Uuid::from_u128(number));
        anomaly.severity = *severity;
        store(&fleet, &anomaly).await;
        assert_eq!(
            stored(&fleet, anomaly.id).await.unwrap().severity,
            *severity
        );
    }
    for word in ["", "low", "LOW", "Severe"] {
        let sql = format!("UPDATE anomaly_events SET severity = '{word}'");
        let refused = constraints::check(&fleet, &sql).await;
        assert_eq!(refused, "chk_anomaly_events_severity");
    }
}

#[tokio::test]
async fn reports_an_unreadable_severity_as_corrupt() {
    let fleet = Fleet::new().await;
    let anomaly = reported(1, fleet.vehicle("VIN1").await, at(0));
    store(&fleet, &anomaly).await;
    let sql = "ALTER TABLE anomaly_events DROP CONSTRAINT chk_anomaly_events_severity;
               UPDATE anomaly_events SET severity = 'Severe'";
    fleet.client.batch_execute(sql).await.unwrap();
    let found = anomalies::find_within(
        &mut *fleet.connection().await,
        anomaly.id,
        &VehicleScope::All,
    )
    .await;
    match found.unwrap_err() {
        StorageError::CorruptRow {
            table, column, row, ..
        } => assert_eq!(
            (table, column, row),
            ("anomaly_events", "severity", anomaly.id.to_string())
        ),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn lists_newest_first_in_a_stable_order() {
    let history = History::new().await;
    let all = AnomalyFilter::default();
    history.assert_lists(&all, [6, 5, 4, 3, 2, 1]).await;
    let sql = "UPDATE anomaly_events SET detected_at = to_timestamp(1800000000)";
    history.fleet.client.batch_execute(sql).await.unwrap();
    history.assert_lists(&all, [6, 5, 4, 3, 2, 1]).await;
}

#[tokio::test]
async fn applies_each_filter() {
    let history = History::new().await;
    let any = AnomalyFilter::default();
    let filter = AnomalyFilter {
        vehicle_id: Some(history.anomalies[0].vehicle_id),
        ..any.clone()
    };
    history.assert_lists(&filter, [3, 2, 1]).await;
    let filter = AnomalyFilter {
        severity: Some(Severity::Critical),
        ..any.clone()
    };
    history.assert_lists(&filter, [5]).await;
    for (anomaly_type, expected) in [("battery", &[5][..]), ("Battery", &[]), ("batt", &[])] {
        let filter = AnomalyFilter {
            anomaly_type: Some(anomaly_type.to_owned()),
            ..any.clone()
        };
        assert_eq!(history.numbers(&filter, 100, 0).await.0, expected);
    }
    let scope = VehicleScope::Among(vec![history.anomalies[5].vehicle_id]);
    let listed = history.numbers_in(&scope, &any, page(100, 0)).await;
    assert_eq!(listed, (vec![6, 5, 4], 3));
}

#[tokio::test]
async fn date_ranges_include_both_ends() {
    let history = History::new().await;
    for (start, end, expected) in [
        (Some(20), None, &[6, 5, 4, 3][..]),
        (Some(21), None, &[6, 5, 4]),
        (None, Some(20), &[3, 2, 1]),
        (None, Some(19), &[2, 1]),
        (Some(20), Some(20), &[3]),
        (Some(30), Some(10), &[]),
    ] {
        let filter = AnomalyFilter {
            start: start.map(at),
            end: end.map(at),
            ..AnomalyFilter::default()
        };
        let (numbers, total) = history.numbers(&filter, 100, 0).await;
        assert_eq!(numbers, expected, "{start:?} to {end:?}");
        assert_eq!(total, i64::try_from(expected.len()).unwrap());
    }
}

#[tokio::test]
async fn combines_all_filters() {
    let history = History::new().await;
    let vehicle_id = history.anomalies[4].vehicle_id;
    let owner = history.fleet.engineer;
    let sql = "UPDATE vehicles SET owner_id = $1 WHERE vin = 'VIN2'";
    let changed = history.fleet.client.execute(sql, &[&owner.0]).await;
    assert_eq!(changed.unwrap(), 1);
    let filter = AnomalyFilter {
        vehicle_id: Some(vehicle_id),
        severity: Some(Severity::Critical),
        anomaly_type: Some("battery".to_owned()),
        start: Some(at(0)),
        end: Some(at(100)),
    };
    let customer = VehicleScope::OwnedBy(owner);
    let listed = history.numbers_in(&customer, &filter, page(100, 0)).await;
    assert_eq!(listed, (vec![5], 1));
    let of_others = AnomalyFilter {
        vehicle_id: Some(history.anomalies[0].vehicle_id),
        ..AnomalyFilter::default()
    };
    let listed = history
        .numbers_in(&customer, &of_others, page(100, 0))
        .await;
    assert_eq!(listed, (vec![], 0));
    let (all, none) = (AnomalyFilter::default(), VehicleScope::Among(Vec::new()));
    let listed = history.numbers_in(&none, &all, page(100, 0)).await;
    assert_eq!(listed, (vec![], 0));
}

#[tokio::test]
async fn pages_the_list_but_counts_every_match() {
    let history = History::new().await;
    let all = AnomalyFilter::default();
    assert_eq!(history.numbers(&all, 2, 0).await, (vec![6, 5], 6));
    assert_eq!(history.numbers(&all, 2, 5).await, (vec![1], 6));
    assert_eq!(history.numbers(&all, 2, 6).await, (vec![], 6));
    let narrow = AnomalyFilter {
        severity: Some(Severity::Medium),
        ..all
    };
    assert_eq!(history.numbers(&narrow, 1, 1).await, (vec![4], 5));
}

#[tokio::test]
async fn returns_the_newest_anomalies_of_a_vehicle_up_to_the_limit() {
    let history = History::new().await;
    let mut connection = history.fleet.connection().await;
    let vehicle_id = history.anomalies[0].vehicle_id;
    for (limit, expected) in [(1, &[2][..]), (2, &[2, 1]), (9, &[2, 1, 0])] {
        let found = anomalies::newest_of(&mut connection, vehicle_id, limit).await;
        let expected: Vec<Anomaly> = expected
            .iter()
            .map(|number: &usize| history.anomalies[*number].clone())
            .collect();
        assert_eq!(found.unwrap(), expected);
    }
}

#[tokio::test]
async fn lists_diagnoses_newest_first_and_deletes_them_with_the_vehicle() {
    let history = History::new().await;
    let [first, second] = [0, 1].map(|number: usize| history.anomalies[number].id);
    let mut connection = history.fleet.connection().await;
    for (number, anomaly_id, seconds) in
        [(1, first, 5), (2, first, 7), (3, first, 7), (4, second, 1)]
    {
        let diagnosis = diagnosis(number, anomaly_id, at(seconds));
        diagnoses::insert(&mut connection, &diagnosis)
            .await
            .unwrap();
    }
    let found = diagnoses::list(&mut connection, first, page(2, 0)).await;
    let newest = [3, 2].map(|number| diagnosis(number, first, at(7)));
    assert_eq!(counted(found.unwrap()), (newest.to_vec(), 3));
    let found = diagnoses::list(&mut connection, first, page(2, 2)).await;
    assert_eq!(
        counted(found.unwrap()),
        (vec![diagnosis(1, first, at(5))], 3)
    );
    let none = diagnoses::list(&mut connection, history.anomalies[2].id, page(2, 0)).await;
    assert_eq!(counted(none.unwrap()), (vec![], 0));

    let sql = "SELECT diagnosis_text FROM diagnoses
               JOIN anomaly_events ON anomaly_events.id = anomaly_event_id
               WHERE vehicle_id = $1 ORDER BY detected_at, created_at, diagnoses.id";
    let vehicle_id = history.anomalies[0].vehicle_id.0;
    let rows = history.fleet.client.query(sql, &[&vehicle_id]).await;
    let texts: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(texts, ["cause 1", "cause 2", "cause 3", "cause 4"]);

    let sql = "DELETE FROM vehicles WHERE vin = 'VIN1'";
    history.fleet.client.batch_execute(sql).await.unwrap();
    assert_eq!(history.fleet.count("diagnoses").await, 0);
    assert_eq!(history.fleet.count("anomaly_events").await, 3);
    assert_eq!(history.fleet.count("anomaly_episodes").await, 3);
}

#[tokio::test]
async fn requires_an_anomaly_and_a_confidence_between_0_and_1() {
    let history = History::new().await;
    let mut connection = history.fleet.connection().await;
    let stray = diagnosis(1, AnomalyId(Uuid::nil()), at(0));
    let error = diagnoses::insert(&mut connection, &stray)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StorageError::Dangling { constraint }
            if constraint == "diagnoses_anomaly_event_id_fkey"),
        "{error:?}"
    );
    let mut sure = diagnosis(1, history.anomalies[0].id, at(0));
    for (number, confidence_score) in [(1, 0.0), (2, 1.0)] {
        sure.id = DiagnosisId(Uuid::from_u128(number));
        sure.confidence_score = confidence_score;
        diagnoses::insert(&mut connection, &sure).await.unwrap();
    }
    for confidence_score in ["-0.001", "1.001", "'NaN'"] {
        let sql = format!("UPDATE diagnoses SET confidence_score = {confidence_score}");
        let refused = constraints::check(&history.fleet, &sql).await;
        assert_eq!(refused, "chk_diagnoses_confidence_score");
    }
}
