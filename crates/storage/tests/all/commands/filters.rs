use sovd_domain::{
    Command, CommandScope, CommandStatus, FailureKind, Listing, UserId, VehicleId, VehicleScope,
};
use sovd_storage::commands::{self, CommandFilter};
use uuid::Uuid;

use crate::fixture::{Fleet, at, command, counted, page};

/// Six commands of two users for two vehicles, submitted ten seconds apart.
struct History {
    fleet: Fleet,
    commands: Vec<Command>,
}

impl History {
    async fn new() -> Self {
        let fleet = Fleet::new().await;
        let users = [fleet.engineer, fleet.user("other").await];
        let vehicles = [fleet.vehicle("VIN1").await, fleet.vehicle("VIN2").await];
        let mut commands = Vec::new();
        for (number, seconds) in (0..6_usize).zip((0..).step_by(10)) {
            let mut command = command(
                number as u128 + 1,
                users[number % 2],
                vehicles[number / 3],
                at(seconds),
            );
            if number == 4 {
                "ClearDTC".clone_into(&mut command.command_name);
            }
            fleet.store(&command).await;
            commands.push(command);
        }
        Self { fleet, commands }
    }

    /// Returns the numbers of the matching commands, as listed, and the total.
    async fn numbers(&self, filter: &CommandFilter, limit: i64, offset: i64) -> (Vec<u128>, i64) {
        let mut connection = self.fleet.connection().await;
        let Listing {
            items: found,
            total,
            ..
        } = commands::list(
            &mut connection,
            filter,
            &CommandScope::ALL,
            page(limit, offset),
        )
        .await
        .unwrap();
        let numbers = found.iter().map(|command| command.command_id.0.as_u128());
        (numbers.collect(), total)
    }

    async fn assert_lists<const N: usize>(&self, filter: &CommandFilter, expected: [u128; N]) {
        let (numbers, total) = self.numbers(filter, 100, 0).await;
        assert_eq!(numbers, expected, "{filter:?}");
        assert_eq!(total, i64::try_from(N).unwrap(), "{filter:?}");
    }
}

#[tokio::test]
async fn lists_newest_first() {
    let history = History::new().await;
    history
        .assert_lists(&CommandFilter::default(), [6, 5, 4, 3, 2, 1])
        .await;
}

#[tokio::test]
async fn the_order_of_simultaneous_commands_is_stable() {
    let history = History::new().await;
    history
        .fleet
        .client
        .batch_execute("UPDATE commands SET submitted_at = to_timestamp(1800000000)")
        .await
        .unwrap();
    history
        .assert_lists(&CommandFilter::default(), [6, 5, 4, 3, 2, 1])
        .await;
}

#[tokio::test]
async fn filters_by_user_vehicle_and_name() {
    let history = History::new().await;
    let any = CommandFilter::default();
    let filter = CommandFilter {
        user_id: Some(history.fleet.engineer),
        ..any.clone()
    };
    history.assert_lists(&filter, [5, 3, 1]).await;
    let filter = CommandFilter {
        vehicle_id: Some(history.commands[0].vehicle_id),
        ..any.clone()
    };
    history.assert_lists(&filter, [3, 2, 1]).await;
    let filter = CommandFilter {
        command_name: Some("ClearDTC".to_owned()),
        ..any.clone()
    };
    history.assert_lists(&filter, [5]).await;
    let filter = CommandFilter {
        command_name: Some("cleardtc".to_owned()),
        ..any
    };
    history.assert_lists(&filter, []).await;
}

#[tokio::test]
async fn filters_by_status() {
    let history = History::new().await;
    let mut connection = history.fleet.connection().await;
    let ids: Vec<_> = history.commands.iter().map(|c| c.command_id).collect();
    for id in &ids[..2] {
        commands::start(&mut connection, *id, at(1)).await.unwrap();
    }
    commands::complete(&mut connection, ids[0], at(2))
        .await
        .unwrap();
    commands::fail(&mut connection, ids[5], FailureKind::Internal, "", at(2))
        .await
        .unwrap();
    for (status, expected) in [
        (CommandStatus::Completed, &[1][..]),
        (CommandStatus::InProgress, &[2]),
        (CommandStatus::Failed, &[6]),
        (CommandStatus::Pending, &[5, 4, 3]),
    ] {
        let filter = CommandFilter {
            status: Some(status),
            ..CommandFilter::default()
        };
        assert_eq!(history.numbers(&filter, 100, 0).await.0, expected);
    }
}

#[tokio::test]
async fn date_ranges_are_inclusive() {
    let history = History::new().await;
    for (start, end, expected) in [
        (Some(20), None, &[6, 5, 4, 3][..]),
        (Some(21), None, &[6, 5, 4]),
        (None, Some(20), &[3, 2, 1]),
        (None, Some(19), &[2, 1]),
        (Some(20), Some(20), &[3]),
        (Some(21), Some(29), &[]),
        (Some(30), Some(10), &[]),
    ] {
        let filter = CommandFilter {
            start: start.map(at),
            end: end.map(at),
            ..CommandFilter::default()
        };
        let (numbers, total) = history.numbers(&filter, 100, 0).await;
        assert_eq!(numbers, expected, "{start:?} to {end:?}");
        assert_eq!(total, i64::try_from(expected.len()).unwrap());
    }
}

#[tokio::test]
async fn filters_combine() {
    let history = History::new().await;
    let filter = CommandFilter {
        user_id: Some(history.fleet.engineer),
        vehicle_id: Some(history.commands[5].vehicle_id),
        status: Some(CommandStatus::Pending),
        command_name: Some("ClearDTC".to_owned()),
        start: Some(at(0)),
        end: Some(at(100)),
    };
    history.assert_lists(&filter, [5]).await;
    let user_id = Some(history.fleet.engineer);
    for (vehicle_id, expected) in [
        (history.commands[5].vehicle_id, 1),
        (VehicleId(Uuid::nil()), 0),
    ] {
        let scope = CommandScope {
            user_id,
            vehicles: VehicleScope::Among(vec![vehicle_id]),
        };
        let mut connection = history.fleet.connection().await;
        let listed = commands::list(&mut connection, &filter, &scope, page(100, 0)).await;
        let listing = listed.unwrap();
        assert_eq!(listing.total, expected);
        assert_eq!(i64::try_from(listing.items.len()), Ok(expected));
    }
}

#[tokio::test]
async fn a_scope_restricts_every_filter() {
    let history = History::new().await;
    let (engineer, vehicle_id) = (history.fleet.engineer, history.commands[5].vehicle_id);
    let list = async |user_id, filter_user, vehicles| {
        let scope = CommandScope { user_id, vehicles };
        let filter = CommandFilter {
            user_id: filter_user,
            ..CommandFilter::default()
        };
        let mut connection = history.fleet.connection().await;
        let listed = commands::list(&mut connection, &filter, &scope, page(100, 0)).await;
        let (found, total) = counted(listed.unwrap());
        assert_eq!(i64::try_from(found.len()), Ok(total));
        total
    };
    let of_engineer = list(Some(engineer), None, VehicleScope::All).await;
    assert_eq!(of_engineer, 3);
    let other = Some(UserId(Uuid::nil()));
    assert_eq!(list(Some(engineer), other, VehicleScope::All).await, 0);
    let here = VehicleScope::Among(vec![vehicle_id]);
    let expected = history
        .commands
        .iter()
        .filter(|it| it.vehicle_id == vehicle_id);
    let expected = i64::try_from(expected.count()).unwrap();
    assert_eq!(list(None, None, here).await, expected);
    let elsewhere = VehicleScope::Among(vec![VehicleId(Uuid::nil())]);
    assert_eq!(list(None, None, elsewhere).await, 0);
}

#[tokio::test]
async fn the_total_ignores_the_page() {
    let history = History::new().await;
    let all = CommandFilter::default();
    assert_eq!(history.numbers(&all, 2, 0).await, (vec![6, 5], 6));
    assert_eq!(history.numbers(&all, 2, 4).await, (vec![2, 1], 6));
    assert_eq!(history.numbers(&all, 2, 5).await, (vec![1], 6));
    assert_eq!(history.numbers(&all, 2, 6).await, (vec![], 6));
    let own = CommandFilter {
        user_id: Some(history.fleet.engineer),
        ..all
    };
    assert_eq!(history.numbers(&own, 1, 1).await, (vec![3], 3));
}
