//! The slices of a resource: each parent record, with each tuple of partitions, with each window of time. A slice is known
//! by its number alone, so that a checkpoint holds a number, however many slices there are.

mod parents;

use crate::checkpoint::Starts;
use crate::dead::Letters;
use crate::request::Requests;
use jiff::Timestamp;
use millrace_model::dead::DeadSlice;
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::{CursorValue, Resource};
use millrace_model::raw::Position;
use millrace_model::step::StepInput;
use millrace_model::{Failure, FailureName};
use millrace_store::objects::Objects;
use parents::{Found, Parents};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One slice.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) number: u64,
    /// Where its pages begin.
    pub(crate) begin: Position,
    /// What templates see of it.
    pub(crate) scope: Value,
    /// Fields that each of its records gets.
    pub(crate) carried: Option<Map<String, Value>>,
    /// The name of its partition, where that has a cursor of its own.
    pub(crate) partition: Option<String>,
}

/// The name by which a partition's cursor is known.
pub(crate) fn partition_name(partition: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = partition.iter().collect();
    json!(sorted).to_string()
}

/// What there is at a number.
#[derive(Debug)]
pub(crate) enum At {
    Slice(Box<Slice>),
    /// The parent resource is not complete yet.
    NotYet,
    /// There are no more slices.
    End,
}

/// The slices of a resource in one run.
#[derive(Debug)]
pub(crate) struct Slices<'a> {
    resource: &'a Resource,
    /// The slices that are asked for again, which come first; none where the run is no retry.
    letters: Option<Letters<'a>>,
    parents: Option<Parents<'a>>,
    /// Where the windows begin and where they end, in milliseconds since 1970; none where there are none.
    span: Option<(i64, i64)>,
    starts: Starts,
}

impl<'a> Slices<'a> {
    /// The slices of a run that asks from `start` on, until `until`, which is in milliseconds since 1970.
    pub(crate) fn new(
        objects: &'a dyn Objects,
        input: &'a StepInput,
        pinned: &'a Pinned,
        resource: &'a Resource,
        until: i64,
        letters: Option<Letters<'a>>,
        starts: Starts,
    ) -> Result<Self, Failure> {
        let parents = match &resource.slices.parent {
            None => None,
            Some(name) => Some(Parents::new(objects, input, pinned, name)?),
        };
        let span = resource.slices.windows.as_ref().and_then(|windows| {
            let from = match (windows.start, &starts.all) {
                (Some(start), _) => start,
                (None, Some(CursorValue::Timestamp(start))) => *start,
                _ => return None,
            };
            Some((from, until))
        });
        Ok(Self {
            resource,
            letters,
            parents,
            span,
            starts,
        })
    }

    /// Whether there is anything but the one slice that has nothing to say.
    pub(crate) fn is_cut(&self) -> bool {
        self.letters.is_some() || !self.resource.slices.is_whole() || self.resource.report.is_some()
    }

    /// How many slices each parent has.
    fn each(&self) -> u64 {
        self.resource.slices.partition_count() * self.windows()
    }

    fn windows(&self) -> u64 {
        let Some((windows, (from, to))) = self.resource.slices.windows.as_ref().zip(self.span)
        else {
            return u64::from(self.resource.slices.windows.is_none());
        };
        let step = windows.step.as_millis().max(1) as u64;
        (to.saturating_sub(from).max(0) as u64).div_ceil(step)
    }

    /// What there is at that number.
    pub(crate) async fn at(&mut self, number: u64, requests: &Requests) -> Result<At, Failure> {
        let Some(letters) = &self.letters else {
            return self.usual(number, 0, requests).await;
        };
        if let Some(dead) = letters.at(number).await? {
            let slice = dead.slice.unwrap_or(DeadSlice {
                scope: Value::Object(Map::new()),
                carried: None,
            });
            // A report that was asked for then may be gone.
            let begin = match self.resource.report {
                None => dead.position.inner().clone(),
                Some(_) => Position::Start,
            };
            return Ok(At::Slice(Box::new(Slice {
                number,
                begin,
                scope: slice.scope,
                carried: slice.carried,
                partition: None,
            })));
        }
        if self.parents.is_none() {
            return Ok(At::End);
        }
        // The records that the parent's retry brings have children.
        let count = letters.count();
        self.usual(number - count, count, requests).await
    }

    /// The slice of that number of those that the definition tells, or the next one that there is; `before` is how many
    /// others come before these in the run.
    async fn usual(
        &mut self,
        mut number: u64,
        before: u64,
        requests: &Requests,
    ) -> Result<At, Failure> {
        let each = self.each();
        if each == 0 {
            return Ok(At::End);
        }
        let mut scope = Map::new();
        match &mut self.parents {
            None if number >= each => return Ok(At::End),
            None => {}
            Some(parents) => loop {
                match parents.at(number / each).await? {
                    Found::Record(record) => {
                        scope.insert("parent".to_owned(), record);
                        break;
                    }
                    Found::Filtered => number = (number / each + 1) * each,
                    Found::NotYet => return Ok(At::NotYet),
                    Found::End => return Ok(At::End),
                }
            },
        }
        let whole = before + number;
        number %= each;
        let windows = self.windows();
        if let Some(window) = self.window(number % windows)? {
            scope.insert("window".to_owned(), window);
        }
        number /= windows;
        let partition = self.resource.slices.partition(number);
        let name = self.own_cursor(&partition, &mut scope, requests);
        if !partition.is_empty() {
            scope.insert("partition".to_owned(), partition.into());
        }
        let scope = Value::Object(scope);
        let carried = self.carried(&scope, requests)?;
        Ok(At::Slice(Box::new(Slice {
            number: whole,
            begin: Position::Start,
            scope,
            carried,
            partition: name,
        })))
    }

    /// The name of a partition that has a cursor of its own, from which its requests start where the runs before have left
    /// it one.
    fn own_cursor(
        &self,
        partition: &Map<String, Value>,
        scope: &mut Map<String, Value>,
        requests: &Requests,
    ) -> Option<String> {
        if partition.is_empty() || self.resource.incremental.is_none() {
            return None;
        }
        let name = partition_name(partition);
        let start = self.starts.partitions.get(&name);
        if let Some(start) = start.and_then(|start| requests.sent(start)) {
            scope.insert("cursor".to_owned(), start);
        }
        Some(name)
    }

    fn window(&self, number: u64) -> Result<Option<Value>, Failure> {
        let Some((windows, (from, to))) = self.resource.slices.windows.as_ref().zip(self.span)
        else {
            return Ok(None);
        };
        let step = windows.step.as_millis() as i64;
        let start = from.saturating_add(step.saturating_mul(number as i64));
        let end = start.saturating_add(step).min(to);
        let text = |millis: i64| {
            let moment = Timestamp::from_millisecond(millis).map_err(|error| {
                Failure::new(
                    FailureName::BadDefinition,
                    format!("a window of time: {error}"),
                )
            })?;
            Ok::<_, Failure>(moment.to_string())
        };
        Ok(Some(json!({ "start": text(start)?, "end": text(end)? })))
    }

    fn carried(
        &self,
        scope: &Value,
        requests: &Requests,
    ) -> Result<Option<Map<String, Value>>, Failure> {
        let carry = &self.resource.slices.carry;
        if carry.is_empty() {
            return Ok(None);
        }
        let mut carried = Map::new();
        for (name, expression) in carry {
            carried.insert(name.clone(), requests.value(expression, scope)?);
        }
        Ok(Some(carried))
    }
}
