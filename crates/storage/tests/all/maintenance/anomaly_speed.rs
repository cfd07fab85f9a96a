//! What the lists of anomalies cost when there are a million, shown by the statements that the
//! repository itself has prepared on its connection.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use sovd_domain::{Severity, UserId, VehicleId, VehicleScope};
use sovd_storage::{
    Connection,
    maintenance::anomalies::{self, AnomalyFilter},
};
use tokio_postgres::Client;

use crate::fixture::{Fleet, page};

/// How often a statement is looked at. PostgreSQL plans the first five executions for their values, and
/// may keep one plan for any values after that.
const RUNS: usize = 10;

/// A thousand vehicles, the first three of them a customer's, and one beside them without anomalies.
const VEHICLES: &str = "
    INSERT INTO vehicles (vin, make, model, year, connection_status, owner_id)
    SELECT 'VIN' || n, 'BMW', 'X5', 2022, 'connected', CASE WHEN n <= 3 THEN $1::uuid END
    FROM generate_series(0, 1000) n";

/// A million anomalies in no order, most of them with an episode. The foreign keys are not asked.
const ANOMALIES: &str = r#"
    SET session_replication_role = replica;
    SET maintenance_work_mem = '256MB';
    CREATE TEMPORARY TABLE fleet AS
        SELECT vehicle_id, substr(vin, 4)::integer AS number FROM vehicles;
    INSERT INTO anomaly_events
        (id, vehicle_id, detected_at, anomaly_type, severity, sensor_snapshot)
    SELECT lpad(to_hex(n), 32, '0')::uuid, vehicle_id,
           timestamptz '2026-01-01' + interval '1 min' * (n::bigint * 7919 % 1000003),
           'type ' || n % 20,
           CASE WHEN n % 100 = 0 THEN 'Critical' WHEN n % 10 = 0 THEN 'High'
                WHEN n % 2 = 0 THEN 'Medium' ELSE 'Low' END,
           '{"ecu_address": "0x10", "code": "P0420", "status": ["confirmed", "test_failed"]}'
    FROM generate_series(1, 1000000) n JOIN fleet ON number = 1 + n % 1000;
    INSERT INTO anomaly_episodes (anomaly_event_id, vehicle_id)
    SELECT id, vehicle_id FROM anomaly_events WHERE anomaly_type NOT IN ('type 1', 'type 7');
    RESET session_replication_role;"#;

/// A database with a million anomalies, and the one connection on which the repository works.
struct Million {
    fleet: Fleet,
    owner: UserId,
}

impl Million {
    /// Loads the tables without their indexes and makes these again as they were, which takes half of
    /// the time.
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let (client, owner) = (&fleet.client, fleet.engineer);
        client.execute(VEHICLES, &[&owner.0]).await.unwrap();
        let (drop, make) = indexes(client).await;
        for sql in [
            &drop,
            ANOMALIES,
            &make,
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

    /// Lists the newest 50 that match, of `total`, and gives what the page and the count cost. Their
    /// statements take `values`.
    async fn listed(&self, filter: AnomalyFilter, values: &[String], total: i32) -> [Cost; 2] {
        let mut connection = self.fleet.connection().await;
        let listing = anomalies::list(&mut connection, &filter, page(50, 0));
        let (found, count) = listing.await.unwrap();
        assert_eq!(count, i64::from(total));
        assert_eq!(i32::try_from(found.len()), Ok(total.min(50)));
        assert!(found.is_sorted_by(|a, b| a.detected_at >= b.detected_at));

        let [counting, paging] = newest_statements(&mut connection).await;
        let mut windowed = values.to_vec();
        // Its last values: what is added to the moment, if anything, the limit and the offset.
        if paging.statement.contains(" + ") {
            windowed.push("'0'".to_owned());
        }
        windowed.extend(["50", "0"].map(str::to_owned));
        [
            Cost::of(&mut connection, &paging, &windowed).await,
            Cost::of(&mut connection, &counting, values).await,
        ]
    }
}

/// The statements that drop what can be made again, and those that make it.
async fn indexes(client: &Client) -> (String, String) {
    let sql = "SELECT 'DROP INDEX ' || indexname || ';', indexdef || ';' FROM pg_indexes
               WHERE tablename IN ('anomaly_events', 'anomaly_episodes')
                 AND indexname LIKE 'idx_%'";
    let rows = client.query(sql, &[]).await.unwrap();
    assert!(rows.len() > 3, "the indexes have other names");
    let all = |column| rows.iter().map(|row| row.get::<_, &str>(column)).collect();
    (all(0), all(1))
}

/// A statement that the connection has prepared.
#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    statement: String,
}

/// The two statements about anomalies that were prepared last, in their order.
async fn newest_statements(connection: &mut Connection) -> [Prepared; 2] {
    let sql = "SELECT name, statement FROM pg_prepared_statements
               WHERE statement LIKE '%anomaly_events%' AND statement NOT LIKE '%pg_prepared%'
               ORDER BY prepare_time DESC LIMIT 2";
    let found: Vec<Prepared> = sql_query(sql).load(connection).await.unwrap();
    let Ok([page, count]) = <[Prepared; 2]>::try_from(found) else {
        panic!("the repository has prepared no two statements");
    };
    assert!(count.statement.contains("COUNT(*)"), "{}", count.statement);
    assert!(page.statement.contains("LIMIT"), "{}", page.statement);
    [count, page]
}

/// What PostgreSQL says of one execution.
#[derive(QueryableByName)]
struct Explained {
    #[diesel(sql_type = sql_types::Json, column_name = "QUERY PLAN")]
    plan: Value,
}

/// What a statement costs.
#[derive(Debug)]
struct Cost {
    /// The time of the fastest execution, in milliseconds.
    fastest: f64,
    /// The nodes of all plans: kind, index, rows that came out of it, all loops together.
    nodes: Vec<(String, String, f64)>,
}

impl Cost {
    async fn of(connection: &mut Connection, prepared: &Prepared, values: &[String]) -> Self {
        let values = if values.is_empty() {
            String::new()
        } else {
            format!("({})", values.join(", "))
        };
        let name = &prepared.name;
        let sql = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name}{values}");
        let mut cost = Self {
            fastest: f64::INFINITY,
            nodes: Vec::new(),
        };
        for _ in 0..RUNS {
            let explained: Explained = sql_query(&sql).get_result(connection).await.unwrap();
            let execution = &explained.plan[0];
            cost.fastest = cost
                .fastest
                .min(execution["Execution Time"].as_f64().unwrap());
            cost.add(&execution["Plan"]);
        }
        cost
    }

    fn add(&mut self, node: &Value) {
        let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| node[name].as_f64().unwrap();
        let passed = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
        let rows = (number("Actual Rows") + passed) * number("Actual Loops");
        self.nodes
            .push((text("Node Type"), text("Index Name"), rows));
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.add(child);
        }
    }

    fn uses(&self, kind: &str) -> bool {
        self.nodes.iter().any(|node| node.0 == kind)
    }

    /// It reads as many rows as it gives and one more at most, in the order of `index`.
    fn assert_is_a_window_on(&self, index: &str) {
        assert!(self.fastest < 5.0, "{self:?}");
        assert!(!self.uses("Seq Scan") && !self.uses("Sort"), "{self:?}");
        let scans = self.nodes.iter().filter(|node| node.1 == index);
        assert_eq!(scans.count(), RUNS, "{self:?}");
        assert!(self.nodes.iter().all(|node| node.2 <= 51.0), "{self:?}");
    }

    /// It reads the entries of these rows in the index and nothing else.
    fn assert_counts_in(&self, index: &str, total: f64) {
        let counted: Vec<f64> = self
            .nodes
            .iter()
            .filter(|node| node.0 == "Index Only Scan" && node.1 == index)
            .map(|node| node.2)
            .collect();
        assert_eq!(counted, [total; RUNS], "{self:?}");
    }

    /// It reads what these vehicles have and nothing of the others.
    fn assert_keeps_to_vehicles(&self, total: f64) {
        let by_vehicle = "idx_anomaly_events_vehicle_id_detected_at";
        assert!(
            self.nodes.iter().any(|node| node.1 == by_vehicle),
            "{self:?}"
        );
        assert!(
            self.nodes.iter().all(|node| node.2 <= total.max(3.0)),
            "{self:?}"
        );
    }
}

fn any() -> AnomalyFilter {
    AnomalyFilter::default()
}

#[tokio::test]
async fn the_newest_of_a_million_come_from_an_index() {
    let million = Million::new().await;

    let [page, count] = million.listed(any(), &[], 1_000_000).await;
    page.assert_is_a_window_on("idx_anomaly_events_detected_at");
    println!(
        "the fleet: {} ms, counted in {} ms",
        page.fastest, count.fastest
    );

    for (severity, total) in [(Severity::Critical, 10_000), (Severity::Low, 500_000)] {
        let filter = AnomalyFilter {
            severity: Some(severity),
            ..any()
        };
        let values = [format!("'{severity}'")];
        let [page, count] = million.listed(filter, &values, total).await;
        page.assert_is_a_window_on("idx_anomaly_events_severity_detected_at");
        assert!(count.uses("Index Only Scan"), "{count:?}");
        println!(
            "{severity}: {} ms, counted in {} ms",
            page.fastest, count.fastest
        );
    }

    for (anomaly_type, total) in [("type 3", 50_000), ("none", 0)] {
        let filter = AnomalyFilter {
            anomaly_type: Some(anomaly_type.to_owned()),
            ..any()
        };
        let values = [format!("'{anomaly_type}'")];
        let [page, count] = million.listed(filter, &values, total).await;
        page.assert_is_a_window_on("idx_anomaly_events_anomaly_type_detected_at");
        println!(
            "{anomaly_type}: {} ms, counted in {} ms",
            page.fastest, count.fastest
        );
    }

    let vehicle_id = million.vehicle("VIN7").await;
    let filter = AnomalyFilter {
        vehicle_id: Some(vehicle_id),
        ..any()
    };
    let values = [format!("'{vehicle_id}'")];
    let [page, count] = million.listed(filter, &values, 1000).await;
    let by_vehicle = "idx_anomaly_events_vehicle_id_detected_at";
    page.assert_is_a_window_on(by_vehicle);
    count.assert_counts_in(by_vehicle, 1000.0);
    println!(
        "a vehicle: {} ms, counted in {} ms",
        page.fastest, count.fastest
    );

    for (vin, total) in [("VIN7", 1000), ("VIN0", 0)] {
        let vehicle_id = million.vehicle(vin).await;
        let filter = AnomalyFilter {
            among: VehicleScope::Among(vec![vehicle_id]),
            ..any()
        };
        let values = [format!("'{{{vehicle_id}}}'")];
        for cost in million.listed(filter, &values, total).await {
            cost.assert_keeps_to_vehicles(total.into());
            println!("a key for {vin}: {} ms", cost.fastest);
        }
    }
    let filter = AnomalyFilter {
        among: VehicleScope::OwnedBy(million.owner),
        ..any()
    };
    let values = [format!("'{}'", million.owner)];
    for cost in million.listed(filter, &values, 3000).await {
        cost.assert_keeps_to_vehicles(3000.0);
        println!("a customer: {} ms", cost.fastest);
    }
}
