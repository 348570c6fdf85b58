//! The first reading of records whose fate has to be known before they are written.

use super::{Batch, Decoder, Pending, arrow};
use crate::digest::root_digests;
use crate::plan::{Look, Plan, moment_type};
use crate::shape::Broken;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::and_not;
use millrace_expect::Checks;
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::moment;
use millrace_model::{Failure, FailureName};
use std::sync::Arc;

impl Decoder {
    /// Notes records for the plan; nothing is written.
    #[expect(
        clippy::too_many_arguments,
        reason = "a batch's parts, of which some exist only here"
    )]
    pub(super) fn plan(
        &mut self,
        sequence: u64,
        root: &RecordBatch,
        key: &[ArrayRef],
        deleted: &BooleanArray,
        broken: &[Broken],
        pending: &[Pending],
        first: u64,
    ) -> Result<Batch, Failure> {
        let all = BooleanArray::from(vec![true; root.num_rows()]);
        let living = and_not(&all, deleted).map_err(|error| arrow(&error))?;
        let (kept_out, _) = self.hold(root, &living, broken, pending, Checks::Alone)?;
        let counts = and_not(&all, &kept_out).map_err(|error| arrow(&error))?;
        let at = self.moments(root, pending)?;
        let is_history = self.table.write == WriteMode::History;
        let digests = if is_history {
            root_digests(root).map_err(|error| arrow(&error))?
        } else {
            Vec::new()
        };
        let plan = match &mut self.plan {
            Some(plan) => plan,
            None => self
                .plan
                .insert(Plan::new(is_history, key, &at).map_err(|error| arrow(&error))?),
        };
        let look = Look {
            key,
            at: &at,
            digests: &digests,
        };
        plan.add(&look, deleted, &counts, first, sequence)
            .map_err(|error| arrow(&error))?;
        Ok(Batch {
            sequence,
            tables: Vec::new(),
            quarantined: Vec::new(),
        })
    }

    /// What tells the order of rows: the column that is named, or the time at which their page was asked for.
    pub(super) fn moments(
        &self,
        root: &RecordBatch,
        pending: &[Pending],
    ) -> Result<ArrayRef, Failure> {
        let history = self.table.write == WriteMode::History;
        let Some(order) = &self.table.order else {
            let mut moments = Vec::with_capacity(root.num_rows());
            for part in pending {
                let at = moment::micros(&part.page.page.page.requested_at);
                moments.resize(moments.len() + part.records.len(), at);
            }
            let moments = TimestampMicrosecondArray::from(moments).with_timezone("UTC");
            return Ok(Arc::new(moments));
        };
        let bad = |what: &str| {
            let message = format!(
                "the column `{order}`, by which the rows of `{}` are ordered, {what}",
                self.table.name
            );
            Failure::new(FailureName::BadDefinition, message)
        };
        let column = root
            .column_by_name(order)
            .ok_or_else(|| bad("is in no record: name another one as `order`"))?;
        if history && *column.data_type() != moment_type() {
            return Err(bad(
                "is no moment, which a `history` wants: declare it as `timestamp` under `columns`",
            ));
        }
        if history && column.null_count() > 0 {
            return Err(Failure::new(
                FailureName::BadData,
                format!(
                    "a record of `{}` has no `{order}`, by which its versions are ordered",
                    self.table.name
                ),
            ));
        }
        Ok(column.clone())
    }
}
