//! Pages that follow each other by key.

use std::collections::BTreeSet;

use sovd_domain::{
    Command, CommandScope, Listing, Page, VehicleScope,
    paging::{CommandKey, KeyOf, ResponseKey, VehicleKey},
};
use sovd_storage::{
    commands::{self, CommandFilter, responses},
    fleet::vehicles::{self, VehicleFilter},
};

use crate::fixture::{Fleet, at, command};

async fn list(fleet: &Fleet, page: Page<CommandKey>) -> Listing<Command> {
    let mut connection = fleet.connection().await;
    let filter = CommandFilter::default();
    commands::list(&mut connection, &filter, &CommandScope::ALL, page)
        .await
        .unwrap()
}

#[tokio::test]
async fn insertions_between_pages_repeat_and_lose_no_command() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let store = async |number, seconds| {
        let command = command(number, fleet.engineer, vehicle, at(seconds));
        fleet.store(&command).await;
    };
    // Eight commands with each of three times.
    for number in 0..24 {
        store(number, i64::try_from(number % 3).unwrap()).await;
    }
    let mut page = Page::new(Some(5), None).unwrap();
    let mut found: Vec<Command> = Vec::new();
    loop {
        let listing = list(&fleet, page).await;
        let last = listing.items.last().and_then(CommandKey::of);
        found.extend(listing.items);
        if !listing.has_more {
            break;
        }
        page = Page::after(Some(5), last.unwrap()).unwrap();
        let inserted = u128::try_from(100 + found.len()).unwrap();
        // A newer command, which belongs to an earlier page, and an older one.
        store(inserted, 9).await;
        store(inserted + 100, -1).await;
    }
    assert!(found.is_sorted_by_key(|it| std::cmp::Reverse((it.submitted_at, it.command_id))));
    let numbers: BTreeSet<u128> = found.iter().map(|it| it.command_id.0.as_u128()).collect();
    assert_eq!(numbers.len(), found.len());
    assert!((0..24).all(|number| numbers.contains(&number)));
    assert!(numbers.iter().all(|&number| !(24..200).contains(&number)));
}

#[tokio::test]
async fn a_page_after_the_last_row_is_empty_and_has_the_total() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let stored = command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&stored).await;
    let key = CommandKey::of(&stored).unwrap();
    let listing = list(&fleet, Page::after(None, key).unwrap()).await;
    assert_eq!(listing.items, []);
    assert_eq!((listing.total, listing.has_more), (1, false));
}

#[tokio::test]
async fn vehicles_follow_each_other_by_vin() {
    let fleet = Fleet::new().await;
    for vin in ["B", "D", "F"] {
        fleet.vehicle(vin).await;
    }
    let list = async |page| {
        let mut connection = fleet.connection().await;
        let filter = VehicleFilter::default();
        let listed = vehicles::list(&mut connection, &filter, &VehicleScope::All, page).await;
        listed.unwrap()
    };
    let first = list(Page::new(Some(2), None).unwrap()).await;
    assert!(first.has_more);
    for vin in ["A", "C", "E"] {
        fleet.vehicle(vin).await;
    }
    let key = first.items.last().and_then(VehicleKey::of).unwrap();
    let second = list(Page::after(Some(2), key).unwrap()).await;
    let vins: Vec<&str> = second.items.iter().map(|it| it.vin.as_str()).collect();
    assert_eq!(vins, ["E", "F"]);
    assert!(!second.has_more);
}

#[tokio::test]
async fn chunks_follow_each_other_by_number() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let stored = command(1, fleet.engineer, vehicle, at(0));
    fleet.store(&stored).await;
    let sql = "INSERT INTO responses (command_id, response_payload, sequence_number)
               SELECT $1, '{}', n FROM generate_series(1, 5) n";
    let id = stored.command_id;
    fleet.client.execute(sql, &[&id.0]).await.unwrap();
    let mut connection = fleet.connection().await;
    for (page, expected, has_more) in [
        (Page::new(Some(2), None), &[1, 2][..], true),
        (Page::new(Some(2), Some(3)), &[4, 5], false),
        (Page::after(Some(2), ResponseKey(2)), &[3, 4], true),
        (Page::after(Some(2), ResponseKey(4)), &[5], false),
    ] {
        let listing = responses::page(&mut connection, id, page.unwrap())
            .await
            .unwrap();
        let numbers: Vec<i32> = listing.items.iter().map(|it| it.sequence_number).collect();
        assert_eq!((&*numbers, listing.has_more), (expected, has_more));
        assert_eq!(listing.total, 5);
    }
}
