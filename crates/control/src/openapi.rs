//! What the control API is, for those who generate clients and read docs.

use serde_json::{Value, json};

/// The API as an OpenAPI 3.0 document.
pub fn openapi() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Millrace control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Starts, reads and cancels runs. Errors are RFC 9457 problem details."
        },
        "security": [{"key": []}, {"bearer": []}],
        "paths": {
            "/pipelines": {"get": operation("The pipelines", "listPipelines", &[], json!({
                "200": answer("The pipelines", &list("Pipeline"))
            }))},
            "/pipelines/{name}/runs": {"post": with_body(operation("Start a run", "startRun", &[
                parameter("name", "path", "The pipeline", &json!({"type": "string"})),
                parameter("Idempotency-Key", "header", "The same key again is the same run, for this pipeline", &json!({"type": "string", "minLength": 1, "maxLength": 255})),
            ], json!({
                "202": with_location(answer("The run was accepted; it is under way, or waits", &one("Run"))),
                "400": problem("The body is none that starts a run"),
                "404": problem("There is no such pipeline"),
                "409": problem("Another run is under way, and the pipeline allows one"),
                "422": problem("The pipeline's definition is wrong, or cannot be run that way")
            })), "RunForm")},
            "/runs": {"get": operation("The runs, newest first", "listRuns", &[
                parameter("pipeline", "query", "Those of this pipeline", &json!({"type": "string"})),
                parameter("status", "query", "Those of this status", &status()),
                parameter("limit", "query", "How many", &json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20})),
                parameter("cursor", "query", "The `next` of the page before", &json!({"type": "string"})),
            ], json!({
                "200": answer("Some of the runs", &page("Run")),
                "400": problem("A parameter is wrong")
            }))},
            "/runs/{run}": {"get": operation("One run", "getRun", &[run_parameter()], json!({
                "200": answer("The run", &one("Run")),
                "404": problem("There is no such run")
            }))},
            "/runs/{run}/cancel": {"post": operation("Cancel a run", "cancelRun", &[run_parameter()], json!({
                "200": answer("The run, which is cancelled", &one("Run")),
                "404": problem("There is no such run"),
                "409": problem("The run had ended already")
            }))}
        },
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"}
            },
            "schemas": {
                "Pipeline": {
                    "type": "object",
                    "required": ["name", "description", "schedule", "concurrency"],
                    "properties": {
                        "name": {"type": "string"},
                        "description": {"type": "string"},
                        "schedule": {"type": "object", "nullable": true, "properties": {
                            "expression": {"type": "string"}, "timezone": {"type": "string"}
                        }},
                        "concurrency": {"type": "string", "enum": ["forbid", "queue", "allow"]}
                    }
                },
                "RunForm": run_form(),
                "Run": run(),
                "Failure": {
                    "type": "object",
                    "required": ["name", "message"],
                    "properties": {"name": {"type": "string"}, "message": {"type": "string"}}
                },
                "Problem": {
                    "type": "object",
                    "required": ["title", "status", "detail"],
                    "properties": {
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "run": {"type": "string"},
                        "problems": {"type": "array", "items": {"type": "object", "properties": {
                            "file": {"type": "string"},
                            "line": {"type": "integer", "nullable": true},
                            "field": {"type": "string"},
                            "message": {"type": "string"}
                        }}}
                    }
                }
            }
        }
    })
}

fn run_form() -> Value {
    json!({
        "type": "object",
        "description": "What the run does beside what the pipeline says: one of a full refresh, a backfill and a retry",
        "additionalProperties": false,
        "properties": {
            "full_refresh": {"type": "boolean", "default": false, "description": "Pulls everything, as the first run did"},
            "from": {"type": "string", "description": "Where the range of a backfill begins: a time, or a whole number"},
            "to": {"type": "string", "description": "Where it ends; now unless said otherwise"},
            "retry": {"type": "string", "description": "The run whose given-up requests are sent again"}
        }
    })
}

fn with_body(mut operation: Value, of: &str) -> Value {
    operation["requestBody"] =
        json!({"required": false, "content": {"application/json": {"schema": reference(of)}}});
    operation
}

fn run() -> Value {
    let moment = || json!({"type": "string", "format": "date-time", "nullable": true});
    json!({
        "type": "object",
        "required": ["run", "pipeline", "status", "trigger", "definition", "created_at", "started_at", "ended_at",
                     "execution", "steps", "failure"],
        "properties": {
            "run": {"type": "string"},
            "pipeline": {"type": "string"},
            "status": status(),
            "trigger": {"type": "object", "required": ["by"], "properties": {
                "by": {"type": "string", "enum": ["schedule", "api", "cli"]},
                "scheduled_at": {"type": "string", "format": "date-time"},
                "caller": {"type": "string"}
            }},
            "definition": {"type": "string", "description": "The version of the definition that the run pinned"},
            "created_at": {"type": "string", "format": "date-time"},
            "started_at": moment(),
            "ended_at": moment(),
            "execution": {"type": "string", "nullable": true, "description": "The ARN of its Step Functions execution"},
            "steps": {"type": "object", "description": "What each step did, by `<step>/<name>`", "additionalProperties": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": ["ingest", "transform", "publish"]},
                    "started_at": {"type": "string", "format": "date-time"},
                    "ended_at": moment(),
                    "invocations": {"type": "integer"},
                    "done": {"type": "boolean"},
                    "ran_on": {"type": "array", "items": {"type": "string", "enum": ["lambda", "task", "cli"]}},
                    "counts": {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}},
                    "failure": {"nullable": true, "allOf": [reference("Failure")]}
                }
            }},
            "failure": {"nullable": true, "allOf": [reference("Failure")]}
        }
    })
}

fn status() -> Value {
    json!({"type": "string", "enum": ["queued", "running", "succeeded", "failed", "cancelled", "skipped"]})
}

fn operation(summary: &str, id: &str, parameters: &[Value], mut responses: Value) -> Value {
    for (status, what) in [
        ("401", "The request has no key"),
        ("403", "The key is not an operator's"),
        ("503", "Try again later"),
    ] {
        responses[status] = problem(what);
    }
    json!({"summary": summary, "operationId": id, "tags": ["control"], "parameters": parameters, "responses": responses})
}

fn parameter(name: &str, place: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "description": description, "schema": schema})
}

fn run_parameter() -> Value {
    parameter("run", "path", "The run", &json!({"type": "string"}))
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn with_location(mut answer: Value) -> Value {
    answer["headers"] =
        json!({"Location": {"description": "Where the run is read", "schema": {"type": "string"}}});
    answer
}

fn problem(description: &str) -> Value {
    json!({"description": description, "content": {"application/problem+json": {"schema": reference("Problem")}}})
}

fn one(of: &str) -> Value {
    json!({"type": "object", "required": ["data"], "properties": {"data": reference(of)}})
}

fn list(of: &str) -> Value {
    json!({"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": reference(of)}}})
}

fn page(of: &str) -> Value {
    let mut page = list(of);
    page["required"] = json!(["data", "page"]);
    page["properties"]["page"] =
        json!({"type": "object", "properties": {"next": {"type": "string", "nullable": true}}});
    page
}

fn reference(of: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{of}")})
}
