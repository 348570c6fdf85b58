use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_model::definition::FieldPath;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Cursor;
use zip::write::{SimpleFileOptions, ZipWriter};

fn csv() -> FormatKind {
    FormatKind::Csv(Csv::default())
}

fn xml(lists: &[&str]) -> FormatKind {
    let lists = lists.iter().map(|list| FieldPath((*list).to_owned()));
    FormatKind::Xml(Xml {
        lists: lists.collect(),
    })
}

fn format(kind: FormatKind) -> Format {
    Format {
        kind,
        ..Format::default()
    }
}

fn path(text: &str) -> Vec<String> {
    text.split('.')
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A body told piece by piece, as text.
fn told(
    format: &Format,
    content_type: Option<&str>,
    records: &str,
    body: &[u8],
    piece: usize,
) -> Result<String, Unread> {
    let json = told_bytes(format, content_type, records, body, piece)?;
    Ok(String::from_utf8(json).expect("UTF-8"))
}

fn told_bytes(
    format: &Format,
    content_type: Option<&str>,
    records: &str,
    body: &[u8],
    piece: usize,
) -> Result<Vec<u8>, Unread> {
    let mut reader = FormReader::new(format, content_type, &path(records));
    let mut json = Vec::new();
    for piece in body.chunks(piece) {
        json.extend_from_slice(reader.write(piece)?);
    }
    json.extend_from_slice(reader.end()?);
    Ok(json)
}

/// The same however the body is cut into pieces, as JSON.
fn read(format: &Format, content_type: Option<&str>, records: &str, body: &[u8]) -> Value {
    let whole = told(format, content_type, records, body, body.len().max(1)).expect("readable");
    for piece in [1, 2, 3, 7, 100] {
        let pieces = told(format, content_type, records, body, piece);
        assert_eq!(pieces.as_ref(), Ok(&whole), "in pieces of {piece}");
    }
    let at_once = FormReader::new(format, content_type, &path(records)).read(body.to_vec());
    assert_eq!(at_once.expect("readable"), whole.as_bytes());
    if whole.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{error}: {whole}"))
}

fn said(unread: &Unread) -> &str {
    match unread {
        Unread::EndsEarly(_) => "ends early",
        Unread::Malformed(malformed) => &malformed.what,
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

/// An archive as a tool makes that can seek back to a header, or as one does that cannot.
fn zipped(files: &[(&str, &[u8])], method: zip::CompressionMethod, streamed: bool) -> Vec<u8> {
    fn fill<W: std::io::Write + std::io::Seek>(
        writer: &mut ZipWriter<W>,
        files: &[(&str, &[u8])],
        method: zip::CompressionMethod,
    ) {
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, text) in files {
            writer.start_file(*name, options).expect("memory");
            writer.write_all(text).expect("memory");
        }
    }
    if streamed {
        let mut writer = ZipWriter::new_stream(Vec::new());
        fill(&mut writer, files, method);
        return writer.finish().expect("memory").into_inner();
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut writer, files, method);
    writer.finish().expect("memory").into_inner()
}

#[test]
fn json_is_passed_on_as_it_is() {
    for content_type in [
        None,
        Some("application/json; charset=iso-8859-1"),
        Some("text/plain"),
    ] {
        let body = "{\"a\": \"é\"}".as_bytes();
        let mut reader = FormReader::new(&Format::default(), content_type, &[]);
        let piece = reader.write(body).expect("readable");
        assert!(std::ptr::eq(piece, body), "and not copied");
        assert!(reader.is_json());
    }
}

#[test]
fn an_empty_body_of_any_form_has_nothing() {
    for kind in [FormatKind::Auto, FormatKind::JsonLines, csv(), xml(&[])] {
        assert_eq!(read(&format(kind), None, "", b""), Value::Null);
    }
    assert_eq!(read(&format(csv()), None, "", b"id,name\n"), Value::Null);
}

#[test]
fn lines_are_the_elements_of_a_list() {
    let body = b"{\"a\": 1}\n\n  \r\n{\"a\": \"x\\ny\"}\r\n[2]";
    let lines = json!([{"a": 1}, {"a": "x\ny"}, [2]]);
    assert_eq!(
        read(&format(FormatKind::JsonLines), None, "", body),
        lines.clone()
    );
    let media_type = Some("application/x-ndjson");
    assert_eq!(read(&Format::default(), media_type, "", body), lines);
}

#[test]
fn rows_are_objects_of_texts() {
    let body = "\u{feff}id,\"full \"\"name\"\"\",,id\r\n1,\"a,\nb\",\"\",x\r\n\r\n2,é\\\n";
    let rows = json!([
        {"id": "1", "full \"name\"": "a,\nb", "column_3": null, "id_4": "x"},
        {"id": "2", "full \"name\"": "é\\"},
    ]);
    assert_eq!(
        read(&format(csv()), None, "", body.as_bytes()),
        rows.clone()
    );
    assert_eq!(
        read(
            &Format::default(),
            Some("text/csv; header=present"),
            "",
            body.as_bytes()
        ),
        rows
    );
    let tabs = read(
        &Format::default(),
        Some("text/tab-separated-values"),
        "",
        b"a\tb\n1\t2",
    );
    assert_eq!(tabs, json!([{"a": "1", "b": "2"}]));
}

#[test]
fn csv_is_read_as_its_definition_says() {
    let csv = Csv {
        delimiter: ';',
        header: Some(vec!["id".to_owned(), "price".to_owned()]),
        skip_rows: 2,
        null: vec!["NA".to_owned()],
    };
    let body = b"Export of 2026\n\"unfinished\n1;9,5\n2;NA\n3;\n";
    assert_eq!(
        read(&format(FormatKind::Csv(csv)), None, "", body),
        json!([{"id": "1", "price": "9,5"}, {"id": "2", "price": null}, {"id": "3", "price": ""}])
    );
}

#[test]
fn a_row_with_too_many_fields_is_named() {
    let unread = told(&format(csv()), None, "", b"a,b\n1,2\n1,2,3\n", 100).expect_err("too many");
    assert_eq!(
        said(&unread),
        "row 3 has more fields than the 2 of the header"
    );
}

#[test]
fn encodings_are_read_as_they_are_said_or_seen() {
    let latin = |kind| Format {
        kind,
        encoding: Some("windows-1252".to_owned()),
        files: None,
    };
    let euro = json!([{"a": "€"}]);
    assert_eq!(read(&latin(csv()), None, "", b"a\n\x80\n"), euro);
    let of_answer = Some("text/csv; charset=\"windows-1252\"");
    assert_eq!(read(&format(csv()), of_answer, "", b"a\n\x80\n"), euro);
    let wide: Vec<u8> = "\u{feff}a\n€\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(read(&format(csv()), None, "", &wide), euro);
    let declared = b"<?xml version='1.0' encoding = 'iso-8859-1'?><a>\xe9</a>";
    assert_eq!(
        read(&format(xml(&[])), None, "", declared),
        json!({"a": "é"})
    );
    assert_eq!(
        read(&latin(FormatKind::Json), None, "", b"{\"a\": \"\xe9\"}"),
        json!({"a": "é"})
    );

    let unread = told(&format(csv()), None, "", b"a\nx\xff\n", 3).expect_err("not UTF-8");
    assert_eq!(
        said(&unread),
        "it is not UTF-8; say its `encoding` in `format`"
    );
    let Unread::Malformed(malformed) = unread else {
        unreachable!()
    };
    assert_eq!(malformed.at, 3);
    let cut = told(&format(csv()), None, "", b"a\nx\xe2\x82", 3);
    assert_eq!(cut, Err(Unread::EndsEarly(5)));
}

const ORDERS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE orders>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="urn:m">
  <soap:Header><m:Session>s1</m:Session><m:Empty/></soap:Header>
  <soap:Body>
    <m:Orders total="3" next="a&amp;b">
      <m:Order id="1"><m:Line>a &lt; b</m:Line><m:Line><![CDATA[<c>]]></m:Line></m:Order>
      <!-- > a comment -->
      <m:Order id="2"><m:Line/><m:Note xsi:nil="true"/> mixed &#233;</m:Order>
      <m:More>yes</m:More>
      <m:Order><m:Line sku="x">1</m:Line></m:Order>
    </m:Orders>
  </soap:Body>
</soap:Envelope>
"#;

#[test]
fn elements_are_objects_and_records_are_lists() {
    let body = read(
        &format(xml(&["Line"])),
        None,
        "Envelope.Body.Orders.Order",
        ORDERS.as_bytes(),
    );
    assert_eq!(
        body["Envelope"]["Header"],
        json!({"Session": "s1", "Empty": null})
    );
    let orders = &body["Envelope"]["Body"]["Orders"];
    assert_eq!(
        (&orders["@total"], &orders["@next"], &orders["More"]),
        (&json!("3"), &json!("a&b"), &json!("yes"))
    );
    // What comes between records makes a list of its own of the rest.
    let text = told(
        &format(xml(&["Line"])),
        Some("text/xml"),
        "Envelope.Body.Orders.Order",
        ORDERS.as_bytes(),
        64,
    )
    .expect("readable");
    let spans = crate::json::records(&text, &["Envelope", "Body", "Orders", "Order"]);
    let records: Vec<Value> = spans
        .expect("found")
        .into_iter()
        .map(|span| serde_json::from_str(&text[span]).expect("JSON"))
        .collect();
    assert_eq!(
        records,
        [
            json!({"@id": "1", "Line": ["a < b", "<c>"]}),
            json!({"@id": "2", "Line": [null], "Note": null, "#text": "mixed é"}),
            json!({"Line": [{"@sku": "x", "#text": "1"}]}),
        ]
    );
}

#[test]
fn a_document_without_a_path_is_one_record() {
    let body = b"<order id='7'><line>a</line><line>b</line></order>";
    let whole = json!({"order": {"@id": "7", "line": ["a", "b"]}});
    assert_eq!(read(&format(xml(&[])), None, "", body), whole);
    let root = json!({"order": [{"@id": "7", "line": ["a", "b"]}]});
    assert_eq!(read(&format(xml(&[])), None, "order", body), root);
}

#[test]
fn what_is_not_xml_is_refused_by_name() {
    for (body, what) in [
        ("<a><b></a>", "it is not XML: `b` is open, and `a` ends"),
        (
            "<a>&bomb;</a>",
            "it is not XML: it has no entity `&bomb;`: only XML's own are read",
        ),
        (
            "<a/><b/>",
            "it is not XML: there is something behind its end",
        ),
        (
            "{\"a\": 1}",
            "it is not XML: there is text outside of its root",
        ),
        ("<a><b>", "ends early"),
        ("<a><b", "ends early"),
        ("</a>", "it is not XML: `a` ends and never began"),
    ] {
        for piece in [1, 100] {
            let unread = told(&format(xml(&[])), None, "", body.as_bytes(), piece);
            assert_eq!(said(&unread.expect_err("refused")), what, "{body}");
        }
    }
    let deep = "<a>".repeat(1_000);
    let unread = told(&format(xml(&[])), None, "", deep.as_bytes(), 64).expect_err("too deep");
    assert!(said(&unread).contains("96 deep"), "{unread:?}");
}

#[test]
fn what_is_packed_is_unpacked() {
    let rows = json!([{"a": "1"}, {"a": "2"}]);
    let twice = [gzip(b"a\n1\n"), gzip(b"2\n")].concat();
    assert_eq!(read(&format(csv()), None, "", &twice), rows.clone());
    assert_eq!(
        read(&Format::default(), None, "", &gzip(b"[{\"a\": \"1\"}]")),
        json!([{"a": "1"}])
    );
    let files: [(&str, &[u8]); 5] = [
        ("readme.txt", b"not this one"),
        ("data/", b""),
        ("data/1.csv", b"a\n1\n"),
        ("__MACOSX/data/1.csv", b"junk"),
        ("data/2.csv", b"a\n2"),
    ];
    for method in [
        zip::CompressionMethod::Deflated,
        zip::CompressionMethod::Stored,
    ] {
        for streamed in [false, true] {
            if streamed && method == zip::CompressionMethod::Stored {
                continue;
            }
            let packed = zipped(&files, method, streamed);
            let chosen = |pattern: &str| Format {
                kind: csv(),
                files: Some(pattern.to_owned()),
                encoding: None,
            };
            assert_eq!(read(&chosen("*.csv"), None, "", &packed), rows.clone());
            assert_eq!(
                read(&chosen("data/1*"), None, "", &packed),
                json!([{"a": "1"}])
            );
            let unread = told(&chosen("*.xml"), None, "", &packed, 100).expect_err("none");
            assert!(said(&unread).contains("like `*.xml`; there are `readme.txt`"));
        }
    }
}

#[test]
fn a_packed_file_says_by_its_name_what_it_is() {
    let files: [(&str, &[u8]); 1] = [("export.jsonl", b"{\"a\": 1}\n{\"a\": 2}\n")];
    let packed = zipped(&files, zip::CompressionMethod::Deflated, false);
    assert_eq!(
        read(&Format::default(), Some("application/zip"), "", &packed),
        json!([{"a": 1}, {"a": 2}])
    );
    let files: [(&str, &[u8]); 2] = [("1.json", b"[1]"), ("2.json", b"[2]")];
    let packed = zipped(&files, zip::CompressionMethod::Deflated, false);
    let unread = told(&Format::default(), None, "", &packed, 10).expect_err("two");
    assert_eq!(
        said(&unread),
        "several files are packed in it, `1.json` and `2.json`: choose one by `files`"
    );
}

#[test]
fn what_was_cut_or_damaged_is_never_taken_for_whole() {
    let rows: String = (0..200)
        .map(|row| format!("{row},{}\n", row * 7919))
        .collect::<Vec<_>>()
        .concat();
    let text = format!("id,value\n{rows}");
    let bodies = [
        gzip(text.as_bytes()),
        zipped(
            &[("a.csv", text.as_bytes())],
            zip::CompressionMethod::Deflated,
            false,
        ),
        zipped(
            &[("a.csv", text.as_bytes())],
            zip::CompressionMethod::Deflated,
            true,
        ),
        zipped(
            &[("a.csv", text.as_bytes())],
            zip::CompressionMethod::Stored,
            false,
        ),
    ];
    for body in bodies {
        // Behind the rows an archive has a list of its files, which is not needed.
        let listed = memchr::memmem::find(&body, b"PK\x01\x02").unwrap_or(body.len());
        // Of its first bytes nobody can tell that they were to become an archive.
        for cut in (4..listed).step_by(13) {
            let cut = told(&format(csv()), None, "", &body[..cut], 64);
            assert!(cut.is_err(), "{cut:?}");
        }
        let mut damaged = body.clone();
        damaged[listed / 2] ^= 0x55;
        let damaged = told(&format(csv()), None, "", &damaged, 64);
        assert!(damaged.is_err(), "{damaged:?}");
    }
}

proptest! {
    #[test]
    fn rows_survive(
        rows in proptest::collection::vec(proptest::collection::vec("[ -~é\n\r\"]*", 3), 1..8),
        piece in 1_usize..40,
    ) {
        let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let body = format!("a,b,c\n{}", rows.iter().map(line).collect::<Vec<_>>().join("\r\n"));
        let json = told(&format(csv()), None, "", body.as_bytes(), piece).expect("readable");
        let value = |value: &String| if value.is_empty() { Value::Null } else { json!(value) };
        let expected: Vec<Value> = rows
            .iter()
            .map(|row| json!({"a": value(&row[0]), "b": value(&row[1]), "c": value(&row[2])}))
            .collect();
        let read: Value = serde_json::from_str(&json).expect("JSON");
        prop_assert_eq!(read, Value::Array(expected));
    }

    #[test]
    fn any_bytes_are_refused_or_told_as_json(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        start in proptest::sample::select(vec![
            &b""[..], b"\x1f\x8b\x08", b"PK\x03\x04", b"<?xml", b"<a>", b"a,b\n", b"{\"a\":1}\n",
        ]),
        piece in 1_usize..50,
    ) {
        let body = [start, &body].concat();
        for kind in [FormatKind::Auto, FormatKind::JsonLines, csv(), xml(&["a.b"])] {
            let told = told_bytes(&format(kind.clone()), None, "a", &body, piece);
            if let (Ok(json), FormatKind::Csv(_) | FormatKind::Xml(_)) = (told, kind)
                && !json.is_empty()
            {
                prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
            }
        }
    }

    #[test]
    fn any_markup_is_refused_or_told_as_json(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "<a>", "</a>", "<b x='1'>", "</b>", "<c/>", "text", "&lt;", "<![CDATA[", "]]>", "<!--", "-->", " ", "<?p", "?>",
        ]), 0..30),
        piece in 1_usize..20,
        records in proptest::sample::select(vec!["", "a", "a.b", "a.b.c"]),
    ) {
        let body = pieces.concat();
        let whole = told(&format(xml(&[])), None, records, body.as_bytes(), body.len().max(1));
        let cut = told(&format(xml(&[])), None, records, body.as_bytes(), piece);
        prop_assert_eq!(cut.is_ok(), whole.is_ok());
        if let Ok(json) = whole {
            prop_assert_eq!(cut.as_ref(), Ok(&json));
            prop_assert!(json.is_empty() || serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
        }
    }
}
