//! The consumer's contract: OpenAPI 3.1, with the types that the store gives the columns.

use crate::json::Encoder;
use crate::params::{self, DEFAULT_LIMIT, LONGEST_VALUE, MAX_LIMIT, MOST_VALUES};
use crate::plan::Plan;
use crate::routes::Served;
use bytes::Bytes;
use millrace_model::definition::endpoint::{Auth, Param, ParamType};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The document of these routes.
pub fn document(routes: &[Arc<Served>]) -> Bytes {
    let mut paths = Map::new();
    for route in routes {
        paths.insert(route.route.path.clone(), json!({ "get": operation(route) }));
    }
    let mut tags: Vec<(&str, &str)> = routes
        .iter()
        .map(|route| (route.endpoint.as_str(), route.description.as_str()))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    let tags: Vec<Value> = tags
        .into_iter()
        .map(|(name, description)| json!({ "name": name, "description": description }))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millrace",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every answer is `{\"data\": […], \"error\": […]}`; one that has data has `page` as well, and \
                `page.next` is the `cursor` of the next page, or null where there is none. Pages add up to the whole \
                answer: no row is missing, none is there twice.",
        },
        "servers": [{ "url": "./" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": { "Problem": problem(), "Failure": failure(), "Page": page() },
            "responses": responses(),
        },
    });
    serde_json::to_vec(&document).unwrap_or_default().into()
}

fn operation(route: &Served) -> Value {
    let definition = &route.route;
    let mut parameters: Vec<Value> = params::said(&definition.params)
        .map(|param| parameter(param, &definition.path))
        .collect();
    let own = |name: &str| definition.params.iter().any(|param| param.name == name);
    if !own("limit") {
        parameters.push(json!({
            "name": "limit", "in": "query", "description": "How many rows a page has at most.",
            "schema": { "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT },
        }));
    }
    if !own("cursor") {
        parameters.push(json!({
            "name": "cursor", "in": "query",
            "description": "`page.next` of the answer before, to go on behind it; with the same parameters.",
            "schema": { "type": "string" },
        }));
    }
    let mut responses = json!({
        "200": {
            "description": "A page of rows.",
            "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["data", "error", "page"],
                "properties": {
                    "data": { "type": "array", "items": row(route.plan().as_deref()) },
                    "error": { "type": "array", "maxItems": 0 },
                    "page": { "$ref": "#/components/schemas/Page" },
                },
            } },
            "text/csv": { "schema": { "type": "string" } },
            "application/x-ndjson": { "schema": { "type": "string" } } },
        },
    });
    let mut statuses = vec!["304", "400", "405", "406", "422", "500", "503", "504"];
    if definition.auth.is_some() {
        statuses.extend(["401", "403"]);
    }
    if definition.rate_limit.is_some() || definition.quota.is_some() {
        statuses.push("429");
    }
    for status in statuses {
        responses[status] = json!({ "$ref": format!("#/components/responses/{status}") });
    }
    let mut operation = json!({
        "operationId": operation_id(&definition.path),
        "summary": route.description,
        "tags": [route.endpoint],
        "parameters": parameters,
        "responses": responses,
    });
    operation["security"] = match definition.auth {
        Some(Auth::Keys(_)) => json!([{ "key": [] }, { "bearer": [] }]),
        Some(Auth::Jwt(_)) => json!([{ "bearer": [] }]),
        None => json!([]),
    };
    if route.deprecated.is_some() {
        operation["deprecated"] = json!(true);
    }
    if let Some(version) = &route.version {
        operation["x-version"] = json!(version);
    }
    operation
}

/// `/quakes/{id}` → `get_quakes_id`.
fn operation_id(path: &str) -> String {
    let words = path
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    std::iter::once("get")
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

fn parameter(param: &Param, path: &str) -> Value {
    let in_path = path.contains(&format!("{{{}}}", param.name));
    let mut schema = match param.kind {
        ParamType::Int => json!({ "type": "integer", "format": "int64" }),
        ParamType::Double => json!({ "type": "number", "format": "double" }),
        ParamType::Decimal => json!({ "type": "number", "format": "decimal" }),
        ParamType::Bool => json!({ "type": "boolean" }),
        ParamType::String => text(param),
        ParamType::Date => json!({ "type": "string", "format": "date" }),
        ParamType::Timestamp => json!({ "type": "string", "format": "date-time" }),
        ParamType::Uuid => json!({ "type": "string", "format": "uuid" }),
    };
    if let Some(min) = param.min {
        schema["minimum"] = number(min);
    }
    if let Some(max) = param.max {
        schema["maximum"] = number(max);
    }
    if let Some(default) = &param.default {
        schema["default"] = default.clone();
    }
    if param.list {
        schema =
            json!({ "type": "array", "items": schema, "minItems": 1, "maxItems": MOST_VALUES });
    }
    let mut parameter = json!({
        "name": param.name,
        "in": if in_path { "path" } else { "query" },
        "required": param.required || in_path,
        "schema": schema,
    });
    if param.list {
        let style = if in_path { "simple" } else { "form" };
        parameter["style"] = json!(style);
        parameter["explode"] = json!(false);
    }
    if let Some(description) = &param.description {
        parameter["description"] = json!(description);
    }
    parameter
}

fn text(param: &Param) -> Value {
    let mut schema = json!({
        "type": "string",
        "maxLength": param.max_length.map_or(LONGEST_VALUE as u64, u64::from),
    });
    if let Some(least) = param.min_length {
        schema["minLength"] = json!(least);
    }
    if !param.one_of.is_empty() {
        schema["enum"] = json!(param.one_of);
    }
    if let Some(pattern) = &param.pattern {
        schema["pattern"] = json!(format!("^(?:{pattern})$"));
    }
    schema
}

/// A number without `.0` where it is whole.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

fn row(plan: Option<&Plan>) -> Value {
    let Some(plan) = plan else {
        return json!({ "type": "object" });
    };
    let mut properties = Map::new();
    for column in &plan.columns {
        properties.insert(column.name.clone(), nullable(schema(column.encoder)));
    }
    let required: Vec<&str> = plan
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// PostgreSQL does not say of a query's column whether it may be NULL.
fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}

fn schema(encoder: Encoder) -> Value {
    match encoder {
        Encoder::Bool => json!({ "type": "boolean" }),
        Encoder::Int2 | Encoder::Int4 => json!({ "type": "integer", "format": "int32" }),
        Encoder::Int8 | Encoder::Oid => json!({ "type": "integer", "format": "int64" }),
        Encoder::Float4 => json!({ "type": "number", "format": "float" }),
        Encoder::Float8 => json!({ "type": "number", "format": "double" }),
        Encoder::Numeric => json!({ "type": "number", "format": "decimal" }),
        Encoder::Text => json!({ "type": "string" }),
        Encoder::Json | Encoder::Jsonb => json!({}),
        Encoder::Date => json!({ "type": "string", "format": "date" }),
        Encoder::Time => json!({ "type": "string", "format": "time-local" }),
        Encoder::Timestamp => json!({ "type": "string", "format": "date-time-local" }),
        Encoder::Timestamptz => json!({ "type": "string", "format": "date-time" }),
        Encoder::Uuid => json!({ "type": "string", "format": "uuid" }),
        Encoder::Bytea => json!({ "type": "string", "contentEncoding": "base64" }),
        Encoder::Array(member) => json!({ "type": "array", "items": nullable(schema(*member)) }),
    }
}

fn page() -> Value {
    json!({
        "type": "object",
        "required": ["next"],
        "properties": { "next": { "type": ["string", "null"], "description": "The next page's `cursor`." } },
    })
}

/// RFC 9457.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "parameter": { "type": "string", "description": "The parameter that it is about." },
        },
    })
}

fn failure() -> Value {
    json!({
        "type": "object",
        "required": ["data", "error"],
        "properties": {
            "data": { "type": "array", "maxItems": 0 },
            "error": { "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}

fn responses() -> Value {
    let mut responses = Map::new();
    for (status, description) in [
        (
            "400",
            "A parameter is missing, unknown, or not what it should be.",
        ),
        ("401", "No key was sent, or a token that is not taken."),
        (
            "403",
            "The key, or what its holder may do, does not open this route.",
        ),
        ("405", "The method is not allowed here."),
        (
            "406",
            "The answer does not come in the form that `Accept` asks for.",
        ),
        (
            "422",
            "The answer is too large: ask for fewer rows at a time with a lower `limit`.",
        ),
        (
            "429",
            "The caller sent more requests than it may; `Retry-After` says when to try again.",
        ),
        ("500", "The answer could not be made."),
        (
            "503",
            "The data cannot be reached at the moment; `Retry-After` says when to try again.",
        ),
        ("504", "The query took longer than the route allows."),
    ] {
        let mut response = json!({
            "description": description,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Failure" } } },
        });
        if matches!(status, "429" | "503") {
            response["headers"] = json!({ "Retry-After": { "schema": { "type": "integer" } } });
        }
        responses.insert(status.to_owned(), response);
    }
    responses.insert(
        "304".to_owned(),
        json!({ "description": "The caller has the answer already, by its `ETag`." }),
    );
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_by_their_paths() {
        assert_eq!(
            operation_id("/quakes/{id}/near-by"),
            "get_quakes_id_near_by"
        );
    }
}
