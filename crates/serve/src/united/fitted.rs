//! Rows of one source as the other one has them: forms of answers with types have one type a column, and the two may call
//! the same values differently. A list is `jsonb` in PostgreSQL, and half of a whole number is a `numeric`.

use crate::column::{Column, Kind};
use crate::columnar::Cell;
use crate::writer::Row;

/// A row whose values fit those columns, as far as they can be made to.
pub struct Fitted<'r, R> {
    /// What a source has.
    pub row: &'r R,
    /// The columns of the page.
    pub columns: &'r [Column],
}

impl<R: Row> Row for Fitted<'_, R> {
    type Error = R::Error;

    fn json(&self, column: usize, out: &mut Vec<u8>) -> Result<(), R::Error> {
        self.row.json(column, out)
    }

    fn csv(&self, column: usize, out: &mut Vec<u8>) -> Result<(), R::Error> {
        self.row.csv(column, out)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, R::Error> {
        let cell = self.row.cell(column)?;
        let Some(Column { kind, .. }) = self.columns.get(column) else {
            return Ok(cell);
        };
        if *kind == Kind::Json && !matches!(cell, Cell::Null | Cell::Text(_)) {
            let mut json = Vec::new();
            self.row.json(column, &mut json)?;
            return Ok(Cell::Text(
                String::from_utf8_lossy(&json).into_owned().into(),
            ));
        }
        Ok(number(&cell, kind).unwrap_or(cell))
    }
}

/// A number of one kind as one of another; none where it is of that kind, or cannot be.
fn number(cell: &Cell<'_>, kind: &Kind) -> Option<Cell<'static>> {
    match kind {
        Kind::Decimal(_) => decimal(cell),
        Kind::Double => match cell {
            Cell::Float(number) => Some(Cell::Double((*number).into())),
            Cell::Int(_) | Cell::Decimal(_) => Some(Cell::Double(digits(cell)?.parse().ok()?)),
            _ => None,
        },
        Kind::Float => match cell {
            Cell::Int(_) | Cell::Double(_) | Cell::Decimal(_) => {
                Some(Cell::Float(digits(cell)?.parse().ok()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What is no number (NaN, the infinities) has no digits, and is null as in JSON.
fn decimal(cell: &Cell<'_>) -> Option<Cell<'static>> {
    let is_finite = match cell {
        Cell::Int(_) => true,
        Cell::Float(number) => number.is_finite(),
        Cell::Double(number) => number.is_finite(),
        _ => return None,
    };
    if !is_finite {
        return Some(Cell::Null);
    }
    Some(Cell::Decimal(digits(cell)?.into()))
}

fn digits(cell: &Cell<'_>) -> Option<String> {
    Some(match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        Cell::Double(number) => number.to_string(),
        Cell::Decimal(text) => text.clone().into_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct One(Cell<'static>);

    impl Row for One {
        type Error = Infallible;

        fn json(&self, _: usize, out: &mut Vec<u8>) -> Result<(), Infallible> {
            out.extend_from_slice(b"[1,null]");
            Ok(())
        }

        fn csv(&self, _: usize, _: &mut Vec<u8>) -> Result<(), Infallible> {
            Ok(())
        }

        fn cell(&self, _: usize) -> Result<Cell<'_>, Infallible> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn values_are_what_their_column_says() {
        let decimal = |text: &'static str| Cell::Decimal(text.into());
        let list = Cell::List(vec![Cell::Int(1), Cell::Null]);
        let members = Kind::List(Box::new(Kind::Int64));
        for (cell, kind, expected) in [
            (list.clone(), Kind::Json, Cell::Text("[1,null]".into())),
            (list.clone(), members, list),
            (Cell::Null, Kind::Json, Cell::Null),
            (Cell::Int(-7), Kind::Decimal(None), decimal("-7")),
            (Cell::Double(4.5), Kind::Decimal(None), decimal("4.5")),
            (
                Cell::Double(1e21),
                Kind::Decimal(None),
                decimal("1000000000000000000000"),
            ),
            (Cell::Double(f64::NAN), Kind::Decimal(None), Cell::Null),
            (decimal("1.50"), Kind::Decimal(None), decimal("1.50")),
            (decimal("1.50"), Kind::Double, Cell::Double(1.5)),
            (Cell::Int(3), Kind::Double, Cell::Double(3.0)),
            (Cell::Float(0.5), Kind::Double, Cell::Double(0.5)),
            (Cell::Double(0.5), Kind::Float, Cell::Float(0.5)),
            (Cell::Int(3), Kind::Int32, Cell::Int(3)),
            // What does not fit is told where it is written.
            (Cell::Bool(true), Kind::Double, Cell::Bool(true)),
        ] {
            let row = One(cell.clone());
            let columns = [Column::new("a", kind.clone())];
            let columns = columns.as_slice();
            let fitted = Fitted { row: &row, columns };
            assert_eq!(fitted.cell(0), Ok(expected), "{cell:?} as {kind:?}");
        }
    }
}
