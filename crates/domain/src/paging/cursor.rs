use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use uuid::Uuid;

use crate::{Anomaly, AuditRecord, Command, Response, Vehicle, Vin};

/// The version of the format of cursors.
const VERSION: u8 = 1;

/// The maximum number of characters of a cursor.
pub const MAX_CURSOR_LENGTH: usize = 64;

/// The values by which a list is ordered, which identify one of its rows.
///
/// A cursor is the version of the format, the list and the key, in unpadded base64url. It is not signed,
/// because it selects a position in the list and not the rows that the caller may see.
pub trait SortKey: Sized {
    /// Identifies the list in its cursors.
    const LIST: u8;

    /// Appends the bytes of the key.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Restores a key from its bytes; `None` if they are not those of a key.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Returns the cursor of the page after the row.
    fn to_cursor(&self) -> String {
        let mut bytes = vec![VERSION, Self::LIST];
        self.write(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the key in a cursor; `None` if it is not a cursor of this list and version.
    fn from_cursor(cursor: &str) -> Option<Self> {
        if cursor.len() > MAX_CURSOR_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        match bytes.split_first_chunk()? {
            ([VERSION, list], key) if *list == Self::LIST => Self::read(key),
            _ => None,
        }
    }
}

/// A key that rows of type `T` have.
pub trait KeyOf<T>: SortKey {
    /// Returns the key of a row; `None` if the list has no cursors.
    fn of(row: &T) -> Option<Self>;
}

/// The key of lists without cursors. It has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {}

impl SortKey for NoKey {
    const LIST: u8 = 0;

    fn write(&self, _: &mut Vec<u8>) {
        match *self {}
    }

    fn read(_: &[u8]) -> Option<Self> {
        None
    }
}

impl<T> KeyOf<T> for NoKey {
    fn of(_: &T) -> Option<Self> {
        None
    }
}

/// The key of a list that begins with the newest row. Rows with the same time are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeKey<const LIST: u8> {
    /// The time of the row, with a resolution of one microsecond.
    pub time: DateTime<Utc>,
    /// The id of the row.
    pub id: Uuid,
}

/// The key of the list of commands.
pub type CommandKey = TimeKey<b'c'>;
/// The key of the audit trail.
pub type AuditKey = TimeKey<b'a'>;
/// The key of the list of anomalies.
pub type AnomalyKey = TimeKey<b'n'>;

impl<const LIST: u8> SortKey for TimeKey<LIST> {
    const LIST: u8 = LIST;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.time.timestamp_micros().to_be_bytes());
        bytes.extend(self.id.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_first_chunk()?;
        let time = DateTime::from_timestamp_micros(i64::from_be_bytes(*time))?;
        let id = Uuid::from_slice(id).ok()?;
        // PostgreSQL does not have all times that the type has.
        let is_storable = (1..=9999).contains(&time.year());
        is_storable.then_some(Self { time, id })
    }
}

impl KeyOf<Command> for CommandKey {
    fn of(command: &Command) -> Option<Self> {
        Some(Self {
            time: command.submitted_at,
            id: command.command_id.0,
        })
    }
}

impl KeyOf<AuditRecord> for AuditKey {
    fn of(record: &AuditRecord) -> Option<Self> {
        Some(Self {
            time: record.timestamp,
            id: record.log_id,
        })
    }
}

impl KeyOf<Anomaly> for AnomalyKey {
    fn of(anomaly: &Anomaly) -> Option<Self> {
        Some(Self {
            time: anomaly.detected_at,
            id: anomaly.id.0,
        })
    }
}

/// The key of the list of vehicles: the VIN, which is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleKey(pub Vin);

impl SortKey for VehicleKey {
    const LIST: u8 = b'v';

    fn write(&self, bytes: &mut Vec<u8>) {
        let vin = self.0.as_str().as_bytes();
        // The length shows that a cursor is complete. A VIN has at most 17 characters.
        bytes.extend(u8::try_from(vin.len()));
        bytes.extend(vin);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, vin) = bytes.split_first()?;
        let vin = std::str::from_utf8(vin).ok()?;
        let is_complete = usize::from(*length) == vin.len();
        is_complete.then(|| vin.parse().ok().map(Self))?
    }
}

impl KeyOf<Vehicle> for VehicleKey {
    fn of(vehicle: &Vehicle) -> Option<Self> {
        Some(Self(vehicle.vin.clone()))
    }
}

/// The key of the responses to one command: the sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseKey(pub i32);

impl SortKey for ResponseKey {
    const LIST: u8 = b'r';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Self(i32::from_be_bytes(bytes)))
    }
}

impl KeyOf<Response> for ResponseKey {
    fn of(response: &Response) -> Option<Self> {
        Some(Self(response.sequence_number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(microseconds: i64) -> CommandKey {
        CommandKey {
            time: DateTime::from_timestamp_micros(microseconds).unwrap(),
            id: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        }
    }

    fn vin(text: &str) -> VehicleKey {
        VehicleKey(text.parse().unwrap())
    }

    fn assert_restores<K: SortKey + PartialEq + std::fmt::Debug>(key: &K) {
        let cursor = key.to_cursor();
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(cursor.bytes().all(is_url_safe), "{cursor}");
        assert!(cursor.len() <= MAX_CURSOR_LENGTH, "{cursor}");
        assert_eq!(K::from_cursor(&cursor).as_ref(), Some(key));
    }

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn restores_every_key() {
        for microseconds in [0, 1, -1, 1_800_000_000_123_456, 253_402_300_799_999_999] {
            assert_restores(&key(microseconds));
        }
        for text in ["A", "TESTVIN0000000001"] {
            assert_restores(&vin(text));
        }
        for number in [i32::MIN, 0, 1, i32::MAX] {
            assert_restores(&ResponseKey(number));
        }
    }

    #[test]
    fn rejects_truncated_and_extended_cursors() {
        fn assert_rejects_parts<K: SortKey + std::fmt::Debug>(key: &K) {
            let cursor = key.to_cursor();
            for end in 0..cursor.len() {
                let part = cursor.get(..end).unwrap();
                assert!(K::from_cursor(part).is_none(), "{part}");
            }
            for longer in [format!("{cursor}AAAA"), format!("{cursor}=")] {
                assert!(K::from_cursor(&longer).is_none(), "{longer}");
            }
        }
        assert_rejects_parts(&key(1));
        assert_rejects_parts(&vin("TESTVIN0000000001"));
        assert_rejects_parts(&ResponseKey(1));
    }

    #[test]
    fn rejects_the_cursor_of_another_list() {
        let cursor = key(1).to_cursor();
        assert_eq!(AuditKey::from_cursor(&cursor), None);
        assert_eq!(AnomalyKey::from_cursor(&cursor), None);
        assert_eq!(VehicleKey::from_cursor(&cursor), None);
        assert_eq!(ResponseKey::from_cursor(&cursor), None);
        assert_eq!(NoKey::from_cursor(&cursor), None);
    }

    #[test]
    fn rejects_garbage() {
        let long = "A".repeat(MAX_CURSOR_LENGTH + 1);
        for cursor in ["", "A", "7", "garbage!", "a b", "AAAA", "é", "////", &long] {
            assert_eq!(CommandKey::from_cursor(cursor), None, "{cursor}");
            assert_eq!(VehicleKey::from_cursor(cursor), None, "{cursor}");
        }
        assert_eq!(VehicleKey::from_cursor(&encode(b"\x01v\x02A-")), None);
        assert_eq!(VehicleKey::from_cursor(&encode(b"\x01v\x02\xff\xff")), None);
        assert_eq!(VehicleKey::from_cursor(&encode(b"\x01v\x00")), None);
    }

    #[test]
    fn rejects_the_format_of_a_future_version() {
        let mut bytes = vec![VERSION + 1, CommandKey::LIST];
        key(1).write(&mut bytes);
        assert_eq!(CommandKey::from_cursor(&encode(&bytes)), None);
    }

    #[test]
    fn rejects_times_that_the_database_does_not_have() {
        for microseconds in [i64::MIN, i64::MAX, 253_402_300_800_000_000] {
            let mut bytes = vec![VERSION, CommandKey::LIST];
            bytes.extend(microseconds.to_be_bytes());
            bytes.extend([0; 16]);
            assert_eq!(CommandKey::from_cursor(&encode(&bytes)), None);
        }
    }
}
