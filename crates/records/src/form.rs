//! The forms of a body: JSON, JSON Lines, CSV and XML, each as it is or packed by gzip or zip. What reads on reads JSON:
//! a body of another form is told as JSON while it streams by, in memory that depends on its longest record.

mod charset;
mod csv;
mod lines;
mod unpack;
mod xml;

use crate::Malformed;
use charset::Charset;
use csv::CsvReader;
use lines::LinesReader;
use millrace_model::definition::format::{Csv, Format, FormatKind, Xml};
use std::io::Write as _;
use unpack::Unpacker;
use xml::XmlReader;

/// How much of a body is told at a time: what is packed well becomes a thousand times as much.
pub(crate) const STEP: usize = 8 * 1024;

/// Why a body cannot be told as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It ends in the middle of something, at that byte: it may have been cut.
    EndsEarly(u64),
    /// It is not of its form.
    Malformed(Malformed),
}

impl Unread {
    fn malformed(at: u64, what: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Malformed(Malformed::new(
            usize::try_from(at).unwrap_or(usize::MAX),
            what,
        ))
    }
}

impl From<Unread> for Malformed {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::EndsEarly(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                Self::new(at, "it ends too early")
            }
            Unread::Malformed(malformed) => malformed,
        }
    }
}

/// One body on its way to being JSON.
#[derive(Debug)]
pub struct FormReader {
    unpacker: Unpacker,
    told: Box<Told>,
    /// Whether it is JSON as it is.
    is_json: bool,
}

/// What was told of the body so far.
#[derive(Debug)]
struct Told {
    format: Format,
    media_type: String,
    charset_of_answer: Option<String>,
    path: Vec<String>,
    /// The file that is read; none before the first one.
    file: Option<File>,
    /// The first file, for the form that only one can have.
    first: Option<String>,
    json: Vec<u8>,
    /// Whether rows were written.
    has_rows: bool,
    /// How many bytes of text were read, of the body as it is unpacked.
    at: u64,
}

#[derive(Debug)]
struct File {
    form: Form,
    /// None where the bytes are passed on as they are.
    charset: Option<Charset>,
}

#[derive(Debug)]
enum Form {
    Json,
    Lines(LinesReader),
    Csv(Box<CsvReader>),
    Xml(Box<XmlReader>),
}

impl FormReader {
    /// Begins a body of that format, which came with that `Content-Type`, and whose records lie at `path`.
    pub fn new(format: &Format, content_type: Option<&str>, path: &[String]) -> Self {
        let content_type = content_type.unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        Self {
            unpacker: Unpacker::new(format.files.clone()),
            is_json: true,
            told: Box::new(Told {
                format: format.clone(),
                media_type: media_type.trim().to_ascii_lowercase(),
                charset_of_answer: charset_parameter(parameters),
                path: path.to_vec(),
                file: None,
                first: None,
                json: Vec::new(),
                has_rows: false,
                at: 0,
            }),
        }
    }

    /// Takes the next piece, and gives the JSON that it makes: the piece itself where it is JSON already.
    pub fn write<'s>(&'s mut self, piece: &'s [u8]) -> Result<&'s [u8], Unread> {
        if self.unpacker.is_plain(piece) && self.told.takes_json()? {
            self.told.at += piece.len() as u64;
            return Ok(piece);
        }
        self.is_json &= piece.is_empty();
        self.told.json.clear();
        self.unpacker.write(piece, &mut self.told)?;
        Ok(&self.told.json)
    }

    /// Ends the body, and gives the rest of the JSON.
    pub fn end(&mut self) -> Result<&[u8], Unread> {
        self.told.json.clear();
        self.unpacker.end(&mut self.told)?;
        self.told.end_body();
        Ok(&self.told.json)
    }

    /// Whether the body was JSON as it came, as far as it did.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Tells all of a body as JSON.
    pub fn read(self, body: Vec<u8>) -> Result<Vec<u8>, Unread> {
        let json = self.read_within(body, usize::MAX)?;
        Ok(json.unwrap_or_default())
    }

    /// Tells all of a body as JSON; none where that has more than so many bytes.
    pub fn read_within(mut self, body: Vec<u8>, most: usize) -> Result<Option<Vec<u8>>, Unread> {
        let first = &body[..body.len().min(STEP)];
        let mut json = self.write(first)?.to_vec();
        if self.is_json {
            return Ok((body.len() <= most).then_some(body));
        }
        for step in body.chunks(STEP).skip(1) {
            json.extend_from_slice(self.write(step)?);
            if json.len() > most {
                return Ok(None);
            }
        }
        json.extend_from_slice(self.end()?);
        Ok((json.len() <= most).then_some(json))
    }
}

impl Told {
    /// Whether what is not packed is passed on as it is.
    fn takes_json(&mut self) -> Result<bool, Unread> {
        if self.file.is_none() {
            self.begin(None)?;
        }
        let file = self.file.as_ref();
        Ok(file.is_some_and(|file| matches!(file.form, Form::Json) && file.charset.is_none()))
    }

    /// A file begins: the body itself, or one of those that are packed in it.
    fn begin(&mut self, name: Option<&str>) -> Result<(), Unread> {
        let kind = match &self.format.kind {
            FormatKind::Auto => name
                .and_then(kind_of_name)
                .or_else(|| kind_of_media_type(&self.media_type))
                .unwrap_or(FormatKind::Json),
            said => said.clone(),
        };
        if let Some(first) = &self.first
            && !matches!(kind, FormatKind::JsonLines | FormatKind::Csv(_))
        {
            let what = format!(
                "several files are packed in it, `{first}` and `{}`: choose one by `files`",
                name.unwrap_or_default()
            );
            return Err(Unread::malformed(0, what));
        }
        if self.first.is_none() {
            self.first = name.map(str::to_owned);
        }
        let encoding = self.format.encoding.as_deref();
        let of_text = || Some(Charset::new(encoding, self.charset_of_answer.as_deref()));
        let (form, charset) = match kind {
            FormatKind::Auto | FormatKind::Json => {
                // JSON is UTF-8 (RFC 8259), whatever an answer's header says of it.
                let charset = encoding.map(|_| Charset::new(encoding, None));
                (Form::Json, charset)
            }
            FormatKind::JsonLines => (Form::Lines(LinesReader::new()), of_text()),
            FormatKind::Csv(csv) => (Form::Csv(Box::new(CsvReader::new(&csv))), of_text()),
            FormatKind::Xml(xml) => {
                let charset = of_text().map(Charset::or_of_declaration);
                let reader = XmlReader::new(&xml, &self.path);
                (Form::Xml(Box::new(reader)), charset)
            }
        };
        self.file = Some(File { form, charset });
        Ok(())
    }

    /// Some of the file that is read.
    fn write(&mut self, piece: &[u8]) -> Result<(), Unread> {
        if self.file.is_none() {
            self.begin(None)?;
        }
        let Self {
            file: Some(File { form, charset }),
            json,
            has_rows,
            at,
            ..
        } = self
        else {
            return Ok(());
        };
        match charset {
            None => form.write(piece, json, has_rows, *at)?,
            Some(charset) => {
                charset.write(piece, *at, |text| form.write(text, json, has_rows, *at))?;
            }
        }
        *at += piece.len() as u64;
        Ok(())
    }

    /// The file that is read ends.
    fn end(&mut self) -> Result<(), Unread> {
        let Some(File { mut form, charset }) = self.file.take() else {
            return Ok(());
        };
        let (json, has_rows, at) = (&mut self.json, &mut self.has_rows, self.at);
        if let Some(mut charset) = charset {
            charset.end(at, |text| form.write(text, json, has_rows, at))?;
        }
        match form {
            // Whether the last value is whole is seen by who reads the JSON.
            Form::Json | Form::Lines(_) => Ok(()),
            Form::Csv(csv) => csv.end(json, has_rows, at),
            Form::Xml(xml) => xml.end(json, at),
        }
    }

    /// All files have ended: so does the list of their rows.
    fn end_body(&mut self) {
        if self.has_rows {
            self.json.push(b']');
        }
    }
}

impl Form {
    fn write(
        &mut self,
        text: &[u8],
        json: &mut Vec<u8>,
        has_rows: &mut bool,
        at: u64,
    ) -> Result<(), Unread> {
        match self {
            Self::Json => json.extend_from_slice(text),
            Self::Lines(lines) => lines.write(text, json, has_rows),
            Self::Csv(csv) => csv.write(text, json, has_rows, at)?,
            Self::Xml(xml) => xml.write(text, json, at)?,
        }
        Ok(())
    }
}

/// A row of a list begins.
fn begin_row(json: &mut Vec<u8>, has_rows: &mut bool) {
    json.push(if *has_rows { b',' } else { b'[' });
    *has_rows = true;
}

/// A text as JSON has it.
fn write_text(text: &str, json: &mut Vec<u8>) {
    // Text is always JSON, and memory takes it all.
    if serde_json::to_writer(&mut *json, text).is_err() {
        let _ = json.write_all(b"null");
    }
}

/// What a media type says of a body. JSON and what says nothing have none.
fn kind_of_media_type(media_type: &str) -> Option<FormatKind> {
    Some(match media_type {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/jsonlines"
        | "application/x-jsonlines" => FormatKind::JsonLines,
        "text/csv" | "application/csv" => FormatKind::Csv(Csv::default()),
        "text/tab-separated-values" => FormatKind::Csv(Csv {
            delimiter: '\t',
            ..Csv::default()
        }),
        "text/xml" | "application/xml" => FormatKind::Xml(Xml::default()),
        other if other.ends_with("+xml") => FormatKind::Xml(Xml::default()),
        _ => return None,
    })
}

/// What the name of a packed file says of it.
fn kind_of_name(name: &str) -> Option<FormatKind> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "json" | "geojson" => FormatKind::Json,
        "jsonl" | "ndjson" => FormatKind::JsonLines,
        "csv" => FormatKind::Csv(Csv::default()),
        "tsv" => FormatKind::Csv(Csv {
            delimiter: '\t',
            ..Csv::default()
        }),
        "xml" => FormatKind::Xml(Xml::default()),
        _ => return None,
    })
}

/// `charset` among the parameters of a `Content-Type`.
fn charset_parameter(parameters: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests;
