//! Wire `format` → `Format`.

use super::value;
use crate::definition::format::{Csv, Format, FormatKind, Xml};
use crate::definition::pipeline::Resource;
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::wire::form::TextOr;
use crate::definition::wire::format::{
    CsvForm, FORMAT_NAMES, FormatForm, FormatName, JsonForm, XmlForm,
};

/// The encodings of the WHATWG's Encoding Standard, by their names, and the labels by which two of them are mostly called.
const ENCODINGS: [&str; 40] = [
    "utf-8",
    "ibm866",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "iso-8859-10",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
    "koi8-r",
    "koi8-u",
    "macintosh",
    "windows-874",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "x-mac-cyrillic",
    "gbk",
    "gb18030",
    "big5",
    "euc-jp",
    "iso-2022-jp",
    "shift_jis",
    "euc-kr",
    "us-ascii",
    "utf-16be",
    "utf-16le",
    "latin1",
];

pub(super) fn validate(
    form: Option<TextOr<FormatName, FormatForm>>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Format> {
    let form = match form {
        None => return Some(Format::default()),
        Some(TextOr::Text(name)) => review.accept(at, named(&name.0))?,
        Some(TextOr::Full(form)) => form,
    };
    let (kind, encoding, files, name) = match form {
        FormatForm::Json(form) => (Some(FormatKind::Json), form.encoding, form.files, "json"),
        FormatForm::JsonLines(form) => {
            let kind = Some(FormatKind::JsonLines);
            (kind, form.encoding, form.files, "json_lines")
        }
        FormatForm::Csv(mut form) => {
            let (encoding, files) = (form.encoding.take(), form.files.take());
            let kind = csv(form, &at.field("csv"), review).map(FormatKind::Csv);
            (kind, encoding, files, "csv")
        }
        FormatForm::Xml(mut form) => {
            let (encoding, files) = (form.encoding.take(), form.files.take());
            let kind = xml(&form, &at.field("xml"), review).map(FormatKind::Xml);
            (kind, encoding, files, "xml")
        }
    };
    if let Some(encoding) = &encoding {
        review.accept(&at.field(name).field("encoding"), known(encoding));
    }
    Some(Format {
        kind: kind?,
        encoding,
        files,
    })
}

/// Reports a path to records where a body has no more than records.
pub(super) fn check_use(resource: &Resource, at: &Path, review: &mut Review<'_, '_>) {
    let is_list = matches!(
        resource.format.kind,
        FormatKind::Csv(_) | FormatKind::JsonLines
    );
    let has_path = resource.records.segments().next().is_some();
    review.require(!(is_list && has_path), &at.field("records"), || {
        "each row or line is a record, and no path leads to them; leave `records` out".to_owned()
    });
}

fn named(name: &str) -> Result<FormatForm, String> {
    Ok(match name {
        "json" => FormatForm::Json(JsonForm::default()),
        "json_lines" => FormatForm::JsonLines(JsonForm::default()),
        "csv" => FormatForm::Csv(CsvForm::default()),
        "xml" => FormatForm::Xml(XmlForm::default()),
        other => {
            return Err(unknown(other, "format", &FORMAT_NAMES));
        }
    })
}

fn csv(form: CsvForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Csv> {
    let otherwise = Csv::default();
    let delimiter = match &form.delimiter {
        None => Some(otherwise.delimiter),
        Some(text) => review.accept(&at.field("delimiter"), delimiter(text)),
    };
    for (index, name) in form.header.iter().flatten().enumerate() {
        let at = at.field("header").index(index);
        review.require(!name.trim().is_empty(), &at, || {
            "a column needs a name".to_owned()
        });
    }
    Some(Csv {
        delimiter: delimiter?,
        header: form.header,
        skip_rows: form.skip_rows,
        null: form.null.unwrap_or(otherwise.null),
    })
}

fn delimiter(text: &str) -> Result<char, String> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii() && !matches!(letter, '"' | '\n' | '\r') => {
            Ok(letter)
        }
        _ => Err(format!(
            "`{text}` cannot stand between fields: write one ASCII character, such as `;` or `\"\\t\"`"
        )),
    }
}

fn xml(form: &XmlForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Xml> {
    let mut lists = Vec::with_capacity(form.lists.len());
    for (index, text) in form.lists.iter().enumerate() {
        let at = at.field("lists").index(index);
        lists.push(review.accept(&at, value::field_path(text))?);
    }
    Some(Xml { lists })
}

fn known(encoding: &str) -> Result<(), String> {
    let lower = encoding.to_ascii_lowercase();
    if ENCODINGS.contains(&lower.as_str()) {
        return Ok(());
    }
    Err(unknown(encoding, "encoding", &ENCODINGS))
}

fn unknown(name: &str, kind: &str, names: &[&'static str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!("there is no {kind} `{name}`; did you mean `{meant}`?"),
        None => format!(
            "there is no {kind} `{name}`; there is {}",
            one_of(names.iter().copied())
        ),
    }
}
