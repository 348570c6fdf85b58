use super::*;
use serde_json::json;

fn broken_by(schema: Value, record: &Value) -> Option<String> {
    let schema = RecordSchema::new(schema).expect("a schema");
    schema
        .broken_by(record, &schema.patterns())
        .map(|(at, what)| format!("{at}: {what}"))
}

#[test]
fn a_record_is_held_to_its_schema() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "integer", "minimum": 1 },
            "mail": { "type": ["string", "null"], "pattern": "^[^@]+@[^@]+$", "maxLength": 20 },
            "lines": { "type": "array", "maxItems": 2, "items": { "type": "object", "required": ["sku"] } },
            "kind": { "enum": ["a", 2] },
        },
    });
    for (record, expected) in [
        (
            json!({"id": 1, "mail": "a@b", "lines": [{"sku": 1}], "kind": 2.0}),
            None,
        ),
        (json!({"id": 1.0, "mail": null}), None),
        (json!([]), Some(": it is no object")),
        (json!({}), Some(": `id` is missing")),
        (json!({"id": 0}), Some("id: it is less than 1")),
        (json!({"id": 1.5}), Some("id: it is no integer")),
        (
            json!({"id": 1, "mail": "x"}),
            Some("mail: it does not match ^[^@]+@[^@]+$"),
        ),
        (
            json!({"id": 1, "lines": [{"sku": 1}, {}]}),
            Some("lines.1: `sku` is missing"),
        ),
        (
            json!({"id": 1, "lines": [{"sku": 1}, {"sku": 1}, {"sku": 1}]}),
            Some("lines: it has too many elements"),
        ),
        (
            json!({"id": 1, "kind": "b"}),
            Some("kind: it is none of the allowed values"),
        ),
        (json!({"id": 1, "new": 1}), Some("new: it may not be there")),
    ] {
        assert_eq!(
            broken_by(schema.clone(), &record).as_deref(),
            expected,
            "{record}"
        );
    }
}

#[test]
fn schemas_are_combined() {
    let schema =
        json!({ "oneOf": [{ "multipleOf": 3 }, { "multipleOf": 5 }], "not": { "const": 9 } });
    assert_eq!(broken_by(schema.clone(), &json!(3)), None);
    assert_eq!(
        broken_by(schema.clone(), &json!(9)).as_deref(),
        Some(": what `not` says holds")
    );
    assert_eq!(
        broken_by(schema, &json!(15)).as_deref(),
        Some(": of `oneOf` 2 hold, and not one")
    );
    let any = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
    assert_eq!(
        broken_by(any, &json!(1)).as_deref(),
        Some(": none of `anyOf` holds")
    );
}

#[test]
fn what_is_not_checked_is_refused() {
    for (schema, at) in [
        (
            json!({ "properties": { "a": { "$ref": "#/x" } } }),
            "properties.a.$ref",
        ),
        (json!({ "type": "text" }), "type"),
        (json!({ "items": { "pattern": "(" } }), "items.pattern"),
        (json!({ "required": "id" }), "required"),
        (json!({ "minLength": -1 }), "minLength"),
        (json!({ "allOf": [] }), "allOf"),
        (json!("string"), ""),
    ] {
        let fault = RecordSchema::new(schema.clone()).expect_err("refused");
        assert_eq!(fault.at.join("."), at, "{schema}");
    }
}
