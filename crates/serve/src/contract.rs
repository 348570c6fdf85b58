//! What a new contract breaks of an old one: what a consumer that keeps to the old one would notice.

use serde_json::{Map, Value};

/// Everything that breaks, each with its place.
pub fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, item) in entries(&old["paths"]) {
        for (method, operation) in entries(item) {
            let place = format!("{} {path}", method.to_uppercase());
            match &new["paths"][path][method] {
                Value::Null => broken.push(format!("{place} is gone")),
                present => operations(&place, operation, present, &mut broken),
            }
        }
    }
    broken
}

/// Something that a caller may or must send: a parameter, or a member of the body.
struct Input<'a> {
    name: &'a str,
    in_body: bool,
    required: bool,
    schema: &'a Value,
}

impl<'a> Input<'a> {
    /// Everything that a caller of an operation sends.
    fn all(operation: &'a Value) -> Vec<Self> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let mut inputs: Vec<Self> = parameters
            .map(|parameter| Self {
                name: parameter["name"].as_str().unwrap_or_default(),
                in_body: false,
                required: parameter["required"] == true,
                schema: &parameter["schema"],
            })
            .collect();
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let required = |name: &str| {
            let mut names = body["required"].as_array().into_iter().flatten();
            names.any(|required| required == name)
        };
        inputs.extend(entries(&body["properties"]).map(|(name, schema)| Self {
            name,
            in_body: true,
            required: required(name),
            schema,
        }));
        inputs
    }

    fn is(&self, other: &Self) -> bool {
        (self.name, self.in_body) == (other.name, other.in_body)
    }

    /// What it is called in messages.
    fn title(&self) -> String {
        let kind = if self.in_body {
            "body's member"
        } else {
            "parameter"
        };
        format!("the {kind} `{}`", self.name)
    }
}

fn operations(place: &str, old: &Value, new: &Value, broken: &mut Vec<String>) {
    let (before, now) = (Input::all(old), Input::all(new));
    for input in &before {
        let title = input.title();
        let Some(present) = now.iter().find(|present| present.is(input)) else {
            broken.push(format!("{place}: {title} is gone"));
            continue;
        };
        if present.required && !input.required {
            broken.push(format!("{place}: {title} is required now"));
        }
        let place = format!("{place}: {title}");
        narrower(&place, input.schema, present.schema, broken);
    }
    for input in now.iter().filter(|input| input.required) {
        if !before.iter().any(|known| known.is(input)) {
            broken.push(format!("{place}: {} is new, and required", input.title()));
        }
    }
    if old["security"].as_array().is_some_and(Vec::is_empty) && old["security"] != new["security"] {
        broken.push(format!("{place}: callers must say who they are now"));
    }
    let columns = |operation: &Value| {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        schema["properties"]["data"]["items"]["properties"].clone()
    };
    let present = columns(new);
    // Nobody who was asked knows what the route answers.
    if present.is_null() {
        return;
    }
    for (name, schema) in entries(&columns(old)) {
        match present.get(name) {
            None => broken.push(format!("{place}: the column `{name}` is gone")),
            Some(now) if (&now["type"], &now["format"]) != (&schema["type"], &schema["format"]) => {
                broken.push(format!(
                    "{place}: the column `{name}` was {schema} and is {now}"
                ));
            }
            Some(_) => {}
        }
    }
}

/// Whether values that were taken are refused now.
fn narrower(place: &str, old: &Value, new: &Value, broken: &mut Vec<String>) {
    let kind = |schema: &Value| schema["type"].clone();
    let wider = kind(old) == "integer" && kind(new) == "number";
    if kind(old) != kind(new) && !wider {
        broken.push(format!(
            "{place} was {} and is {}",
            old["type"], new["type"]
        ));
    }
    for (bound, grows) in [
        ("minimum", true),
        ("minLength", true),
        ("maximum", false),
        ("maxLength", false),
        ("maxItems", false),
    ] {
        let Some(now) = new[bound].as_f64() else {
            continue;
        };
        let tighter = old[bound]
            .as_f64()
            .is_none_or(|was| if grows { now > was } else { now < was });
        if tighter {
            broken.push(format!("{place} has the {bound} {now} now"));
        }
    }
    if let Some(now) = new["enum"].as_array() {
        let was = old["enum"].as_array();
        if was.is_none_or(|was| was.iter().any(|value| !now.contains(value))) {
            broken.push(format!("{place} takes fewer values now"));
        }
    }
    if new["pattern"] != old["pattern"] && !new["pattern"].is_null() {
        broken.push(format!("{place} has another pattern now"));
    }
    if old["items"].is_object() && new["items"].is_object() {
        let place = format!("{place}, each value,");
        narrower(&place, &old["items"], &new["items"], broken);
    }
    if old.get("default") != new.get("default") {
        broken.push(format!("{place} has another default now"));
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contract(parameter: &Value, column: &Value) -> Value {
        json!({ "paths": { "/quakes": { "get": {
            "security": [],
            "parameters": [parameter],
            "responses": { "200": { "content": { "application/json": { "schema": { "properties": { "data": { "items": {
                "properties": column } } } } } } } },
        } } } })
    }

    #[test]
    fn bodies_are_compared_as_parameters_are() {
        let contract = |schema: &Value| {
            let content = json!({ "application/json": { "schema": schema } });
            json!({ "paths": { "/quakes": { "post": { "requestBody": { "content": content } } } } })
        };
        let ids = json!({ "type": "array", "maxItems": 10, "items": { "type": "string", "maxLength": 9 } });
        let old =
            contract(&json!({ "properties": { "ids": ids, "day": {} }, "required": ["ids"] }));
        assert_eq!(breaking(&old, &old), [""; 0]);
        let fewer = json!({ "type": "array", "maxItems": 5, "items": { "type": "string", "maxLength": 3 } });
        for (properties, required, said) in [
            (
                json!({ "ids": ids }),
                vec!["ids"],
                "the body's member `day` is gone",
            ),
            (
                json!({ "ids": ids, "day": {} }),
                vec!["ids", "day"],
                "the body's member `day` is required now",
            ),
            (
                json!({ "ids": ids, "day": {}, "place": {} }),
                vec!["ids", "place"],
                "the body's member `place` is new, and required",
            ),
            (
                json!({ "ids": fewer, "day": {} }),
                vec!["ids"],
                "has the maxItems 5 now",
            ),
            (
                json!({ "ids": fewer, "day": {} }),
                vec!["ids"],
                "`ids`, each value, has the maxLength 3 now",
            ),
        ] {
            let new = contract(&json!({ "properties": properties, "required": required }));
            let found = breaking(&old, &new);
            assert!(
                found.iter().any(|line| line.contains(said)),
                "{said}: {found:?}"
            );
        }
        let more = json!({ "properties": { "ids": ids, "day": {}, "place": {} }, "required": [] });
        assert_eq!(breaking(&old, &contract(&more)), [""; 0]);
    }

    #[test]
    fn what_nobody_knows_is_not_gone() {
        let unknown =
            json!({ "paths": { "/quakes": { "get": { "security": [], "parameters": [] } } } });
        let mut old = contract(&json!({}), &json!({ "id": { "type": ["string", "null"] } }));
        old["paths"]["/quakes"]["get"]["parameters"] = json!([]);
        assert_eq!(breaking(&old, &unknown), [""; 0]);
    }

    #[test]
    fn what_a_consumer_would_notice_is_named() {
        let parameter =
            json!({ "name": "least", "schema": { "type": "number", "maximum": 11, "default": 5 } });
        let column = json!({ "id": { "type": ["string", "null"] } });
        let old = contract(&parameter, &column);
        assert_eq!(breaking(&old, &old), [""; 0]);
        let more = contract(
            &parameter,
            &json!({ "id": { "type": ["string", "null"] }, "new": {} }),
        );
        assert_eq!(
            breaking(&old, &more),
            [""; 0],
            "what is added breaks nothing"
        );
        for (change, said) in [
            (json!({ "paths": {} }), "GET /quakes is gone"),
            (
                contract(&json!({ "name": "most", "required": true }), &column),
                "`least` is gone",
            ),
            (
                contract(&json!({ "name": "most", "required": true }), &column),
                "`most` is new, and required",
            ),
            (
                contract(
                    &json!({ "name": "least", "schema": { "type": "string" } }),
                    &column,
                ),
                "was \"number\" and is \"string\"",
            ),
            (
                contract(
                    &json!({ "name": "least", "schema": { "type": "number", "maximum": 10, "default": 5 } }),
                    &column,
                ),
                "maximum 10",
            ),
            (
                contract(
                    &json!({ "name": "least", "schema": { "type": "number", "default": 4 } }),
                    &column,
                ),
                "another default",
            ),
            (
                contract(
                    &json!({ "name": "least", "required": true, "schema": parameter["schema"] }),
                    &column,
                ),
                "required now",
            ),
            (contract(&parameter, &json!({})), "the column `id` is gone"),
            (
                contract(
                    &parameter,
                    &json!({ "id": { "type": ["integer", "null"] } }),
                ),
                "the column `id` was",
            ),
        ] {
            let found = breaking(&old, &change);
            assert!(
                found.iter().any(|line| line.contains(said)),
                "{said}: {found:?}"
            );
        }
    }
}
