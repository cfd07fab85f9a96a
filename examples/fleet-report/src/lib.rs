//! A service of your own on the database of SOVD Command: open commands and anomalies per vehicle.
//!
//! It depends only on `sovd-domain` and `sovd-storage`: no HTTP, no Redis, no settings.

use std::{error::Error, fmt};

use sovd_domain::{
    Anomaly, CommandScope, CommandStatus, Page, Vehicle, VehicleScope,
    paging::{KeyOf, VehicleKey},
};
use sovd_storage::{
    Connection, Database,
    commands::{self, CommandFilter},
    fleet::vehicles::{self, VehicleFilter},
    maintenance::anomalies,
};

/// The vehicles of the fleet, ordered by VIN.
#[derive(Debug, PartialEq)]
pub struct FleetReport {
    /// One entry for each vehicle.
    pub entries: Vec<Entry>,
}

/// One vehicle and what needs attention.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// The vehicle.
    pub vehicle: Vehicle,
    /// The number of commands that are pending or in progress.
    pub open_commands: i64,
    /// The anomalies that no workshop has closed, newest first, among the latest 100.
    pub open_anomalies: Vec<Anomaly>,
}

impl FleetReport {
    /// Reads the fleet page by page, so that the size of a query is bounded.
    ///
    /// # Errors
    ///
    /// Returns a [`StorageError`](sovd_storage::StorageError), for example if the database is unavailable.
    pub async fn read(database: &Database) -> Result<Self, Box<dyn Error>> {
        let mut connection = database.connection().await?;
        let filter = VehicleFilter::default();
        let mut entries = Vec::new();
        let mut page = Page::new(Some(Page::MAX_LIMIT), None)?;
        loop {
            let vehicles =
                vehicles::list(&mut connection, &filter, &VehicleScope::All, page).await?;
            let last = vehicles.items.last().and_then(VehicleKey::of);
            for vehicle in vehicles.items {
                entries.push(Entry::read(&mut connection, vehicle).await?);
            }
            match last {
                Some(last) if vehicles.has_more => {
                    page = Page::after(Some(Page::MAX_LIMIT), last)?;
                }
                _ => return Ok(Self { entries }),
            }
        }
    }
}

impl Entry {
    async fn read(connection: &mut Connection, vehicle: Vehicle) -> Result<Self, Box<dyn Error>> {
        let vehicle_id = vehicle.vehicle_id;
        let page = Page::new(Some(1), None)?;
        let mut open_commands = 0;
        for status in [CommandStatus::Pending, CommandStatus::InProgress] {
            let filter = CommandFilter {
                vehicle_id: Some(vehicle_id),
                status: Some(status),
                ..CommandFilter::default()
            };
            let commands = commands::list(connection, &filter, &CommandScope::ALL, page).await?;
            open_commands += commands.total;
        }
        let anomalies = anomalies::newest_of(connection, vehicle_id, Page::MAX_LIMIT).await?;
        let open_anomalies = anomalies
            .into_iter()
            .filter(|anomaly| anomaly.closure.is_none())
            .collect();
        Ok(Self {
            vehicle,
            open_commands,
            open_anomalies,
        })
    }
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            let Entry {
                vehicle,
                open_commands,
                open_anomalies,
            } = entry;
            writeln!(
                f,
                "{} {:<12} {open_commands} open commands, {} open anomalies",
                vehicle.vin,
                vehicle.connection_status.as_str(),
                open_anomalies.len()
            )?;
            for anomaly in open_anomalies {
                writeln!(
                    f,
                    "    {} {:<8} {}",
                    anomaly.detected_at.format("%F"),
                    anomaly.severity.as_str(),
                    anomaly.anomaly_type
                )?;
            }
        }
        Ok(())
    }
}
