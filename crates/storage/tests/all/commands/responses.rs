use serde_json::json;
use sovd_domain::{CommandId, CommandStatus, Response, ResponseId};
use sovd_storage::commands::{self, responses};
use uuid::Uuid;

use crate::fixture::{Fleet, at};

pub(crate) fn chunk(command_id: CommandId, number: i32) -> Response {
    let id = command_id.0.as_u128() * 1000 + u128::from(number.unsigned_abs());
    Response {
        response_id: ResponseId(Uuid::from_u128(id)),
        command_id,
        response_payload: json!({"dtcs": [{"code": "P0420", "part": number}]}),
        sequence_number: number,
        is_final: number == 3,
        received_at: at(i64::from(number)),
    }
}

#[tokio::test]
async fn lists_chunks_in_order_from_any_position() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let other = fleet.submit(2, vehicle).await;
    let mut connection = fleet.connection().await;
    for response in [
        chunk(command, 3),
        chunk(command, 1),
        chunk(command, 2),
        chunk(other, 2),
    ] {
        responses::insert(&mut connection, &response).await.unwrap();
    }
    let all = responses::list(&mut connection, command, 0).await.unwrap();
    assert_eq!(all, [1, 2, 3].map(|number| chunk(command, number)));
    let rest = responses::list(&mut connection, command, 2).await.unwrap();
    assert_eq!(rest, [chunk(command, 3)]);
    let nothing = responses::list(&mut connection, command, 3).await.unwrap();
    assert_eq!(nothing, []);
}

#[tokio::test]
async fn the_last_number_is_zero_without_chunks() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let command = fleet.submit(1, vehicle).await;
    let mut connection = fleet.connection().await;
    let none = responses::last_number(&mut connection, command).await;
    assert_eq!(none.unwrap(), 0);
    for number in [2, 1] {
        responses::insert(&mut connection, &chunk(command, number))
            .await
            .unwrap();
    }
    let last = responses::last_number(&mut connection, command).await;
    assert_eq!(last.unwrap(), 2);
}

#[tokio::test]
async fn lists_a_page_after_each_of_several_positions() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let [one, other, unanswered] = [
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
        fleet.submit(3, vehicle).await,
    ];
    let mut connection = fleet.connection().await;
    for number in 1..=5 {
        for command in [one, other] {
            responses::insert(&mut connection, &chunk(command, number))
                .await
                .unwrap();
        }
    }
    let positions = [(one, 0), (one, 4), (one, 5), (other, 3), (unanswered, 0)];
    let next = responses::list_next(&mut connection, &positions, 2)
        .await
        .unwrap();
    assert_eq!(next.len(), 3);
    assert_eq!(next[&(one, 0)], [1, 2].map(|number| chunk(one, number)));
    assert_eq!(next[&(one, 4)], [chunk(one, 5)]);
    assert_eq!(next[&(other, 3)], [4, 5].map(|number| chunk(other, number)));
    let nothing = responses::list_next(&mut connection, &[], 2).await;
    assert!(nothing.unwrap().is_empty());
}

#[tokio::test]
async fn progress_is_the_status_and_the_last_number() {
    let fleet = Fleet::new().await;
    let vehicle = fleet.vehicle("VIN1").await;
    let (one, other) = (
        fleet.submit(1, vehicle).await,
        fleet.submit(2, vehicle).await,
    );
    let missing = CommandId(Uuid::from_u128(9));
    let mut connection = fleet.connection().await;
    for number in 1..=2 {
        responses::insert(&mut connection, &chunk(one, number))
            .await
            .unwrap();
    }
    commands::start(&mut connection, one, at(1)).await.unwrap();
    let progress = responses::progress(&mut connection, &[one, other, missing])
        .await
        .unwrap();
    let expected = [
        (one, (CommandStatus::InProgress, 2)),
        (other, (CommandStatus::Pending, 0)),
    ];
    assert_eq!(progress, expected.into());
    let mut found = commands::find_all(&mut connection, &[other, missing, one])
        .await
        .unwrap();
    found.sort_by_key(|command| command.command_id);
    assert_eq!(found, [fleet.stored(one).await, fleet.stored(other).await]);
}
