//! Records held to their keys, their types and what is expected of them; and what is told of those that fail.

use super::{Batch, Decoder, Loaded, Pending, arrow, key_set};
use crate::column::{Origin, type_name};
use crate::shape::{Broken, Refusal};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter;
use millrace_expect::{Breach, Checks};
use millrace_model::definition::pipeline::{OnUnreadable, Otherwise};
use millrace_model::{Failure, FailureName};
use millrace_records::Malformed;
use serde_json::{Value, json};

/// How large a record is that is kept, where it is kept out of its table.
const KEPT_BYTES: u64 = 1024 * 1024;

impl Decoder {
    /// Holds rows to what is expected of them: says which are kept out, and what is kept of those.
    pub(super) fn hold(
        &mut self,
        root: &RecordBatch,
        rows: &BooleanArray,
        broken: &[Broken],
        pending: &[Pending],
        checks: Checks,
    ) -> Result<(BooleanArray, Vec<u8>), Failure> {
        let backwards = Self::backwards(&self.table);
        let mut breaches: Vec<Breach> = broken
            .iter()
            .filter(|broken| rows.value(broken.row))
            .map(|broken| Breach {
                row: broken.row,
                column: broken.path.clone(),
                reason: broken.reason.clone(),
                otherwise: Otherwise::Quarantine,
            })
            .collect();
        breaches.extend(self.expectations.check(root, rows, checks)?);
        if checks != Checks::Together && self.expectations.have_schemas() {
            let records = pending.iter().flat_map(|part| part.texts(backwards));
            breaches.extend(self.expectations.check_records(records, rows));
        }
        let mut quarantined = Vec::new();
        let kept_out = if breaches.is_empty() {
            vec![false; rows.len()]
        } else {
            self.sort_out(&breaches, pending, &mut quarantined)?
        };
        Ok((BooleanArray::from(kept_out), quarantined))
    }

    /// Whether what cannot be read is kept out, and the rest taken.
    pub(super) fn keeps_out_unreadable(&self) -> bool {
        self.table.contract.unreadable == OnUnreadable::Quarantine
    }

    /// A body that cannot be read: kept out, or the end of the step.
    pub(super) fn unreadable(
        &mut self,
        page: &Loaded,
        fault: &Malformed,
    ) -> Result<Batch, Failure> {
        if !self.keeps_out_unreadable() {
            return Err(page.page.bad(fault.at, &fault.what));
        }
        self.count("pages_quarantined", 1);
        let line = json!({
            "reason": format!("the answer cannot be read at byte {}: {}", fault.at, fault.what),
            "object": &*page.page.object,
            "page": page.page.number,
            "url": page.page.page.url,
        });
        Ok(Batch {
            sequence: page.page.sequence,
            tables: Vec::new(),
            quarantined: format!("{line}\n").into_bytes(),
        })
    }

    /// Remembers the keys of rows that were kept out: what the table has of them stays.
    pub(super) fn keep_what_is_there(
        &mut self,
        key: &[ArrayRef],
        kept_out: &BooleanArray,
    ) -> Result<(), Failure> {
        if kept_out.true_count() == 0 {
            return Ok(());
        }
        let columns = key
            .iter()
            .map(|column| filter(column, kept_out))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| arrow(&error))?;
        let set = match &mut self.kept_out {
            Some(set) => set,
            None => self
                .kept_out
                .insert(key_set(&columns).map_err(|error| arrow(&error))?),
        };
        set.insert(&columns).map_err(|error| arrow(&error))?;
        Ok(())
    }

    /// Fails, counts, or keeps out: says which rows are kept out.
    pub(super) fn sort_out(
        &mut self,
        breaches: &[Breach],
        pending: &[Pending],
        quarantined: &mut Vec<u8>,
    ) -> Result<Vec<bool>, Failure> {
        let rows = pending.iter().map(|part| part.records.len()).sum();
        let (mut kept_out, mut warned) = (vec![false; rows], vec![false; rows]);
        for breach in breaches {
            let (page, number) = self.locate(breach.row, pending);
            match breach.otherwise {
                Otherwise::Fail => {
                    return Err(Failure::new(
                        FailureName::BadData,
                        format!(
                            "`{}.{}` of {} breaks what is expected of it: {}. Nothing was written; correct the source or \
                             the expectation, or let it say `otherwise: quarantine`",
                            self.table.name,
                            breach.column,
                            page.page.record(number),
                            breach.reason
                        ),
                    ));
                }
                Otherwise::Quarantine if !kept_out[breach.row] => {
                    kept_out[breach.row] = true;
                    let line = line(page, number, breach);
                    quarantined.extend_from_slice(line.as_bytes());
                }
                Otherwise::Quarantine => {}
                Otherwise::Warn => warned[breach.row] = true,
            }
        }
        let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
        self.count("rows_quarantined", count(&kept_out));
        self.count("rows_warned", count(&warned));
        Ok(kept_out)
    }

    /// The key's columns, each of them with a value in every row.
    pub(super) fn key(
        &self,
        root: &RecordBatch,
        broken: &[Broken],
        pending: &[Pending],
    ) -> Result<Vec<ArrayRef>, Failure> {
        let whole = |row: &usize| !broken.iter().any(|broken| broken.row == *row);
        self.table
            .key
            .iter()
            .map(|name| {
                let column = root.column_by_name(name);
                let missing = match column {
                    None => Some(0),
                    Some(column) if column.null_count() == 0 => None,
                    Some(column) => {
                        (0..column.len()).find(|row| column.is_null(*row) && whole(row))
                    }
                };
                match (missing, column) {
                    (None, Some(column)) => Ok(column.clone()),
                    (row, _) => {
                        let (page, number) = self.locate(row.unwrap_or(0), pending);
                        Err(Failure::new(
                            FailureName::BadData,
                            format!(
                                "{} has no `{name}`, which is in the key of `{}`; name another key, or another write mode \
                                 than `upsert`",
                                page.page.record(number),
                                self.table.name
                            ),
                        ))
                    }
                }
            })
            .collect()
    }

    pub(super) fn locate<'p>(&self, row: usize, pending: &'p [Pending]) -> (&'p Loaded, usize) {
        let mut before = 0;
        let mut last = &pending[0];
        for part in pending {
            last = part;
            if row < before + part.records.len() {
                break;
            }
            before += part.records.len();
        }
        let step = (row - before).min(last.records.len().saturating_sub(1));
        (&last.page, last.at(step, Self::backwards(&self.table)))
    }

    pub(super) fn failure(&self, refusal: &Refusal, record: &str) -> Failure {
        match refusal {
            Refusal::Malformed(malformed) => Failure::new(
                FailureName::BadData,
                format!("{record} cannot be read: {}", malformed.what),
            ),
            Refusal::Unfit {
                path,
                column,
                kind,
                origin,
            } => {
                let kind = type_name(*kind);
                let advice = match origin {
                    Origin::Declared => format!("declare another type for `{path}`, or `string`"),
                    Origin::Existing | Origin::Inferred => format!(
                        "the type was inferred from earlier records: declare a wider one for `{path}` under `columns`, with \
                         a new `name`, or remove the table to have it made anew"
                    ),
                };
                Failure::new(
                    FailureName::BadData,
                    format!(
                        "a value of {record} does not fit the column `{column}` ({kind}); {advice}"
                    ),
                )
            }
            Refusal::Unlike {
                path,
                column,
                holds,
            } => Failure::new(
                FailureName::BadData,
                format!(
                    "a value of {record} does not fit the column `{column}`, which holds {holds}; declare `{path}` as \
                     `json` under `columns`, with a new `name`, or let the contract discard it"
                ),
            ),
            Refusal::Frozen(message) => {
                Failure::new(FailureName::BadData, format!("{record}: {message}"))
            }
            Refusal::Definition(message) => {
                Failure::new(FailureName::BadDefinition, message.clone())
            }
            Refusal::Arrow(error) => Failure::new(
                FailureName::Internal,
                format!(
                    "rows of `{}` could not be put together: {error}",
                    self.table.name
                ),
            ),
        }
    }
}

/// What is kept of a row that is kept out: why, where it came from, and the record; one that is no JSON, or nested too deep,
/// as text, and one that is too large not at all.
fn line(page: &Loaded, number: usize, breach: &Breach) -> String {
    let text = page.text(number);
    let mut line = json!({
        "reason": breach.reason,
        "column": breach.column,
        "object": &*page.page.object,
        "page": page.page.number,
        "number": page.page.first_record + number as u64,
        "requested_at": page.page.page.requested_at,
    });
    let bytes = page.bytes(number);
    if bytes > KEPT_BYTES {
        line["bytes"] = json!(bytes);
        line["at"] = json!(page.start(number));
    } else if serde_json::from_str::<Value>(text).is_err() {
        line["text"] = json!(text);
    } else {
        let line = line.to_string();
        // Verbatim, so that no digit of a number is lost.
        return format!(
            "{},\"record\":{}}}\n",
            &line[..line.len() - 1],
            one_line(text)
        );
    }
    format!("{line}\n")
}

/// JSON text on one line: line breaks can only stand between its tokens, where they mean nothing.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
