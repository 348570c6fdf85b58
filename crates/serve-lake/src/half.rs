//! The older half of an answer that is united with a recent one: rows of the version whose recent rows are elsewhere.

use crate::bind;
use crate::encode::{self, Unwritten};
use crate::page::{Trouble, Values};
use crate::plan::Plan;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use jiff::Timestamp;
use millrace_serve::source::{Half, Joint, Pushed, Stretch, Value};

/// Appends rows to a page; those before `boundary` are older.
pub async fn append(
    half: &Half<'_>,
    plan: &Plan,
    boundary: Timestamp,
    joint: &mut Joint<'_>,
) -> Result<(), Trouble> {
    let stretch = half.stretch(&plan.pages);
    let unordered = || Trouble::Unwritten(Unwritten("the half has no order".to_owned()));
    let stretch = stretch.ok_or_else(unordered)?;
    let statement = plan.statement(&stretch, joint.wanted()).await?;
    let values = values(half, plan, &stretch, boundary)?;
    let mut rows = statement.rows(&values, Timestamp::now()).await?;
    while let Some(batch) = rows.next().await? {
        for row in 0..batch.num_rows() {
            let values = Values {
                batch: &batch,
                row,
                json: &plan.json,
            };
            match joint.push(&values)? {
                Pushed::There => {}
                Pushed::Full => return Ok(()),
                Pushed::TooLarge => return Err(Trouble::TooLarge(joint.rows())),
                Pushed::Last => remember(plan, &batch, row, joint)?,
            }
        }
    }
    Ok(())
}

fn remember(
    plan: &Plan,
    batch: &RecordBatch,
    row: usize,
    joint: &mut Joint<'_>,
) -> Result<(), Trouble> {
    let keys = plan.pages.keys.iter().flatten();
    let values: Result<Vec<_>, Unwritten> = keys
        .map(|key| encode::cell(batch.column(key.place), row))
        .collect();
    let held = joint.remember(values?.into_iter());
    held.ok_or_else(|| Trouble::Unwritten(Unwritten("a row's key cannot be held".to_owned())))
}

/// What is bound: the parameters' values, behind them those of the row behind which the rows lie, and the boundary.
fn values(
    half: &Half<'_>,
    plan: &Plan,
    stretch: &Stretch,
    boundary: Timestamp,
) -> Result<Vec<ArrayRef>, Trouble> {
    let asked = &half.asked;
    let own = asked.arguments.bound(&asked.route.bound);
    let own = own.into_iter().zip(&plan.parameters);
    let mut values: Vec<ArrayRef> = own
        .map(|(value, kind)| bind::array(value, kind))
        .collect::<Result<_, _>>()
        .map_err(Trouble::BadValue)?;
    let behind = half.behind().unwrap_or_default();
    for at in &stretch.bound {
        let value = behind.get(*at).ok_or(Trouble::BadCursor)?;
        values.push(of_key(value, &plan.keys[*at]).ok_or(Trouble::BadCursor)?);
    }
    if stretch.boundary {
        let first = plan.keys.first().ok_or(Trouble::BadCursor)?;
        let value = of_key(&Value::Timestamp(boundary), first);
        values.push(value.ok_or(Trouble::BadCursor)?);
    }
    Ok(values)
}

/// A value of the type that a key has here, whichever source it comes from.
fn of_key(value: &Value, kind: &DataType) -> Option<ArrayRef> {
    let array = bind::array(value, kind).ok()?;
    if array.data_type() == kind {
        return Some(array);
    }
    cast(&array, kind).ok()
}
