//! What docs/endpoints.md shows is what a definition may say.

use millrace_model::definition::parse;

/// The page's blocks of YAML.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_endpoints_of_the_page_are_sound() {
    let page = include_str!("../../../../docs/endpoints.md");
    let mut seen = 0;
    for block in blocks(page) {
        // A block that begins with a route goes on where another one began.
        let text = if block.starts_with("metadata:") {
            block.to_owned()
        } else {
            format!("metadata: {{ name: quakes }}\nroutes:\n{block}")
        };
        let parsed = parse::endpoint("endpoints/quakes.yaml", &text);
        parsed.unwrap_or_else(|problems| panic!("{block}\n{problems:#?}"));
        seen += 1;
    }
    assert!(seen >= 3, "the page shows less than it did");
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
