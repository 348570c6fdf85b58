//! Body → records: the rules by which the bytes of a response are read, whoever reads them. Ingest counts records by them
//! while a body streams by, transform makes rows of the same records later, and a child resource reads its parent's.

pub mod json;

pub use json::Malformed;

use millrace_model::definition::pipeline::Resource;
use millrace_model::raw::Page;
use serde_json::{Map, Value};
use std::ops::Range;

/// The rules of one resource.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where in a body the records are.
    path: Vec<String>,
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
            path: resource.records.segments().map(str::to_owned).collect(),
        }
    }

    /// Reads a body that was stored as this page.
    pub fn read(&self, body: Vec<u8>, page: &Page) -> Result<Ready, Malformed> {
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

impl Ready {
    /// The same with those fields in each record that is an object, before its own.
    fn with(self, carried: &Map<String, Value>) -> Self {
        let fields = Value::Object(carried.clone()).to_string();
        // `{"a":1}` → `{"a":1`
        let fields = &fields[..fields.len() - 1];
        let extra = fields.len() * self.records.len();
        let mut text = String::with_capacity(self.text.len() + extra);
        let mut records = Vec::with_capacity(self.records.len());
        for span in self.records {
            let start = text.len();
            let record = &self.text[span];
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
            records.push(start..text.len());
        }
        Self { text, records }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
