//! Body → records: the rules by which the bytes of a response are read, whoever reads them. Ingest counts records by them
//! while a body streams by, transform makes rows of the same records later, and a child resource reads its parent's.

mod form;
pub mod json;
mod pieces;
mod slicer;

pub use form::{FormReader, Unread};
pub use json::Malformed;
pub use pieces::{Pieces, Slice};

use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::Resource;
use millrace_model::raw::Page;
use millrace_model::template::{self, Templates};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// The rules of one resource.
#[derive(Clone, Debug)]
pub struct Rules {
    format: Format,
    /// Where in a body the records are.
    path: Vec<String>,
    filter: Option<Filter>,
}

/// The condition that a record has to meet.
#[derive(Clone, Debug)]
struct Filter {
    expression: String,
    templates: Arc<Templates>,
}

/// A body as JSON text, and where in it the records lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The text.
    pub text: String,
    /// The records, in order.
    pub records: Vec<Range<usize>>,
}

impl Rules {
    /// The rules of that resource.
    pub fn of(resource: &Resource) -> Self {
        Self {
            format: resource.format.clone(),
            path: resource.records.segments().map(str::to_owned).collect(),
            filter: resource.filter.as_ref().map(|expression| Filter {
                expression: expression.clone(),
                templates: Arc::default(),
            }),
        }
    }

    /// Begins a body that came with that `Content-Type`.
    pub fn begin(&self, content_type: Option<&str>) -> FormReader {
        FormReader::new(&self.format, content_type, &self.path)
    }

    /// The JSON that a body tells that was stored as this page; the body itself where it is JSON.
    pub fn as_json(&self, body: Vec<u8>, page: &Page) -> Result<Vec<u8>, Malformed> {
        if page.rewritten {
            return Ok(body);
        }
        Ok(self.begin(page.content_type.as_deref()).read(body)?)
    }

    /// Reads a body that was stored as this page: the records that the resource's filter lets through.
    pub fn read(&self, body: Vec<u8>, page: &Page) -> Result<Ready, Malformed> {
        let mut ready = self.read_all(body, page)?;
        if let Some(filter) = &self.filter {
            filter.apply(&mut ready)?;
        }
        Ok(ready)
    }

    /// Whether the resource's filter lets a record through.
    pub fn keeps(&self, record: &Value) -> Result<bool, String> {
        let Some(Filter {
            expression,
            templates,
        }) = &self.filter
        else {
            return Ok(true);
        };
        let kept = templates.holds(expression, &json!({ "record": record }));
        kept.map_err(|error| error.to_string())
    }

    /// As [`Self::read`]; none where the body is more JSON than so many bytes, and has to be read [`Self::in_pieces`].
    pub fn read_within(
        &self,
        body: Vec<u8>,
        page: &Page,
        most: usize,
    ) -> Result<Option<Ready>, Malformed> {
        let json = if page.rewritten {
            (body.len() <= most).then_some(body)
        } else {
            let form = self.begin(page.content_type.as_deref());
            form.read_within(body, most)?
        };
        let Some(json) = json else { return Ok(None) };
        let mut ready = self.records_of(json, page)?;
        if let Some(filter) = &self.filter {
            filter.apply(&mut ready)?;
        }
        Ok(Some(ready))
    }

    /// Reads a body with all its records, as many as the page says.
    pub fn read_all(&self, body: Vec<u8>, page: &Page) -> Result<Ready, Malformed> {
        self.records_of(self.as_json(body, page)?, page)
    }

    fn records_of(&self, body: Vec<u8>, page: &Page) -> Result<Ready, Malformed> {
        let text = String::from_utf8(body)
            .map_err(|error| Malformed::new(error.utf8_error().valid_up_to(), "it is not UTF-8"))?;
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let ready = Ready {
            records: json::records(&text, &path)?,
            text,
        };
        Ok(match &page.origin.carried {
            Some(carried) if !carried.is_empty() => ready.with(carried),
            _ => ready,
        })
    }
}

impl Filter {
    fn apply(&self, ready: &mut Ready) -> Result<(), Malformed> {
        let condition = self.condition()?;
        let mut kept = Vec::with_capacity(ready.records.len());
        for span in ready.records.drain(..) {
            if condition.holds(&ready.text[span.clone()], span.start)? {
                kept.push(span);
            }
        }
        ready.records = kept;
        Ok(())
    }

    fn condition(&self) -> Result<Condition<'_>, Malformed> {
        let condition = self.templates.condition(&self.expression);
        condition
            .map(Condition)
            .map_err(|error| unjudged(0, &error))
    }
}

/// A filter's condition, ready to judge records.
struct Condition<'f>(template::Condition<'f>);

impl Condition<'_> {
    /// Whether it lets the record through that begins at that byte.
    fn holds(&self, record: &str, at: usize) -> Result<bool, Malformed> {
        let record: Value = serde_json::from_str(record).map_err(|error| unjudged(at, &error))?;
        let holds = self.0.holds(&json!({ "record": record }));
        holds.map_err(|error| unjudged(at, &error))
    }
}

fn unjudged(at: usize, error: &dyn Display) -> Malformed {
    Malformed::new(at, format!("the filter cannot judge this record: {error}"))
}

impl Ready {
    /// The same with those fields in each record that is an object, before its own.
    fn with(self, carried: &Map<String, Value>) -> Self {
        let fields = carried_fields(carried);
        let extra = fields.len() * self.records.len();
        let mut text = String::with_capacity(self.text.len() + extra);
        let mut records = Vec::with_capacity(self.records.len());
        for span in self.records {
            let start = text.len();
            push_with(&self.text[span], &fields, &mut text);
            records.push(start..text.len());
        }
        Self { text, records }
    }
}

/// `{"a":1}` → `{"a":1`
fn carried_fields(carried: &Map<String, Value>) -> String {
    let mut fields = Value::Object(carried.clone()).to_string();
    fields.pop();
    fields
}

/// Writes a record with those fields before its own, if it is an object.
fn push_with(record: &str, fields: &str, text: &mut String) {
    match record.strip_prefix('{') {
        Some(own) => {
            text.push_str(fields);
            if own.trim_start() != "}" {
                text.push(',');
            }
            text.push_str(own);
        }
        None => text.push_str(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_get_the_fields_of_their_slice() {
        let ready = Ready {
            text: r#"[{"a":1}, {}, { }, 5]"#.to_owned(),
            records: vec![1..8, 10..12, 14..17, 19..20],
        };
        let carried = json!({ "order": 7, "note": "\"x\"" });
        let ready = ready.with(carried.as_object().expect("an object"));
        let records: Vec<Value> = ready
            .records
            .iter()
            .map(|span| serde_json::from_str(&ready.text[span.clone()]).expect("JSON"))
            .collect();
        let only = json!({ "order": 7, "note": "\"x\"" });
        let with_own = json!({ "order": 7, "note": "\"x\"", "a": 1 });
        assert_eq!(records, [with_own, only.clone(), only, json!(5)]);
    }

    #[test]
    fn a_filter_lets_through_what_its_condition_holds_for() {
        let filter = Filter {
            expression: "record.state != 'draft' and record.sum | int >= 10".to_owned(),
            templates: Arc::default(),
        };
        let text =
            r#"[{"state":"draft","sum":"70"},{"state":"paid","sum":"12"},{"sum":3},{"sum":11}]"#;
        let mut ready = Ready {
            text: text.to_owned(),
            records: json::records(text, &[]).expect("JSON"),
        };
        filter.apply(&mut ready).expect("a judgement");
        let kept = ready.records.iter().map(|span| &text[span.clone()]);
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [r#"{"state":"paid","sum":"12"}"#, r#"{"sum":11}"#]
        );
    }
}
