use serde_json::json;
use sovd_domain::{CommandId, Response, ResponseId};
use sovd_storage::responses;
use uuid::Uuid;

use crate::fleet::{Fleet, at};

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
async fn an_answer_is_read_in_order_from_any_place() {
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
async fn the_last_number_is_zero_without_an_answer() {
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
