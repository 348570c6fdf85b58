use super::*;
use millrace_model::definition::personal_data::Generalisation;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const FIELDS: [(&str, Treatment); 5] = [
    ("born", Treatment::Generalise(Generalisation::Prefix(2))),
    ("email", Treatment::Hash),
    ("phone", Treatment::Mask),
    ("ssn", Treatment::Drop),
    ("address.street", Treatment::Drop),
];

fn redaction(records: &str, fields: &[(&str, Treatment)]) -> Redaction {
    let fields = fields
        .iter()
        .map(|(path, treatment)| (FieldPath((*path).to_owned()), *treatment));
    let personal = PersonalData {
        key: None,
        fields: fields.collect(),
    };
    let key = Secret::new("key", "hunter2");
    Redaction::new(&personal, &FieldPath(records.to_owned()), Some(&key))
}

fn redact(redaction: &Redaction, body: &[u8], piece: usize) -> Result<String, Unredacted> {
    let mut redactor = redaction.begin();
    let mut out = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        out.extend_from_slice(&redactor.write(piece)?);
    }
    out.extend_from_slice(&redactor.end());
    Ok(String::from_utf8(out).unwrap())
}

fn hash(text: &str) -> String {
    hex::encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, b"hunter2"),
        text.as_bytes(),
    ))
}

#[test]
fn only_the_named_fields_change() {
    let of_items = redaction("data.items", &FIELDS);
    let of_list = redaction("", &FIELDS);
    let ann = hash("ann@example.com");
    let seven = hash("7");
    for (redaction, body, expected) in [
        // Spaces, escapes and the letters of numbers stay.
        (
            &of_items,
            r#" { "data" : {"items":[ {"id":1.50e0, "email" : "ann@example.com" ,"ssn":"1"} ], "email":"x\u0041"}}"#,
            format!(
                r#" {{ "data" : {{"items":[ {{"id":1.50e0, "email" : "{ann}" }} ], "email":"x\u0041"}}}}"#
            ),
        ),
        // The first member dropped, the only one, all but the last, and nested in lists.
        (
            &of_list,
            r#"[{"ssn":{"a":[1,"}"]},"id":1},{"ssn":1},{ "ssn":1, "id":2 },[{"ssn":"\"","id":3}]]"#,
            r#"[{"id":1},{}, {"id":2 },[{"id":3}]]"#.replace(", {\"id\":2", ",{ \"id\":2"),
        ),
        // Names are read with their escapes; values are hashed as what they say.
        (
            &of_list,
            r#"{"em\u0061il":"\u0061nn\u0040example.com","emailx":"x","xemail":7}"#,
            format!(r#"{{"em\u0061il":"{ann}","emailx":"x","xemail":7}}"#),
        ),
        // Each value within a treated field is treated.
        (
            &of_list,
            r#"{"email":[7,"7",{"a":null}],"phone":{"home":"1","work":[2,true,null]}}"#,
            format!(
                r#"{{"email":["{seven}","{seven}",{{"a":null}}],"phone":{{"home":"***","work":[null,null,null]}}}}"#
            ),
        ),
        (
            &of_list,
            "{\"address\":[{\"street\":\"x\",\"city\":\"y\"}]}\n{\"address\":{\"street\":\"x\"}}\n",
            "{\"address\":[{\"city\":\"y\"}]}\n{\"address\":{}}\n".to_owned(),
        ),
        (&of_list, "", String::new()),
        (&of_list, "7", "7".to_owned()),
    ] {
        for piece in [1, 2, 3, 1000] {
            assert_eq!(
                redact(redaction, body.as_bytes(), piece).unwrap(),
                expected,
                "{body}"
            );
        }
    }
}

#[test]
fn a_hash_is_the_one_that_others_compute() {
    // echo -n 😀 | openssl dgst -sha256 -hmac hunter2
    let expected = hash("\u{1F600}");
    for body in [
        r#"{"email":"😀"}"#,
        r#"{"email":"\ud83d\ude00"}"#,
        r#"{"email":"\uD83D\uDE00"}"#,
    ] {
        let out = redact(&redaction("", &FIELDS), body.as_bytes(), 1).unwrap();
        assert_eq!(out, format!(r#"{{"email":"{expected}"}}"#));
    }
}

#[test]
fn a_body_that_would_take_all_memory_is_refused() {
    let redaction = redaction("", &FIELDS);
    let deep = "[".repeat(2000);
    assert_eq!(
        redact(&redaction, deep.as_bytes(), 100),
        Err(Unredacted::TooDeep)
    );
    let long = format!("{{{}", " ".repeat(300_000));
    assert_eq!(
        redact(&redaction, long.as_bytes(), 1000),
        Err(Unredacted::TooLong)
    );
}

/// The same by way of a tree.
fn naive(value: &Value, at: &[&str], treatment: Option<Treatment>) -> Value {
    match (value, treatment) {
        (Value::Object(fields), _) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let path: Vec<&str> = at.iter().copied().chain([name.as_str()]).collect();
                let own = FIELDS.iter().find(|(field, _)| *field == path.join("."));
                match treatment.or(own.map(|(_, treatment)| *treatment)) {
                    Some(Treatment::Drop) => {}
                    treatment => drop(kept.insert(name.clone(), naive(value, &path, treatment))),
                }
            }
            Value::Object(kept)
        }
        (Value::Array(items), _) => items
            .iter()
            .map(|item| naive(item, at, treatment))
            .collect(),
        (Value::Null, _) | (_, None | Some(Treatment::Drop)) => value.clone(),
        (Value::String(text), Some(Treatment::Hash)) => hash(text).into(),
        (other, Some(Treatment::Hash)) => hash(&other.to_string()).into(),
        (Value::String(_), Some(Treatment::Mask)) => "***".into(),
        (_, Some(Treatment::Mask)) => Value::Null,
        (Value::String(text), Some(Treatment::Generalise(to))) => {
            generalised(to, text.as_bytes(), true, true)
        }
        (other, Some(Treatment::Generalise(to))) => {
            generalised(to, other.to_string().as_bytes(), false, true)
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\],:é😀\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![
            Just("email"),
            Just("phone"),
            Just("ssn"),
            Just("born"),
            Just("address"),
            Just("street"),
            Just("id"),
            Just("a\"b")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_streams_by_is_what_a_tree_would_become(value in values(), piece in 1_usize..20, pretty: bool) {
        let body = if pretty { format!("{value:#}") } else { value.to_string() };
        let out = redact(&redaction("", &FIELDS), body.as_bytes(), piece).unwrap();
        let out: Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(out, naive(&value, &[], None));
        let untouched = redaction("", &[("no_such_field", Treatment::Drop)]);
        prop_assert_eq!(redact(&untouched, body.as_bytes(), piece).unwrap(), body);
    }

    #[test]
    fn whatever_comes_nothing_panics_and_pieces_do_not_matter(body in "[\\[\\]{}\",:\\\\ueslmai0-9 ]{0,60}", piece in 1_usize..9) {
        let redaction = redaction("", &FIELDS);
        let whole = redact(&redaction, body.as_bytes(), 1000);
        prop_assert_eq!(redact(&redaction, body.as_bytes(), piece), whole);
    }
}

#[test]
fn a_missing_key_does_not_let_anything_through() {
    let personal = PersonalData {
        key: None,
        fields: vec![(FieldPath("email".to_owned()), Treatment::Hash)],
    };
    let redaction = Redaction::new(&personal, &FieldPath::default(), None);
    let out = redact(
        &redaction,
        json!({ "email": "ann" }).to_string().as_bytes(),
        3,
    )
    .unwrap();
    assert_eq!(out, r#"{"email":null}"#);
}
