use serde_json::json;
use sovd_domain::{ConnectionStatus, Listing, Page, VehicleId, VehicleScope, paging::VehicleKey};
use sovd_storage::{
    StorageError,
    fleet::vehicles::{self, VehicleFilter},
};
use uuid::Uuid;

use crate::fixture::{Fleet, page};

/// A fleet of four vehicles.
async fn fleet() -> Fleet {
    let fleet = Fleet::new().await;
    fleet
        .client
        .batch_execute(
            "INSERT INTO vehicles (vin, make, model, year, connection_status) VALUES
                 ('WBAXYZ1', 'BMW', 'X5', 2022, 'connected'),
                 ('WBAXYZ2', 'BMW', 'X3', 2023, 'disconnected'),
                 ('5YJAB12', 'Tesla', 'Model 3', 2023, 'error'),
                 ('5YJAB13', 'Tesla', 'X5', 2022, 'connected')",
        )
        .await
        .unwrap();
    fleet
}

async fn vins(
    fleet: &Fleet,
    filter: &VehicleFilter,
    scope: &VehicleScope,
    page: Page<VehicleKey>,
) -> (Vec<String>, i64) {
    let mut connection = fleet.connection().await;
    let Listing {
        items: found,
        total,
        ..
    } = vehicles::list(&mut connection, filter, scope, page)
        .await
        .unwrap();
    let vins = found.iter().map(|vehicle| vehicle.vin.to_string());
    (vins.collect(), total)
}

async fn assert_lists<const N: usize>(fleet: &Fleet, filter: &VehicleFilter, expected: [&str; N]) {
    assert_lists_in(&VehicleScope::All, fleet, filter, expected).await;
}

async fn assert_lists_in<const N: usize>(
    scope: &VehicleScope,
    fleet: &Fleet,
    filter: &VehicleFilter,
    expected: [&str; N],
) {
    let (vins, total) = vins(fleet, filter, scope, page(100, 0)).await;
    assert_eq!(vins, expected, "{filter:?}");
    assert_eq!(total, i64::try_from(N).unwrap(), "{filter:?}");
}

fn search(part: &str) -> VehicleFilter {
    VehicleFilter {
        search: Some(part.to_owned()),
        ..VehicleFilter::default()
    }
}

#[tokio::test]
async fn lists_vehicles_by_vin() {
    let all = VehicleFilter::default();
    let expected = ["5YJAB12", "5YJAB13", "WBAXYZ1", "WBAXYZ2"];
    assert_lists(&fleet().await, &all, expected).await;
}

#[tokio::test]
async fn applies_each_filter() {
    let fleet = fleet().await;
    let all = VehicleFilter::default();
    let status = VehicleFilter {
        status: Some(ConnectionStatus::Connected),
        ..all.clone()
    };
    let make = VehicleFilter {
        make: Some("BMW".to_owned()),
        ..all.clone()
    };
    let model = VehicleFilter {
        model: Some("X5".to_owned()),
        ..all.clone()
    };
    let year = VehicleFilter {
        year: Some(2023),
        ..all
    };
    for (filter, expected) in [
        (status, ["5YJAB13", "WBAXYZ1"]),
        (make, ["WBAXYZ1", "WBAXYZ2"]),
        (model, ["5YJAB13", "WBAXYZ1"]),
        (year, ["5YJAB12", "WBAXYZ2"]),
    ] {
        assert_lists(&fleet, &filter, expected).await;
    }
}

#[tokio::test]
async fn combines_filters_and_scope() {
    let fleet = fleet().await;
    let all = VehicleFilter::default();
    let mut connection = fleet.connection().await;
    let found = vehicles::list(&mut connection, &all, &VehicleScope::All, page(100, 0)).await;
    let ids = found
        .unwrap()
        .items
        .iter()
        .map(|it| it.vehicle_id)
        .collect();
    let owner = fleet.engineer;
    let sql = "UPDATE vehicles SET owner_id = $1 WHERE vin LIKE 'WBA%'";
    fleet.client.execute(sql, &[&owner.0]).await.unwrap();
    let filter = VehicleFilter {
        status: Some(ConnectionStatus::Connected),
        search: Some("XYZ".to_owned()),
        make: Some("BMW".to_owned()),
        model: Some("X5".to_owned()),
        year: Some(2022),
        owner_id: Some(owner),
    };
    assert_lists_in(&VehicleScope::Among(ids), &fleet, &filter, ["WBAXYZ1"]).await;
    assert_lists_in(&VehicleScope::Among(Vec::new()), &fleet, &all, []).await;
}

#[tokio::test]
async fn scopes_a_customer_to_owned_vehicles() {
    let fleet = fleet().await;
    let owner = fleet.engineer;
    let sql = "UPDATE vehicles SET owner_id = $1 WHERE vin = 'WBAXYZ2'";
    fleet.client.execute(sql, &[&owner.0]).await.unwrap();
    let (all, other) = (VehicleFilter::default(), fleet.user("other").await);
    assert_lists_in(&VehicleScope::OwnedBy(owner), &fleet, &all, ["WBAXYZ2"]).await;
    assert_lists_in(&VehicleScope::OwnedBy(other), &fleet, &all, []).await;
    let mut connection = fleet.connection().await;
    let scope = VehicleScope::OwnedBy(owner);
    let found = vehicles::list(&mut connection, &all, &scope, page(1, 0)).await;
    let vehicle = found.unwrap().items.remove(0);
    assert_eq!(vehicle.owner_id, Some(owner));
    let id = vehicle.vehicle_id;
    let is_owned_by = vehicles::is_owned_by(&mut connection, id, owner).await;
    assert!(is_owned_by.unwrap());
}

#[tokio::test]
async fn searches_any_part_of_the_vin_in_any_case() {
    let fleet = fleet().await;
    assert_lists(&fleet, &search("XYZ"), ["WBAXYZ1", "WBAXYZ2"]).await;
    assert_lists(&fleet, &search("xyz2"), ["WBAXYZ2"]).await;
    assert_lists(&fleet, &search("5yJ"), ["5YJAB12", "5YJAB13"]).await;
    assert_lists(&fleet, &search("WBAXYZ1"), ["WBAXYZ1"]).await;
    assert_lists(&fleet, &search("XYZ12"), []).await;
}

#[tokio::test]
async fn escapes_wildcards_in_a_search() {
    let fleet = fleet().await;
    for part in ["%", "_", "\\", "W%1", "WBAXYZ_", "\\W", "'", "\\%"] {
        assert_lists(&fleet, &search(part), []).await;
    }
}

#[tokio::test]
async fn pages_come_with_the_total() {
    let fleet = fleet().await;
    let all = VehicleFilter::default();
    for (limit, offset, expected) in [
        (1, 0, &["5YJAB12"][..]),
        (2, 1, &["5YJAB13", "WBAXYZ1"]),
        (2, 3, &["WBAXYZ2"]),
        (2, 4, &[]),
    ] {
        let (vins, total) = vins(&fleet, &all, &VehicleScope::All, page(limit, offset)).await;
        assert_eq!(
            (vins, total),
            (expected.iter().map(ToString::to_string).collect(), 4)
        );
    }
}

#[tokio::test]
async fn finds_a_vehicle_by_id() {
    let fleet = Fleet::new().await;
    let id = fleet.vehicle("VIN1").await;
    let mut connection = fleet.connection().await;
    let vehicle = vehicles::find(&mut connection, id).await.unwrap().unwrap();
    assert_eq!(vehicle.vehicle_id, id);
    assert_eq!(vehicle.vin.as_str(), "VIN1");
    assert_eq!(
        (&*vehicle.make, &*vehicle.model, vehicle.year),
        ("BMW", "X5", 2022)
    );
    assert_eq!(vehicle.connection_status, ConnectionStatus::Connected);
    assert_eq!(vehicle.last_seen_at, None);
    assert_eq!(vehicle.metadata, json!({}));
    let unknown = VehicleId(Uuid::from_u128(9));
    for found in [
        vehicles::find(&mut connection, unknown).await,
        vehicles::lock(&mut connection, unknown).await,
    ] {
        assert_eq!(found.unwrap(), None);
    }
}

#[tokio::test]
async fn reads_missing_metadata_as_an_empty_object() {
    let fleet = Fleet::new().await;
    let id = fleet.vehicle("VIN1").await;
    fleet
        .client
        .batch_execute("UPDATE vehicles SET metadata = NULL")
        .await
        .unwrap();
    let found = vehicles::find(&mut *fleet.connection().await, id).await;
    assert_eq!(found.unwrap().unwrap().metadata, json!({}));
}

#[tokio::test]
async fn corrupt_row_error_names_table_column_and_row() {
    let fleet = Fleet::new().await;
    let id = fleet.vehicle("VIN-1").await;
    let found = vehicles::find(&mut *fleet.connection().await, id).await;
    match found.unwrap_err() {
        StorageError::CorruptRow {
            table, column, row, ..
        } => assert_eq!((table, column, row), ("vehicles", "vin", id.to_string())),
        error => panic!("{error:?}"),
    }
}
