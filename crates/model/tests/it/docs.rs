//! The examples of the documentation are definitions.

use millrace_model::definition::parse;
use std::fs;
use std::path::Path;

/// The YAML blocks of a page of the documentation.
fn examples(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The example's first line that is no comment.
fn first_line(example: &str) -> &str {
    let mut lines = example.lines().filter(|line| !line.starts_with('#'));
    lines.next().unwrap_or_default()
}

#[test]
fn every_example_of_the_page_about_sources_is_sound() {
    let examples = examples("sources.md");
    assert!(examples.len() > 10, "the page has lost its examples");
    for example in examples {
        let problems = if first_line(&example).starts_with("- name:") {
            let resources = example.replace('\n', "\n  ");
            let text = format!(
                "pipeline: shop\nconfig: {{ tenant: acme, depth: 3 }}\nresources:\n  {resources}"
            );
            parse::pipeline("pipelines/shop.yaml", &text).err()
        } else {
            let text = format!("connection: shop\nbase_url: https://api.shop.example\n{example}");
            parse::connection("connections/shop.yaml", &text).err()
        };
        if let Some(problems) = problems {
            panic!("{example}\n{problems:#?}");
        }
    }
}

/// What stands around a table of the page about tables.
const AROUND: &str = "pipeline: orders
description: Orders.
resources:
  - { name: orders, connection: crm, path: /orders, key: [id] }
  - { name: customers, connection: crm, path: /customers, key: [id] }
  - { name: events, connection: crm, path: /events }
";

#[test]
fn every_example_of_the_page_about_tables_is_sound() {
    let examples = examples("tables.md");
    assert!(examples.len() >= 6, "the page has lost its examples");
    for example in examples {
        let text = format!("{AROUND}{example}");
        if let Err(problems) = parse::pipeline("pipelines/orders.yaml", &text) {
            panic!("{example}\n{problems:#?}");
        }
    }
}

#[test]
fn every_example_of_the_page_about_endpoints_is_sound() {
    let examples = examples("endpoints.md");
    assert!(examples.len() >= 3, "the page has lost its examples");
    for block in examples {
        if first_line(&block).starts_with("tables:") {
            let parsed = parse::endpoint_tests("endpoints/tests/quakes.yaml", &block);
            parsed.unwrap_or_else(|problems| panic!("{block}\n{problems:#?}"));
            continue;
        }
        // A block that begins with a route goes on where another one began.
        let text = if block.starts_with("metadata:") {
            block.clone()
        } else {
            format!("metadata: {{ name: quakes }}\nroutes:\n{block}")
        };
        let parsed = parse::endpoint("endpoints/quakes.yaml", &text);
        parsed.unwrap_or_else(|problems| panic!("{block}\n{problems:#?}"));
    }
}

#[test]
fn the_methods_of_authentication_on_the_page_are_sound() {
    let page = include_str!("../../../../docs/endpoints.md");
    let jwt = page
        .split('`')
        .find(|code| code.starts_with("auth: { jwt:"))
        .unwrap();
    let jwt = jwt.replacen("issuer: \u{2026}", "issuer: https://a.example/", 1);
    let jwt = jwt.replacen("audience: \u{2026}", "audience: b", 1);
    let jwt = jwt.replacen("https://\u{2026}", "\"https://a.example/keys\"", 1);
    let text = format!(
        "metadata: {{ name: quakes }}\nroutes:\n  /q:\n    datasource: operational_store\n    \
         query: SELECT id FROM s.q ORDER BY id\n    {jwt}\n"
    );
    let parsed = parse::endpoint("endpoints/quakes.yaml", &text);
    parsed.unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
}
