use super::*;
use millrace_model::definition::set::DefinitionSet;

fn wish<'w>() -> Wish<'w> {
    Wish {
        name: Some("shop"),
        connection: None,
        base_url: None,
        only: &[],
    }
}

/// What is made of a document; it must be valid as it stands.
fn made(text: &str) -> Made {
    let made = make(&Document::parse(text).unwrap(), &wish()).unwrap();
    let (_, problems) = DefinitionSet::parse([
        (
            format!("connections/{}.yaml", made.connection),
            made.connection_yaml.clone(),
        ),
        (
            format!("pipelines/{}.yaml", made.name),
            made.pipeline_yaml.clone(),
        ),
    ]);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(
        problems.is_empty(),
        "{problems:#?}\n{}\n{}",
        made.connection_yaml,
        made.pipeline_yaml
    );
    made
}

/// A document with those security schemes, and one list.
fn secured(schemes: &str, security: &str) -> String {
    format!(
        r#"{{"openapi": "3.0.3", "info": {{"title": "Shop"}}, "servers": [{{"url": "https://shop.example.com/api/"}}],
        "security": {security}, "components": {{"securitySchemes": {schemes}}},
        "paths": {{"/orders": {{"get": {{"responses": {{"200": {{"content": {{"application/json": {{"schema":
        {{"type": "array", "items": {{"type": "object", "properties": {{"id": {{"type": "integer"}}}}}}}}}}}}}}}}}}}}}}}}"#
    )
}

#[test]
fn each_security_scheme_becomes_a_credential() {
    let flow = |name: &str| {
        format!(
            r#"{{"a": {{"type": "oauth2", "flows": {{"{name}": {{"tokenUrl": "/token", "scopes": {{}}}}}}}}}}"#
        )
    };
    for (schemes, security, expected) in [
        (r#"{"a": {"type": "http", "scheme": "bearer"}}"#.to_owned(), r#"[{"a": []}]"#, "bearer"),
        (r#"{"a": {"type": "http", "scheme": "Basic"}}"#.to_owned(), r#"[{"a": []}]"#, "basic"),
        (r#"{"a": {"type": "apiKey", "in": "query", "name": "key"}}"#.to_owned(), r#"[{"a": []}]"#, "query: key"),
        (r#"{"a": {"type": "apiKey", "in": "cookie", "name": "sid"}}"#.to_owned(), r#"[{"a": []}]"#, "cookie: sid"),
        (
            r#"{"a-b": {"type": "apiKey", "in": "header", "name": "X-A"}, "c": {"type": "apiKey", "in": "header", "name": "X-C"}}"#
                .to_owned(),
            r#"[{"a-b": [], "c": []}]"#,
            r#"X-A: "{{ secret.a_b }}""#,
        ),
        (flow("clientCredentials"), r#"[{"a": ["read", "list"]}]"#, "oauth2_client_credentials"),
        (flow("clientCredentials"), r#"[{"a": ["read", "list"]}]"#, "https://shop.example.com/token"),
        (flow("clientCredentials"), r#"[{"a": ["read", "list"]}]"#, r#"scope: "read list""#),
        (flow("authorizationCode"), r#"[{"a": []}]"#, "oauth2_refresh_token"),
        ("{}".to_owned(), "[]", "auth: none"),
        (r#"{"a": {"type": "mutualTLS"}}"#.to_owned(), r#"[{"a": []}]"#, "auth: none"),
        // What needs nobody in front of a browser goes first.
        (
            r#"{"a": {"type": "oauth2", "flows": {"implicit": {}}}, "b": {"type": "apiKey", "in": "header", "name": "X-B"}}"#
                .to_owned(),
            r#"[{"a": []}, {"b": []}]"#,
            "X-B",
        ),
    ] {
        let made = made(&secured(&schemes, security));
        assert!(made.connection_yaml.contains(expected), "{expected}:\n{}", made.connection_yaml);
        assert!(made.connection_yaml.contains("base_url: https://shop.example.com/api\n"));
    }
}

/// A document of one list with those parameters and that answer.
fn paged(parameters: &str, answer: &str) -> String {
    format!(
        r#"{{"openapi": "3.1.0", "info": {{"title": "Shop"}}, "servers": [{{"url": "https://shop.example.com"}}],
        "paths": {{"/v1/orders": {{"get": {{"parameters": {parameters}, "responses": {{"200": {answer}}}}}}}}}}}"#
    )
}

fn body(properties: &str) -> String {
    format!(
        r#"{{"content": {{"application/json": {{"schema": {{"type": "object", "properties": {{
        "data": {{"type": "array", "items": {{"type": "object", "properties": {{"id": {{"type": "string"}}}}}}}} {properties}}}}}}}}}}}"#
    )
}

fn query(name: &str, schema: &str) -> String {
    format!(r#"{{"name": "{name}", "in": "query", "schema": {schema}}}"#)
}

#[test]
fn each_way_to_page_is_found() {
    let limit = query("limit", r#"{"type": "integer", "maximum": 200}"#);
    for (parameters, answer, expected) in [
        (
            format!("[{}, {limit}]", query("offset", "{}")),
            body(r#", "total": {"type": "integer"}"#),
            "paginate: { offset: { offset_param: offset, limit_param: limit, limit: 200, end: { total: total } } }",
        ),
        (
            format!("[{}, {limit}]", query("page", r#"{"minimum": 0}"#)),
            body(r#", "total_pages": {"type": "integer"}"#),
            "paginate: { page: { page_param: page, size_param: limit, size: 200, first: 0, end: { pages: total_pages } } }",
        ),
        (
            format!("[{}, {limit}]", query("cursor", "{}")),
            body(
                r#", "meta": {"type": "object", "properties": {"next_cursor": {"type": ["string", "null"]}}}"#,
            ),
            "paginate: { cursor: { param: cursor, path: meta.next_cursor } }",
        ),
        (
            format!("[{}, {limit}]", query("starting_after", "{}")),
            body(r#", "has_more": {"type": "boolean"}"#),
            "paginate: { keyset: { param: starting_after, field: id, limit_param: limit, limit: 200, end: { has_more: has_more } } }",
        ),
        (
            format!("[{limit}]"),
            body(
                r#", "links": {"type": "object", "properties": {"next": {"type": "string", "format": "uri"}}}"#,
            ),
            "paginate: { next_link: { path: links.next } }",
        ),
        (
            format!("[{limit}]"),
            body("").replacen('{', r#"{"headers": {"link": {}},"#, 1),
            "paginate: link_header",
        ),
    ] {
        let made = made(&paged(&parameters, &answer));
        assert!(
            made.pipeline_yaml.contains(expected),
            "{expected}\n{}",
            made.pipeline_yaml
        );
        assert!(
            made.pipeline_yaml.contains("records: data\n"),
            "{}",
            made.pipeline_yaml
        );
    }
    // A size without a way to page is asked for all the same, and the first answer has to show the way.
    let made = made(&paged(&format!("[{limit}]"), &body("")));
    assert!(
        made.pipeline_yaml.contains(r#"params: { limit: "200" }"#),
        "{}",
        made.pipeline_yaml
    );
    assert!(
        !made.pipeline_yaml.contains("paginate:"),
        "{}",
        made.pipeline_yaml
    );
}

const NESTED: &str = r##"
openapi: 3.0.0
info: { title: "Shop: the API" }
servers: [{ url: "{scheme}://shop.example.com/v2", variables: { scheme: { default: https } } }]
paths:
  /customers:
    get:
      summary: "All customers: page by page"
      parameters: [{ $ref: "#/components/parameters/tenant" }]
      responses: { 200: { $ref: "#/components/responses/customers" } }
  /customers/{customerId}/orders:
    parameters: [{ name: customerId, in: path, required: true, schema: { type: string } }]
    get:
      responses: { "200": { content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/order" } } } } } }
  /customers/{customerId}/orders/{number}/lines:
    parameters:
      - { name: customerId, in: path, required: true, schema: { type: string } }
      - { name: number, in: path, required: true, schema: { type: string } }
    get:
      responses: { "200": { content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/customer" } } } } } }
  /customers/{customerId}: { get: { responses: { "200": { content: { application/json: { schema: { $ref: "#/components/schemas/customer" } } } } } } }
  /regions/{region}/shops:
    parameters: [{ name: region, in: path, required: true, schema: { type: string } }]
    get: { responses: { "200": { content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/order" } } } } } } }
  /old: { get: { deprecated: true, responses: { "200": { content: { application/json: { schema: { type: array, items: { type: object } } } } } } } }
components:
  parameters: { tenant: { name: X-Tenant, in: header, required: true, schema: { type: string, enum: [acme, other] } } }
  responses: { customers: { content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/customer" } } } } } }
  schemas:
    customer: { allOf: [{ type: object, properties: { uuid: { type: string } } }, { properties: { friends: { type: array, items: { $ref: "#/components/schemas/customer" } } } }] }
    order: { type: object, properties: { order_id: { type: integer }, itself: { $ref: "#/components/schemas/order" } } }
"##;

#[test]
fn a_list_below_another_list_becomes_its_child() {
    let made = made(NESTED);
    insta::assert_snapshot!(format!(
        "{}\n---\n{}",
        made.connection_yaml, made.pipeline_yaml
    ));
}

#[test]
fn only_what_is_wanted_is_made_and_what_is_no_document_is_told() {
    let document = Document::parse(NESTED).unwrap();
    let only = ["/regions".to_owned()];
    let nothing = make(
        &document,
        &Wish {
            only: &only,
            ..wish()
        },
    )
    .err()
    .unwrap();
    assert!(
        nothing.to_string().contains("that --only leaves"),
        "{nothing}"
    );
    let named = make(
        &document,
        &Wish {
            name: None,
            ..wish()
        },
    )
    .unwrap();
    assert_eq!(named.name, "shop_the_api");
    for (text, problem) in [
        (r#"{"swagger": "2.0"}"#, "Swagger 2.0"),
        ("openapi: 2.9.0", "OpenAPI 2.9.0"),
        ("title: none", "no `openapi: 3.…`"),
        ("- [", "it is not YAML"),
        ("{", "it is not JSON"),
    ] {
        let error = Document::parse(text).err().unwrap();
        assert!(format!("{error:#}").contains(problem), "{text}: {error:#}");
    }
}
