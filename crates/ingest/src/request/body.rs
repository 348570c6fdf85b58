//! The body of a request.

use crate::paginate::Parameter;
use bytes::Bytes;
use millrace_model::definition::pipeline::Body;
use millrace_model::template::{TemplateError, Templates};
use serde_json::{Map, Value, json};

/// The body with its values and parameters in it, and its media type.
pub(super) fn render(
    body: &Body,
    parameters: Vec<Parameter>,
    templates: &Templates,
    scope: &Value,
) -> Result<(&'static str, Bytes), TemplateError> {
    Ok(match body {
        Body::Json(fields) => {
            let mut fields = templates.json(fields, scope)?;
            set(&mut fields, parameters);
            ("application/json", json_bytes(&fields))
        }
        Body::Graphql { query, variables } => {
            let mut variables = templates.json(variables, scope)?;
            set(&mut variables, parameters);
            let body = json!({ "query": query, "variables": variables });
            ("application/json", json_bytes(&body))
        }
        Body::Form(fields) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for (name, field) in fields {
                form.append_pair(name, &templates.text(field, scope)?);
            }
            for (name, value) in parameters {
                form.append_pair(&name, &text(&value));
            }
            ("application/x-www-form-urlencoded", form.finish().into())
        }
        Body::Xml(body) => (
            "text/xml; charset=utf-8",
            templates.xml(body, scope)?.into(),
        ),
        Body::Text(body) => (
            "text/plain; charset=utf-8",
            templates.text(body, scope)?.into(),
        ),
    })
}

fn json_bytes(value: &Value) -> Bytes {
    // A value's own text cannot fail to be written.
    value.to_string().into()
}

/// Sets parameters in an object; a dot in a parameter's name leads into an object within.
fn set(fields: &mut Value, parameters: Vec<Parameter>) {
    for (name, value) in parameters {
        let mut place = &mut *fields;
        for segment in name.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[segment];
        }
        *place = value;
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
