//! What holds for any text whatever.

use millrace_model::definition::parse;
use millrace_model::query::Query;
use proptest::prelude::*;

/// Text that is nearly YAML: the signs and words that a definition is made of, in any order.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "pipeline",
        "resources",
        "tables",
        "name",
        "paginate",
        "offset",
        "limit",
        "metadata",
        "routes",
        "/a/{b}",
        "query",
        "auth",
        "none",
        "bearer",
        "secret",
        "columns",
        "expect",
        "is",
        "between",
        "schedule",
        "rate(1 hour)",
        ": ",
        ":",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "~",
        "1",
        "-2.5e3",
        "true",
        "é",
        "\t",
        "---",
        "...",
        "%",
        "?",
        "SELECT a FROM s.t WHERE a = :b",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Text that is nearly SQL.
fn sql_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "SELECT ",
        "FROM ",
        "WHERE ",
        "ORDER BY ",
        "WITH ",
        "AS ",
        "s.t ",
        "a ",
        ":a",
        "::int",
        "'",
        "''",
        "\"",
        "E'",
        "\\",
        "$$",
        "$q$",
        "$1",
        "--",
        "\n",
        "/*",
        "*/",
        "(",
        ")",
        ",",
        "*",
        "=",
        ">=",
        "IS NULL ",
        "OR ",
        "AND ",
        ";",
        "1",
        "é",
        "CASE ",
        "END ",
        "IN ",
        "[",
        "]",
        ":",
        ":=",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![any::<String>(), yaml_like()]) {
        let _ = parse::connection("connections/a.yaml", &text);
        let _ = parse::pipeline("pipelines/a.yaml", &text);
        let _ = parse::endpoint("endpoints/a.yaml", &text);
    }

    #[test]
    fn no_text_makes_the_query_parser_panic(text in prop_oneof![any::<String>(), sql_like()]) {
        let _ = Query::parse(&text);
    }

    #[test]
    fn a_text_in_quotes_is_never_touched(text in "[a-z:$'\\-/*\" ]{0,20}") {
        let literal = format!("'{}'", text.replace('\'', "''"));
        let sql = format!("SELECT {literal} AS a FROM s.t WHERE b = :c");
        let query = Query::parse(&sql);
        prop_assert!(query.is_ok(), "{:?}", query);
        let query = query.unwrap();
        prop_assert_eq!(query.sql(), format!("SELECT {literal} AS a FROM s.t WHERE b = $1"));
        prop_assert_eq!(query.parameters(), ["c"]);
    }

    #[test]
    fn a_problem_of_a_secret_never_repeats_it(secret in "[A-Za-z0-9]{12,40}") {
        for text in [
            format!("connection: a\nbase_url: https://a.example\nauth: {{ bearer: {{ secret: {secret} }} }}\n"),
            format!("connection: a\nbase_url: https://a.example\nauth: {{ bearer: {secret} }}\n"),
            format!("connection: a\nbase_url: https://a.example\nauth: {secret}\n"),
            format!("connection: a\nbase_url: https://user:{secret}@a.example\nauth: none\n"),
            format!("connection: a\nbase_url: https://a.example\nheaders: {{ Authorization: {secret} }}\n"),
        ] {
            let problems = parse::connection("connections/a.yaml", &text).unwrap_err();
            for problem in problems {
                prop_assert!(!format!("{problem} {problem:?}").contains(&secret), "{}", problem);
            }
        }
    }
}
