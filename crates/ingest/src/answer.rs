//! What an answer means where its status does not say it.

use crate::scan::Found;
use millrace_model::definition::answer::{AnswerRule, Meaning};
use millrace_model::definition::pipeline::Resource;
use millrace_model::template::Templates;
use millrace_model::{Failure, FailureName};
use serde_json::{Map, Value, json};

/// The rules of a resource.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<AnswerRule>,
    templates: Templates,
}

impl Rules {
    pub(crate) fn of(resource: &Resource) -> Self {
        Self {
            rules: resource.answers.clone(),
            templates: Templates::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The paths of a body under which the rules look.
    pub(crate) fn paths(&self) -> Vec<String> {
        let names = self.rules.iter().flat_map(|rule| {
            // The definition was checked.
            let names = self.templates.names_of_expression(&rule.when);
            names.unwrap_or_default()
        });
        names
            .filter_map(|name| {
                let path = name.strip_prefix("answer")?;
                Some(path.trim_start_matches('.').to_owned())
            })
            .collect()
    }

    /// What an answer of that status and those values means; none where no rule holds.
    pub(crate) fn meaning(&self, status: u16, values: &Value) -> Result<Option<Meaning>, Failure> {
        let scope = json!({ "status": status, "answer": values });
        for rule in &self.rules {
            let holds = self.templates.holds(&rule.when, &scope).map_err(|error| {
                let message = format!("`answers` cannot judge an answer: {error}");
                Failure::new(FailureName::BadDefinition, message)
            })?;
            if holds {
                return Ok(Some(rule.means));
            }
        }
        Ok(None)
    }
}

/// The plain values that were found in an answer, in objects and lists as they came.
pub(crate) fn values(found: &Found) -> Value {
    values_over(None, found)
}

/// The same, over values of answers before it.
pub(crate) fn values_over(known: Option<Value>, found: &Found) -> Value {
    let mut values = known.unwrap_or_else(|| Value::Object(Map::new()));
    for (path, value) in &found.meta {
        *place(&mut values, path) = value.clone();
    }
    values
}

/// The place of a path, made where there is none. A step that is the next number of a list leads into it.
fn place<'v>(values: &'v mut Value, path: &str) -> &'v mut Value {
    path.split('.').fold(values, |place, step| {
        let number = step.parse::<usize>().ok();
        let is_list = match (&*place, number) {
            (Value::Array(items), Some(number)) => number <= items.len(),
            (Value::Object(_), _) => false,
            (_, number) => number == Some(0),
        };
        if let Some(number) = number.filter(|_| is_list) {
            if !place.is_array() {
                *place = Value::Array(Vec::new());
            }
            if let Some(items) = place.as_array_mut()
                && items.len() <= number
            {
                items.push(Value::Null);
            }
            return &mut place[number];
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        &mut place[step]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_in_objects_and_lists_as_they_came() {
        let meta = [
            ("ok", json!(false)),
            ("errors.0.code", json!("E1")),
            ("errors.1.code", json!("E2")),
            ("by.0", json!("x")),
        ];
        let meta = meta
            .into_iter()
            .map(|(path, value)| (path.to_owned(), value));
        let found = Found {
            meta: meta.collect(),
            ..Found::default()
        };
        let expected =
            json!({ "ok": false, "errors": [{ "code": "E1" }, { "code": "E2" }], "by": ["x"] });
        assert_eq!(values(&found), expected);
        let over = json!({ "ok": true, "id": 7 });
        assert_eq!(values_over(Some(over), &found)["id"], 7);
    }
}
