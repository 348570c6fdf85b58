//! PostgreSQL's binary values as they are, for forms of answers that have types.

use crate::json::{EPOCH_DAYS, Encoder, MICROS_A_DAY, Malformed, take_i32};
use crate::numeric;
use millrace_serve::source::Cell;

impl Encoder {
    /// A value. What only PostgreSQL has (infinite days and moments, numbers that are none) is null, and lists of lists
    /// cannot be had.
    pub fn cell(self, value: Option<&[u8]>) -> Result<Cell<'_>, Malformed> {
        match value {
            None => Ok(Cell::Null),
            Some(bytes) => self.value(bytes).ok_or(Malformed(self)),
        }
    }

    fn value(self, bytes: &[u8]) -> Option<Cell<'_>> {
        let text = |bytes| Some(Cell::Text(std::str::from_utf8(bytes).ok()?.into()));
        Some(match self {
            Self::Bool => Cell::Bool(*bytes.first()? != 0),
            Self::Int2 => Cell::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            Self::Int4 => Cell::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Self::Int8 => Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
            Self::Oid => Cell::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
            Self::Float4 => Cell::Float(f32::from_be_bytes(bytes.try_into().ok()?)),
            Self::Float8 => Cell::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
            Self::Numeric => {
                let mut text = Vec::new();
                numeric::write(bytes, &mut text)?;
                match text.as_slice() {
                    b"null" => Cell::Null,
                    _ => Cell::Decimal(String::from_utf8(text).ok()?.into()),
                }
            }
            Self::Text | Self::Json => text(bytes)?,
            Self::Jsonb => text(bytes.strip_prefix(&[1])?)?,
            Self::Date => match i32::from_be_bytes(bytes.try_into().ok()?) {
                i32::MIN | i32::MAX => Cell::Null,
                days => Cell::Date(i32::try_from(i64::from(days) + EPOCH_DAYS).ok()?),
            },
            Self::Time => Cell::Time(i64::from_be_bytes(bytes.try_into().ok()?)),
            Self::Timestamp | Self::Timestamptz => {
                match i64::from_be_bytes(bytes.try_into().ok()?) {
                    i64::MIN | i64::MAX => Cell::Null,
                    micros => Cell::Timestamp(micros.checked_add(EPOCH_DAYS * MICROS_A_DAY)?),
                }
            }
            Self::Uuid => {
                let uuid = uuid::Uuid::from_slice(bytes).ok()?;
                Cell::Text(uuid.hyphenated().to_string().into())
            }
            Self::Bytea => Cell::Bytes(bytes.into()),
            Self::Array(member) => list(*member, bytes)?,
        })
    }
}

/// A list: how many dimensions, a flag, the member's type, each dimension's length and first index, members.
fn list(member: Encoder, bytes: &[u8]) -> Option<Cell<'_>> {
    let mut rest = bytes;
    let dimensions = take_i32(&mut rest)?;
    take_i32(&mut rest)?;
    take_i32(&mut rest)?;
    if dimensions == 0 {
        return Some(Cell::List(Vec::new()));
    }
    let length = take_i32(&mut rest)?;
    take_i32(&mut rest)?;
    if dimensions > 1 {
        return None;
    }
    let mut cells = Vec::new();
    for _ in 0..length {
        let cell = match usize::try_from(take_i32(&mut rest)?) {
            Err(_) => Cell::Null,
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                member.value(value)?
            }
        };
        cells.push(cell);
    }
    Some(Cell::List(cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_postgresql_has_is_null() {
        let null = |encoder: Encoder, bytes: &[u8]| encoder.value(bytes).unwrap() == Cell::Null;
        for micros in [i64::MIN, i64::MAX] {
            assert!(null(Encoder::Timestamptz, &micros.to_be_bytes()));
        }
        assert!(null(Encoder::Date, &i32::MAX.to_be_bytes()));
        let day = Encoder::Date.value(&[0; 4]);
        assert_eq!(day, Some(Cell::Date(10_957)));
        // NaN: no digits, and a sign of its own.
        assert!(null(Encoder::Numeric, &[0, 0, 0, 0, 0xc0, 0, 0, 0]));
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        for (encoder, bytes) in [
            (Encoder::Int4, [0; 3].as_slice()),
            (Encoder::Jsonb, b"{}"),
            (Encoder::Text, &[0xff]),
            (Encoder::Array(&Encoder::Int4), &[0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            assert!(encoder.cell(Some(bytes)).is_err(), "{encoder:?}");
        }
    }
}
