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

/// What takes the place of a part of a sound file.
fn edit() -> impl Strategy<Value = (prop::sample::Index, usize, &'static str)> {
    let pieces = vec![
        "", "x", "~", "5", "-1", "true", "[]", "{}", "[a, b]", "{ a: b }", "\n", ":", ": ", "- ",
        "  ", ",", "}", "{", "é", "none",
    ];
    (
        any::<prop::sample::Index>(),
        0..12_usize,
        prop::sample::select(pieces),
    )
}

/// The text with its letters from one place on replaced.
fn edited(text: &str, (at, length, piece): &(prop::sample::Index, usize, &str)) -> String {
    let letters: Vec<char> = text.chars().collect();
    let start = at.index(letters.len() + 1);
    let end = (start + length).min(letters.len());
    letters[..start]
        .iter()
        .copied()
        .chain(piece.chars())
        .chain(letters[end..].iter().copied())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(512), ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![any::<String>(), yaml_like()]) {
        let _ = parse::connection("connections/a.yaml", &text);
        let _ = parse::pipeline("pipelines/a.yaml", &text);
        let _ = parse::endpoint("endpoints/a.yaml", &text);
    }

    #[test]
    fn no_slip_in_a_sound_file_makes_a_parser_panic(edits in prop::collection::vec(edit(), 1..4)) {
        for (text, read) in [
            (include_str!("../fixtures/connections/with_everything.yaml"), (|text| parse::connection("a.yaml", text).err()) as fn(&str) -> _),
            (include_str!("../fixtures/pipelines/with_every_form.yaml"), |text| parse::pipeline("a.yaml", text).err()),
            (include_str!("../fixtures/endpoints/with_every_form.yaml"), |text| parse::endpoint("a.yaml", text).err()),
        ] {
            let text = edits.iter().fold(text.to_owned(), |text, edit| edited(&text, edit));
            let lines = text.lines().count() as u32;
            // At least the name is not the file's.
            let problems = read(&text).unwrap_or_default();
            prop_assert!(!problems.is_empty(), "{}", text);
            for problem in problems {
                prop_assert!(problem.line.is_some_and(|line| line >= 1 && line <= lines + 1), "{}: {}", problem, text);
            }
        }
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
