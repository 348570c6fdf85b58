use super::*;
use crate::json;
use proptest::prelude::*;

/// What is found in pieces of so many bytes, and where it begins.
fn sliced(
    body: &[u8],
    path: &[&str],
    piece: usize,
    largest: usize,
) -> Result<Vec<(u64, String)>, Malformed> {
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    let mut slicer = Slicer::new(&path, largest);
    let mut all = Vec::new();
    let mut take = |found: Found<'_>| {
        all.push(match found {
            Found::Record(at, text) => (at, String::from_utf8_lossy(text).into_owned()),
            Found::TooLarge(at, bytes) => (at, format!("{bytes} bytes")),
        });
        Ok(())
    };
    for piece in body.chunks(piece.max(1)) {
        slicer.write(piece, &mut take)?;
    }
    slicer.end(&mut take)?;
    Ok(all)
}

fn whole(body: &str, path: &[&str]) -> Result<Vec<(u64, String)>, Malformed> {
    let spans = json::records(body, path)?;
    Ok(spans
        .into_iter()
        .map(|span| (span.start as u64, body[span].to_owned()))
        .collect())
}

#[test]
fn a_record_that_is_too_large_is_told_and_not_held() {
    let body = r#"{"rows":[{"a":"0123456789"},{"a":1},"0123456789012345",12]}"#;
    let found = sliced(body.as_bytes(), &["rows"], 3, 16).expect("well-formed");
    let expected = [
        (9, "18 bytes"),
        (28, r#"{"a":1}"#),
        (36, "18 bytes"),
        (55, "12"),
    ];
    assert_eq!(found, expected.map(|(at, text)| (at, text.to_owned())));
}

#[test]
fn bodies_are_sliced_as_they_are_when_they_are_whole() {
    let bodies = [
        "",
        " ",
        "\u{feff}[1, 2]",
        "[]",
        "{}",
        "null",
        "5",
        r#""text""#,
        r#"{"a":null}"#,
        r#"{"a":{}}"#,
        r#"{"a":[]}"#,
        r#"{"a":[{"b":[1,"]"]}, {"b":null} ,{"b":"\\\""}],"c":"x"}"#,
        r#"{"\u0061":[1]}"#,
        r#"{"a":{"b":[1,{"c":2}]}}"#,
        r#"{"a":[1],"a":[2]}"#,
        "[1,2",
        "[1,tru]",
        "[1 2]",
        r#"{"a" 1}"#,
        "{a:1}",
        "[1] x",
        r#"{"a":[1]"#,
        "[1,]",
        r#"{"a":1,}"#,
        "tru",
        "-",
        "[[1,2],[3]]",
    ];
    for body in bodies {
        for path in [
            &[][..],
            &["a"],
            &["*"],
            &["a", "b"],
            &["a", "*", "b"],
            &["*", "*"],
        ] {
            for piece in [1, 2, 7, 1000] {
                let (found, expected) = (
                    sliced(body.as_bytes(), path, piece, 1000),
                    whole(body, path),
                );
                match expected {
                    Ok(expected) => {
                        assert_eq!(found.as_ref(), Ok(&expected), "{body} {path:?} {piece}");
                    }
                    Err(_) => assert!(found.is_err(), "{body} {path:?} {piece} {found:?}"),
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_body_is_sliced_as_when_it_is_whole(text in "[\\[\\]{}\",:0-9.eE+\\-ab tfn\\\\]{0,40}", piece in 1..5_usize) {
        for path in [&[][..], &["a"], &["*"], &["a", "*", "b"]] {
            let (found, expected) = (sliced(text.as_bytes(), path, piece, 1000), whole(&text, path));
            prop_assert_eq!(found.ok(), expected.ok(), "{} {:?}", text, path);
        }
    }
}
