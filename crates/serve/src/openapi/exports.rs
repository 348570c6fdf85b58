//! Whole answers as files, in the contract.

use serde_json::{Value, json};

/// The header by which a caller asks for files.
pub(super) fn prefer() -> Value {
    json!({
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async`: the whole answer as files, which are made meanwhile; `limit` and `cursor` say nothing \
            then. The files are of the form that `Accept` asks for.",
        "schema": { "type": "string" },
        "example": "respond-async",
    })
}

/// The answer to it.
pub(super) fn accepted() -> Value {
    json!({
        "description": "The files are being made. `Location` says where to ask for them, `Retry-After` when.",
        "headers": { "Location": { "schema": { "type": "string", "format": "uri-reference" } } },
        "content": content(),
    })
}

/// Where to ask for them.
pub(super) fn operations() -> Value {
    let mut responses = json!({
        "200": { "description": "How far the files are, and where they are once they are done.", "content": content() },
    });
    for status in ["401", "403", "404", "405", "503"] {
        responses[status] = json!({ "$ref": format!("#/components/responses/{status}") });
    }
    json!({ "get": {
        "operationId": "get_exports_export",
        "summary": "How far an export is, and where its files are",
        "tags": ["exports"],
        "parameters": [{
            "name": "export", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" },
        }],
        "responses": responses,
        "security": [{ "key": [] }, { "bearer": [] }, {}],
    } })
}

fn content() -> Value {
    json!({ "application/json": { "schema": {
        "type": "object",
        "required": ["data", "error", "page"],
        "properties": {
            "data": { "type": "array", "minItems": 1, "maxItems": 1, "items": { "$ref": "#/components/schemas/Export" } },
            "error": { "type": "array", "maxItems": 0 },
            "page": { "$ref": "#/components/schemas/Page" },
        },
    } } })
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["export", "status", "format", "rows", "files", "as_of", "failure", "created_at"],
        "properties": {
            "export": { "type": "string", "format": "uuid" },
            "status": { "type": "string", "enum": ["queued", "running", "done", "failed"] },
            "format": { "type": "string", "description": "The files' media type." },
            "rows": { "type": "integer", "description": "How many rows are in the files so far." },
            "files": { "type": "array", "items": {
                "type": "object",
                "required": ["url", "rows", "bytes"],
                "properties": {
                    "url": { "type": "string", "format": "uri-reference", "description": "Opens for a quarter of an hour; ask again for another." },
                    "rows": { "type": "integer" },
                    "bytes": { "type": "integer" },
                },
            } },
            "as_of": { "type": ["string", "null"], "format": "date-time", "description": "When what is in them was published." },
            "failure": { "type": ["string", "null"], "description": "Why there are no files." },
            "created_at": { "type": "string", "format": "date-time" },
        },
    })
}
