use super::*;

fn read(params: &[Param], path: &[(String, String)], query: &str) -> Result<Arguments, Problem> {
    let takes = Takes {
        params,
        sort: &["magnitude".to_owned()],
        fields: &[],
    };
    super::read(takes, path, sent::of_query(query)?)
}

fn param(name: &str, kind: ParamType) -> Param {
    Param {
        name: name.into(),
        kind,
        required: false,
        default: None,
        min: None,
        max: None,
        list: false,
        one_of: Vec::new(),
        pattern: None,
        min_length: None,
        max_length: None,
        claim: None,
        description: None,
    }
}

fn quakes() -> Vec<Param> {
    let magnitude = Param {
        default: Some(5.into()),
        min: Some(-2.0),
        max: Some(11.0),
        ..param("min_magnitude", ParamType::Double)
    };
    vec![
        magnitude,
        param("since", ParamType::Timestamp),
        param("place", ParamType::String),
    ]
}

fn refused(query: &str) -> (String, String) {
    let problem = read(&quakes(), &[], query).unwrap_err();
    assert_eq!(problem.status, 400);
    (problem.parameter.unwrap_or_default(), problem.detail)
}

#[test]
fn defaults_stand_in() {
    let arguments = read(&quakes(), &[], "").unwrap();
    assert_eq!(arguments.values["min_magnitude"], Value::Double(5.0));
    assert_eq!(arguments.values["since"], Value::Null);
    assert_eq!((arguments.limit, arguments.cursor), (DEFAULT_LIMIT, None));
}

#[test]
fn texts_are_decoded_and_stay_data() {
    let arguments = read(
        &quakes(),
        &[],
        "place=%27%3B+drop+table+x%3B--&limit=7&cursor=abc",
    )
    .unwrap();
    assert_eq!(
        arguments.values["place"],
        Value::Text("'; drop table x;--".into())
    );
    assert_eq!(
        (arguments.limit, arguments.cursor.as_deref()),
        (7, Some("abc"))
    );
}

#[test]
fn values_are_written_as_the_contract_says() {
    for (kind, right, wrong) in [
        (
            ParamType::Int,
            &["5", "-5", "9223372036854775807"][..],
            &["+5", "", "-", "5.0", "0x5", " 5", "5 ", "९"][..],
        ),
        (
            ParamType::Double,
            &["5", "-0.5", "1e3", "1E-7"],
            &["+5", ".5", "5.", "NaN", "inf", "-inf", "1e999", "1_0"],
        ),
        (
            ParamType::Decimal,
            &["5", "-0.50", "1e3"],
            &["+5", ".5", "5.", "1e"],
        ),
        (
            ParamType::Date,
            &["2026-11-21", "0001-01-01"],
            &[
                "20261121",
                "2026-11-21T00:00:00",
                "+002026-11-21",
                "2026-W47-6",
                "2026-13-01",
            ],
        ),
        (
            ParamType::Timestamp,
            &[
                "2026-11-21T08:00:00Z",
                "2026-11-21t08:00:00.5z",
                "2026-11-21T08:00:00+02:00",
            ],
            &[
                "2026-11-21 08:00:00Z",
                "20261121T080000Z",
                "2026-11-21T08Z",
                "2026-11-21T08:00:00",
                "2026-11-21T08:00:00+02:00[Europe/Berlin]",
            ],
        ),
        (
            ParamType::Uuid,
            &["67e55044-10b1-426f-9247-bb680e5fe0c8"],
            &[
                "67e5504410b1426f9247bb680e5fe0c8",
                "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            ],
        ),
    ] {
        let param = param("p", kind);
        for text in right {
            assert!(parse_one(&param, text).is_ok(), "{kind:?} {text}");
        }
        for text in wrong {
            assert!(parse_one(&param, text).is_err(), "{kind:?} {text}");
        }
    }
}

#[test]
fn texts_have_forms_and_lists_have_values() {
    let code = Param {
        pattern: Some("[a-z]{2}|x".into()),
        list: true,
        ..param("codes", ParamType::String)
    };
    let kind = Param {
        one_of: vec!["a b".into(), "c".into()],
        ..param("kind", ParamType::String)
    };
    let name = Param {
        min_length: Some(2),
        max_length: Some(3),
        ..param("name", ParamType::String)
    };
    let price = Param {
        min: Some(0.0),
        ..param("price", ParamType::Decimal)
    };
    let params = [code, kind, name, price, param("ids", ParamType::Int)];
    let arguments = read(&params, &[], "codes=ab,x&kind=a+b&name=äöü&price=0.10").unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(
        arguments.values["codes"],
        Value::List(vec![text("ab"), text("x")])
    );
    assert_eq!(arguments.values["price"], Value::Decimal("0.10".into()));
    let many = format!("codes={}", vec!["x"; MOST_VALUES + 1].join(","));
    for (query, what) in [
        ("codes=ab,abc", "of the form"),
        ("codes=", "of the form"),
        (many.as_str(), "101 values"),
        ("kind=b", "one of `a b`, `c`"),
        ("name=a", "2 characters at least"),
        ("name=abcd", "3 characters at most"),
        ("price=-0.01", "at least 0"),
        ("price=1e", "a number such as"),
        ("ids=1,2", "a whole number"),
    ] {
        let problem = read(&params, &[], query).unwrap_err();
        assert!(problem.detail.contains(what), "{query}: {}", problem.detail);
    }
}

#[test]
fn what_is_a_callers_claim_cannot_be_said() {
    let tenant = Param {
        claim: Some("tenant".into()),
        ..param("tenant", ParamType::String)
    };
    let params = [tenant];
    assert_eq!(read(&params, &[], "tenant=acme").unwrap_err().status, 400);
    let mut arguments = read(&params, &[], "").unwrap();
    let claims = |value: serde_json::Value| {
        serde_json::json!({ "tenant": value })
            .as_object()
            .cloned()
            .unwrap()
    };
    add_claims(&mut arguments, &params, &claims("acme".into())).unwrap();
    assert_eq!(arguments.values["tenant"], Value::Text("acme".into()));
    for hostile in [
        serde_json::Value::Null,
        serde_json::json!(["acme"]),
        serde_json::json!({}),
    ] {
        let refused = add_claims(&mut arguments, &params, &claims(hostile)).unwrap_err();
        assert_eq!(refused.status, 403);
    }
    assert_eq!(
        add_claims(&mut arguments, &params, &Map::new())
            .unwrap_err()
            .status,
        403
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (query, name, detail) in [
        (
            "min_magnitude=abc",
            "min_magnitude",
            "must be a number such as `4.5`, not `abc`",
        ),
        ("min_magnitude=NaN", "min_magnitude", "must be a number"),
        ("min_magnitude=", "min_magnitude", "must be a number"),
        (
            "min_magnitude=12",
            "min_magnitude",
            "must be at most 11, not `12`",
        ),
        (
            "min_magnitude=-3",
            "min_magnitude",
            "must be at least -2, not `-3`",
        ),
        ("since=yesterday", "since", "must be a moment"),
        (
            "min_magnitud=1",
            "min_magnitud",
            "did you mean `min_magnitude`?",
        ),
        (
            "xyz=1",
            "xyz",
            "it takes `min_magnitude`, `since`, `place`, `limit`, `cursor`, `sort`",
        ),
        ("place=a&place=b", "place", "more than once"),
        ("limit=0", "limit", "from 1 to 1000"),
        ("limit=1001", "limit", "from 1 to 1000"),
        ("limit=ten", "limit", "from 1 to 1000"),
        ("sort=place", "sort", "must be one of `magnitude`"),
        ("sort=--magnitude", "sort", "must be one of `magnitude`"),
        ("fields=id", "fields", "no parameter `fields`"),
        ("place=%00", "place", "code 0"),
        ("place=%ff", "place", "percent-encoded"),
        ("place=%4", "place", "percent-encoded"),
    ] {
        let (parameter, text) = refused(query);
        assert_eq!(parameter, name, "{query}");
        assert!(text.contains(detail), "{query}: {text}");
    }
}

#[test]
fn what_was_sent_comes_back_short() {
    let (_, detail) = refused(&format!("min_magnitude={}", "x".repeat(1500)));
    assert!(detail.len() < 250, "{detail}");
    let (_, detail) = refused(&format!("place={}", "x".repeat(2001)));
    assert!(detail.contains("2001 characters"), "{detail}");
}

#[test]
fn what_stands_in_the_path_cannot_be_sent_again() {
    let params = vec![Param {
        required: true,
        ..param("id", ParamType::Int)
    }];
    let path = vec![("id".to_owned(), "7".to_owned())];
    assert_eq!(
        read(&params, &path, "").unwrap().values["id"],
        Value::Int(7)
    );
    assert!(read(&params, &path, "id=8").is_err());
    assert!(
        read(&params, &[], "")
            .unwrap_err()
            .detail
            .contains("required")
    );
}
