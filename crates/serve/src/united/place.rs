//! Where in an answer a row lies, whichever source has it: in which part of the table, and behind which values.

use crate::asked::Asked;
use crate::columnar::Cell;
use crate::cursor::Cursor;
use crate::united::Snapshot;
use crate::value::Value;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use millrace_model::query::United as Query;

/// The day from which days are counted.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// A part of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From the boundary on: what the source of recent rows has.
    Recent,
    /// Before the boundary.
    Older,
    /// Without a value of the column that says how old a row is.
    Undated,
}

/// A row's place in the order of an answer: its values by which rows are ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(pub Vec<Value>);

impl Place {
    /// The place that a cursor holds; none where it holds none.
    pub fn of(cursor: &Cursor) -> Option<Self> {
        let Cursor::Behind { key, .. } = cursor else {
            return None;
        };
        let values = key.iter().map(|value| match value {
            None => Some(Value::Null),
            Some(bytes) => unpacked(bytes),
        });
        values.collect::<Option<_>>().map(Self)
    }

    /// In which part of the table it lies, now.
    fn part(&self, snapshot: &Snapshot) -> Part {
        match self.0.first().and_then(moment) {
            None => Part::Undated,
            Some(at) if at < snapshot.rows.from => Part::Older,
            Some(_) => Part::Recent,
        }
    }
}

/// The parts that a page is to be read from, in their order; the first of them from behind a place on.
pub fn parts<'p>(
    query: &Query,
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    begin: Option<&'p Place>,
) -> Vec<(Part, Option<&'p Place>)> {
    let dated = if query.direction.descending {
        [Part::Recent, Part::Older]
    } else {
        [Part::Older, Part::Recent]
    };
    let [first, second] = dated;
    let all = if query.direction.nulls_first {
        [Part::Undated, first, second]
    } else {
        [first, second, Part::Undated]
    };
    let begins = begin.map(|place| (place.part(snapshot), place));
    let rest = all
        .into_iter()
        .skip_while(|part| begins.is_some_and(|(begin, _)| begin != *part));
    let values = asked.arguments.bound(&asked.route.bound);
    let values: Vec<Option<Timestamp>> = values.into_iter().map(moment).collect();
    rest.filter(|part| may_hold(*part, query, snapshot, &values))
        .map(|part| {
            let behind = begins.filter(|(begin, _)| *begin == part);
            (part, behind.map(|(_, place)| place))
        })
        .collect()
}

/// Whether a part may have rows of the answer, as far as its parameters tell.
fn may_hold(part: Part, query: &Query, snapshot: &Snapshot, values: &[Option<Timestamp>]) -> bool {
    let given = |places: &[usize]| -> Vec<Timestamp> {
        let values = places.iter().filter_map(|place| values.get(*place));
        values.copied().flatten().collect()
    };
    match part {
        Part::Recent => true,
        Part::Older => {
            let since = given(&query.since);
            since.iter().all(|since| *since < snapshot.rows.from)
        }
        Part::Undated => {
            snapshot.rows.undated && !query.is_dated && given(&query.bounds).is_empty()
        }
    }
}

/// The moment that a value is; of a day, its midnight in UTC.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Timestamp(at) => Some(*at),
        Value::Date(day) => {
            let midnight = day.to_zoned(TimeZone::UTC).ok()?;
            Some(midnight.timestamp())
        }
        _ => None,
    }
}

/// A value as cursors hold it, whichever source it comes from; inside, none where it is null. None outside where rows
/// cannot be ordered by such.
#[allow(clippy::option_option)] // Outside: whether it can be held.
pub(super) fn packed(value: &Cell<'_>) -> Option<Option<Vec<u8>>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    Some(Some(match value {
        Cell::Null => return Some(None),
        Cell::Bool(value) => of(b'b', &[u8::from(*value)]),
        Cell::Int(number) => of(b'i', &number.to_be_bytes()),
        Cell::Float(number) => of(b'f', &f64::from(*number).to_be_bytes()),
        Cell::Double(number) => of(b'f', &number.to_be_bytes()),
        Cell::Decimal(text) => of(b'n', text.as_bytes()),
        Cell::Text(text) => of(b's', text.as_bytes()),
        Cell::Date(days) => of(b'd', &days.to_be_bytes()),
        Cell::Timestamp(micros) => of(b't', &micros.to_be_bytes()),
        Cell::Time(_) | Cell::Bytes(_) | Cell::List(_) => return None,
    }))
}

fn unpacked(bytes: &[u8]) -> Option<Value> {
    let (kind, bytes) = bytes.split_first()?;
    let text = || String::from_utf8(bytes.to_vec()).ok();
    let whole = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    Some(match kind {
        b'b' => Value::Bool(*bytes.first()? != 0),
        b'i' => Value::Int(whole()?),
        b'f' => Value::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
        b'n' => Value::Decimal(text()?),
        b's' => Value::Text(text()?),
        b'd' => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            let days = jiff::Span::new().try_days(days).ok()?;
            Value::Date(EPOCH.checked_add(days).ok()?)
        }
        b't' => Value::Timestamp(Timestamp::from_microsecond(whole()?).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_cursors() {
        for (cell, value) in [
            (Cell::Bool(true), Value::Bool(true)),
            (Cell::Int(-7), Value::Int(-7)),
            (Cell::Float(0.5), Value::Double(0.5)),
            (Cell::Double(-0.25), Value::Double(-0.25)),
            (
                Cell::Decimal("-1.50".into()),
                Value::Decimal("-1.50".to_owned()),
            ),
            (Cell::Text("é".into()), Value::Text("é".to_owned())),
            (Cell::Date(-1), Value::Date(jiff::civil::date(1969, 12, 31))),
            (
                Cell::Timestamp(-1),
                Value::Timestamp(Timestamp::from_microsecond(-1).unwrap()),
            ),
        ] {
            let bytes = packed(&cell).unwrap().unwrap();
            assert_eq!(unpacked(&bytes), Some(value));
        }
        assert_eq!(packed(&Cell::Null), Some(None));
        assert_eq!(packed(&Cell::Bytes([1][..].into())), None);
        for wrong in [&b""[..], b"x", b"i123", b"t1", b"s\xff"] {
            assert_eq!(unpacked(wrong), None);
        }
    }
}
