//! The cost of pages and counts of many anomalies.

use sovd_domain::{Listing, Severity, UserId, VehicleId, VehicleScope, paging::MAX_TOTAL};
use sovd_storage::maintenance::anomalies::{self, AnomalyFilter};

use crate::{
    fixture::{Fleet, page},
    plans::{Cost, RUNS, last_prepared},
};

const BY_VEHICLE: &str = "idx_anomaly_events_vehicle_id_detected_at_id";

/// A thousand vehicles with anomalies, three of them a customer's, and 9,001 without anomalies.
const VEHICLES: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status, owner_id)
    SELECT 'VIN' || n, 'BMW', 'X5', 2022, 'connected', CASE WHEN n <= 3 THEN $1::uuid END
    FROM generate_series(0, 10000) n";

/// 100,000 anomalies in random order, most of them with an episode. Disables the foreign key triggers.
/// Commits synchronously, because `VACUUM` marks no page as visible whose commit is not flushed.
const ANOMALIES: &str = r#"
    SET session_replication_role = replica;
    SET synchronous_commit = on;
    CREATE TEMPORARY TABLE fleet AS
        SELECT vehicle_id, substr(vin, 4)::integer AS number FROM vehicles;
    INSERT INTO anomaly_events
        (id, vehicle_id, detected_at, anomaly_type, severity, sensor_snapshot)
    SELECT lpad(to_hex(n), 32, '0')::uuid, vehicle_id,
           timestamptz '2026-01-01' + interval '1 min' * (n::bigint * 7919 % 100003),
           'type ' || n % 20,
           CASE WHEN n % 100 = 0 THEN 'Critical' WHEN n % 10 = 0 THEN 'High'
                WHEN n % 2 = 0 THEN 'Medium' ELSE 'Low' END,
           '{"ecu_address": "0x10", "code": "P0420", "status": ["confirmed", "test_failed"]}'
    FROM generate_series(1, 100000) n JOIN fleet ON number = 1 + n % 1000;
    INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id)
    SELECT id, vehicle_id FROM anomaly_events WHERE anomaly_type NOT IN ('type 1', 'type 7');
    RESET session_replication_role;"#;

struct History {
    fleet: Fleet,
    owner: UserId,
}

impl History {
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let (client, owner) = (&fleet.client, fleet.engineer);
        client.execute(VEHICLES, &[&owner.0]).await.unwrap();
        for sql in [
            ANOMALIES,
            "VACUUM ANALYZE anomaly_events",
            "ANALYZE anomaly_episodes, vehicles",
        ] {
            client.batch_execute(sql).await.unwrap();
        }
        Self { fleet, owner }
    }

    async fn vehicle(&self, vin: &str) -> VehicleId {
        let sql = "SELECT vehicle_id FROM vehicles WHERE vin = $1";
        let row = self.fleet.client.query_one(sql, &[&vin]).await.unwrap();
        VehicleId(row.get(0))
    }

    /// Lists the newest 50 of `total` matching anomalies; returns the cost of the page and of the count.
    /// `values` are the parameters of the filter.
    async fn list(&self, filter: AnomalyFilter, values: &[String], total: i32) -> [Cost; 2] {
        self.list_in(&VehicleScope::All, filter, values, total)
            .await
    }

    async fn list_in(
        &self,
        scope: &VehicleScope,
        filter: AnomalyFilter,
        values: &[String],
        total: i32,
    ) -> [Cost; 2] {
        let mut connection = self.fleet.connection().await;
        let Listing {
            items: found,
            total: count,
            ..
        } = anomalies::list(&mut connection, &filter, scope, page(50, 0))
            .await
            .unwrap();
        assert_eq!(count, i64::from(total).min(MAX_TOTAL));
        assert_eq!(i32::try_from(found.len()), Ok(total.min(50)));
        assert!(found.is_sorted_by(|a, b| a.detected_at >= b.detected_at));

        let [paging, counting] = last_prepared(&mut connection, "anomaly_events").await;
        let statement = &counting.statement;
        assert!(statement.contains("count(*)"), "{statement}");
        let statement = &paging.statement;
        assert!(statement.contains("LIMIT"), "{statement}");
        let mut paging_values = values.to_vec();
        // The interval that is added to the time, if any, the limit and the offset.
        if statement.contains(" + ") {
            paging_values.push("'0'".to_owned());
        }
        paging_values.extend(["50", "0"].map(str::to_owned));
        let page = Cost::of(&mut connection, &paging, &paging_values).await;
        let count = Cost::of(&mut connection, &counting, values).await;
        [page, count]
    }

    /// Lists anomalies and asserts that the page is read in the order of `index`; returns the cost of the
    /// count.
    async fn assert_window(
        &self,
        filter: AnomalyFilter,
        values: &[String],
        total: i32,
        index: &str,
    ) -> Cost {
        let [page, count] = self.list(filter, values, total).await;
        page.assert_is_a_window_on(index);
        assert!(page.fastest < 5.0, "{page:?}");
        count
    }
}

impl Cost {
    /// Asserts that a count reads the matching entries of `index` and nothing else.
    fn assert_counts_in(&self, index: &str, total: f64) {
        let counted: Vec<f64> = self
            .nodes
            .iter()
            .filter(|node| node.0 == "Index Only Scan" && node.1 == index)
            .map(|node| node.2)
            .collect();
        assert_eq!(counted, [total; RUNS], "{self:?}");
    }

    /// Asserts that only the anomalies of the selected vehicles are read.
    fn assert_keeps_to_vehicles(&self, total: f64) {
        assert!(
            self.nodes.iter().any(|node| node.1 == BY_VEHICLE),
            "{self:?}"
        );
        assert!(
            self.nodes.iter().all(|node| node.2 <= total.max(3.0)),
            "{self:?}"
        );
    }
}

#[tokio::test]
async fn lists_of_many_anomalies_are_index_scans() {
    let history = History::new().await;
    let any = AnomalyFilter::default;

    let by_time = "idx_anomaly_events_detected_at";
    history.assert_window(any(), &[], 100_000, by_time).await;

    for (severity, total) in [(Severity::Critical, 1000), (Severity::Low, 50_000)] {
        let filter = AnomalyFilter {
            severity: Some(severity),
            ..any()
        };
        let values = [format!("'{severity}'")];
        let by_severity = "idx_anomaly_events_severity_detected_at";
        let count = history
            .assert_window(filter, &values, total, by_severity)
            .await;
        assert!(
            count.nodes.iter().all(|node| node.2 < 30_000.0),
            "{count:?}"
        );
    }

    for (anomaly_type, total) in [("type 3", 5000), ("none", 0)] {
        let filter = AnomalyFilter {
            anomaly_type: Some(anomaly_type.to_owned()),
            ..any()
        };
        let values = [format!("'{anomaly_type}'")];
        let by_type = "idx_anomaly_events_anomaly_type_detected_at";
        history.assert_window(filter, &values, total, by_type).await;
    }

    let vehicle_id = history.vehicle("VIN7").await;
    let filter = AnomalyFilter {
        vehicle_id: Some(vehicle_id),
        ..any()
    };
    let values = [format!("'{vehicle_id}'")];
    let count = history
        .assert_window(filter, &values, 100, BY_VEHICLE)
        .await;
    count.assert_counts_in(BY_VEHICLE, 100.0);

    for (vin, total) in [("VIN7", 100), ("VIN0", 0)] {
        let vehicle_id = history.vehicle(vin).await;
        let scope = VehicleScope::Among(vec![vehicle_id]);
        let values = [format!("'{{{vehicle_id}}}'")];
        for cost in history.list_in(&scope, any(), &values, total).await {
            cost.assert_keeps_to_vehicles(total.into());
        }
    }
    let scope = VehicleScope::OwnedBy(history.owner);
    let values = [format!("'{}'", history.owner)];
    for cost in history.list_in(&scope, any(), &values, 300).await {
        cost.assert_keeps_to_vehicles(300.0);
    }
}
