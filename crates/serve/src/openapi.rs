//! The consumer's contract: OpenAPI 3.1, with the types that their sources give the columns.

mod exports;

use crate::column::{Column, Kind};
use crate::format::Format;
use crate::noted::Rows;
use crate::params::{
    self, DEFAULT_LIMIT, LONGEST_CURSOR, LONGEST_VALUE, MAX_LIMIT, MOST_VALUES, MOST_VALUES_IN_BODY,
};
use crate::routes::Served;
use crate::value;
use bytes::Bytes;
use millrace_model::definition::endpoint::{Auth, Param, ParamType};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The document of these routes, and of what others say the rows of theirs are.
pub fn document(routes: &[Arc<Served>], others: &Rows) -> Bytes {
    let mut paths = Map::new();
    for route in routes {
        let path = &route.route.path;
        let rows = rows(route).or_else(|| others.get(path).cloned());
        paths.insert(path.clone(), operations(route, rows.as_ref()));
    }
    if routes.iter().any(|route| route.route.export) {
        paths.insert("/exports/{export}".to_owned(), exports::operations());
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
            "schemas": { "Problem": problem(), "Failure": failure(), "Page": page(), "Export": exports::schema() },
            "responses": responses(),
        },
    });
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// What the rows of a route are, as far as its source has said so: `schema` of a row, and `example` of an answer.
pub fn rows(route: &Served) -> Option<Value> {
    let plan = route.plan(None)?;
    let columns = plan.columns();
    let chosen = !route.route.fields.is_empty();
    Some(json!({ "schema": row(columns, chosen), "example": example(columns) }))
}

/// The operations of a route, by method.
fn operations(route: &Served, rows: Option<&Value>) -> Value {
    let mut operations = Map::new();
    for method in &route.route.methods {
        let method = method.to_ascii_lowercase();
        operations.insert(method.clone(), operation(route, rows, &method));
    }
    Value::Object(operations)
}

/// Everything that a route takes in its URL.
fn parameters(route: &Served) -> Vec<Value> {
    let definition = &route.route;
    let mut parameters: Vec<Value> = params::said(&definition.params)
        .map(|param| parameter(param, &definition.path))
        .collect();
    let mut add = |name: &str, description: &str, schema: Value| {
        if definition.params.iter().all(|param| param.name != name) {
            parameters.push(
                json!({ "name": name, "in": "query", "description": description, "schema": schema }),
            );
        }
    };
    let rows =
        json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT });
    add("limit", "How many rows a page has at most.", rows);
    add(
        "cursor",
        "`page.next` of the answer before, to go on behind it; with the same parameters.",
        json!({ "type": "string", "maxLength": LONGEST_CURSOR }),
    );
    if !definition.sort.is_empty() {
        let both = |column: &String| [column.clone(), format!("-{column}")];
        let values: Vec<String> = definition.sort.iter().flat_map(both).collect();
        add(
            "sort",
            "By which column the answer is sorted; with a minus, the greatest comes first.",
            json!({ "type": "string", "enum": values }),
        );
    }
    if !definition.fields.is_empty() {
        let items = json!({ "type": "string", "enum": definition.fields });
        add(
            "fields",
            "Which columns to answer with, with commas between; all of them where it is absent.",
            json!({ "type": "array", "items": items, "minItems": 1, "uniqueItems": true }),
        );
        if let Some(fields) = parameters.last_mut() {
            fields["style"] = json!("form");
            fields["explode"] = json!(false);
        }
    }
    parameters
}

/// The same in a body: an object.
fn body(parameters: &[Value]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap_or_default();
        let mut schema = parameter["schema"].clone();
        if schema["type"] == "array" && name != "fields" {
            schema["maxItems"] = json!(MOST_VALUES_IN_BODY);
        }
        if let Some(description) = parameter.get("description") {
            schema["description"] = description.clone();
        }
        if parameter["required"] == true {
            required.push(name.to_owned());
        }
        properties.insert(name.to_owned(), schema);
    }
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn operation(route: &Served, rows: Option<&Value>, method: &str) -> Value {
    let definition = &route.route;
    let (in_path, in_query): (Vec<Value>, Vec<Value>) = parameters(route)
        .into_iter()
        .partition(|parameter| parameter["in"] == "path");
    let (parameters, request_body) = if method == "post" {
        (in_path, Some(body(&in_query)))
    } else {
        ([in_path, in_query].concat(), None)
    };
    let row = rows.map_or_else(
        || json!({ "type": "object" }),
        |rows| rows["schema"].clone(),
    );
    let mut responses = json!({
        "200": {
            "description": "A page of rows.",
            "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["data", "error", "page"],
                "properties": {
                    "data": { "type": "array", "items": row },
                    "error": { "type": "array", "maxItems": 0 },
                    "page": { "$ref": "#/components/schemas/Page" },
                },
            } } },
        },
    });
    let parameters = if definition.export {
        responses["202"] = exports::accepted();
        [parameters, vec![exports::prefer()]].concat()
    } else {
        parameters
    };
    for format in Format::ALL {
        // Of what is no text OpenAPI 3.1 says nothing but its type.
        let content = match format {
            Format::Json => continue,
            Format::Csv | Format::Ndjson => json!({ "schema": { "type": "string" } }),
            Format::Arrow | Format::Parquet => json!({}),
        };
        responses["200"]["content"][format.media_type()] = content;
    }
    let mut statuses = vec![
        "304", "400", "405", "406", "414", "422", "431", "500", "503", "504",
    ];
    if definition.auth.is_some() {
        statuses.extend(["401", "403"]);
    }
    if definition.rate_limit.is_some() || definition.quota.is_some() {
        statuses.push("429");
    }
    if method == "post" {
        statuses.extend(["413", "415"]);
        statuses.retain(|status| *status != "304");
    }
    for status in statuses {
        responses[status] = json!({ "$ref": format!("#/components/responses/{status}") });
    }
    let mut operation = json!({
        "operationId": operation_id(method, &definition.path),
        "summary": route.description,
        "tags": [route.endpoint],
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(request_body) = request_body {
        operation["requestBody"] = request_body;
    }
    if let Some(rows) = rows {
        operation["responses"]["200"]["content"]["application/json"]["example"] =
            rows["example"].clone();
    }
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
fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    std::iter::once(method)
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
    // What a pattern takes, nobody can make up.
    if param.pattern.is_none() {
        parameter["example"] = value::sample(param).example();
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
    } else if param.one_of.is_empty() {
        // PostgreSQL's texts hold every character but that of code 0.
        schema["pattern"] = json!("^[^\\u0000]*$");
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

/// An answer of one row.
fn example(columns: &[Column]) -> Value {
    let mut row = Map::new();
    for column in columns {
        row.insert(column.name.clone(), example_of(&column.kind));
    }
    json!({ "data": [row], "error": [], "page": { "next": null } })
}

fn example_of(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!(true),
        Kind::Int32 | Kind::Int64 => json!(42),
        Kind::Float | Kind::Double | Kind::Decimal(_) => json!(4.5),
        Kind::Text => json!("text"),
        Kind::Json => json!({}),
        Kind::Date => json!("2026-11-21"),
        Kind::Time => json!("08:00:00"),
        Kind::LocalTimestamp => json!("2026-11-21T08:00:00"),
        Kind::Timestamp => json!("2026-11-21T08:00:00Z"),
        Kind::Uuid => json!("67e55044-10b1-426f-9247-bb680e5fe0c8"),
        Kind::Bytes => json!("bWlsbA=="),
        Kind::List(member) => json!([example_of(member)]),
    }
}

/// A row's schema; where callers may choose, none of its columns need be there.
fn row(columns: &[Column], chosen: bool) -> Value {
    let mut properties = Map::new();
    for column in columns {
        properties.insert(column.name.clone(), nullable(schema(&column.kind)));
    }
    let columns = columns.iter().filter(|_| !chosen);
    let required: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Nobody says of a query's column whether it may be NULL.
fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}

fn schema(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int32 => json!({ "type": "integer", "format": "int32" }),
        Kind::Int64 => json!({ "type": "integer", "format": "int64" }),
        Kind::Float => json!({ "type": "number", "format": "float" }),
        Kind::Double => json!({ "type": "number", "format": "double" }),
        Kind::Decimal(_) => json!({ "type": "number", "format": "decimal" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Json => json!({}),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Time => json!({ "type": "string", "format": "time-local" }),
        Kind::LocalTimestamp => json!({ "type": "string", "format": "date-time-local" }),
        Kind::Timestamp => json!({ "type": "string", "format": "date-time" }),
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::List(member) => json!({ "type": "array", "items": nullable(schema(member)) }),
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
        ("404", "There is no such thing, or not for this caller."),
        ("405", "The method is not allowed here."),
        (
            "406",
            "The answer does not come in the form that `Accept` asks for.",
        ),
        ("413", "The body is too large."),
        ("415", "The body is no JSON."),
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
    for (status, description) in [
        ("304", "The caller has the answer already, by its `ETag`."),
        ("414", "The URL is too long: nobody read it."),
        ("431", "The headers are too large: nobody read them."),
    ] {
        responses.insert(status.to_owned(), json!({ "description": description }));
    }
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_by_their_paths() {
        assert_eq!(
            operation_id("get", "/quakes/{id}/near-by"),
            "get_quakes_id_near_by"
        );
    }
}
