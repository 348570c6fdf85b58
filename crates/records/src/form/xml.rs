//! XML, and SOAP with it: elements become objects, attributes members with an `@` before their names, texts values.
//! Prefixes of namespaces are left out. What lies around the records is told as it streams by; a record is read whole,
//! because only then it is known which of its elements come several times and become a list.
//!
//! Entities other than XML's own five and characters by number are refused, so that nothing grows by expansion.

mod element;

use super::{Unread, write_text};
use crate::json::EACH;
use element::{Element, attributes, local_name};
use millrace_model::definition::format::Xml;
use quick_xml::Reader;
use quick_xml::errors::{Error, SyntaxError};
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

/// How deep elements may lie in one another.
const DEPTH: usize = 96;
/// The longest piece of markup, and the longest text between two, that is held.
const LONGEST: usize = 16 * 1024 * 1024;
/// The largest record.
const LARGEST: usize = 64 * 1024 * 1024;

/// Tells elements as JSON.
#[derive(Debug)]
pub(super) struct XmlReader {
    /// Where the records lie.
    path: Vec<String>,
    /// Which elements of a record are lists even where there is one of them.
    lists: Vec<Vec<String>>,
    /// What is not yet the whole of anything.
    held: Vec<u8>,
    /// The elements that are open around the records.
    around: Vec<Around>,
    /// The elements that are open in the record, itself the first of them.
    record: Vec<Element>,
    record_bytes: usize,
    has_root: bool,
}

/// An element that is open around the records.
#[derive(Debug, Default)]
struct Around {
    name: String,
    /// Whether it was told as an object, which it is as soon as something lies in it.
    is_object: bool,
    has_member: bool,
    /// Whether the list of records is open in it.
    in_list: bool,
    text: String,
}

impl XmlReader {
    pub(super) fn new(xml: &Xml, path: &[String]) -> Self {
        let segments = |list: &millrace_model::definition::FieldPath| {
            list.segments().map(str::to_owned).collect()
        };
        Self {
            path: path.to_vec(),
            lists: xml.lists.iter().map(segments).collect(),
            held: Vec::new(),
            around: Vec::new(),
            record: Vec::new(),
            record_bytes: 0,
            has_root: false,
        }
    }

    pub(super) fn write(&mut self, text: &[u8], json: &mut Vec<u8>, at: u64) -> Result<(), Unread> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(text);
        let read = self.read(&held, false, json, at)?;
        held.drain(..read);
        if held.len() > LONGEST {
            let what = "it has a text or a tag longer than 16 MiB";
            return Err(Unread::malformed(at, what));
        }
        self.held = held;
        Ok(())
    }

    pub(super) fn end(mut self, json: &mut Vec<u8>, at: u64) -> Result<(), Unread> {
        let held = std::mem::take(&mut self.held);
        self.read(&held, true, json, at)?;
        if self.around.is_empty() && self.record.is_empty() {
            Ok(())
        } else {
            Err(Unread::EndsEarly(at))
        }
    }

    /// Reads as much of the text as is whole; gives how much that was.
    fn read(
        &mut self,
        text: &[u8],
        is_last: bool,
        json: &mut Vec<u8>,
        at: u64,
    ) -> Result<usize, Unread> {
        let mut reader = Reader::from_reader(text);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.expand_empty_elements = true;
        let mut read = 0;
        loop {
            let event = match reader.read_event() {
                Ok(Event::Eof) => return Ok(read),
                Ok(event) => event,
                // A tag, a comment or an entity that has no end yet.
                Err(Error::Syntax(_) | Error::IllFormed(_)) if !is_last => return Ok(read),
                Err(Error::Syntax(SyntaxError::InvalidBangMarkup)) => {
                    return Err(not_xml(at, "`<!` begins nothing that is known"));
                }
                Err(Error::Syntax(_)) => return Err(Unread::EndsEarly(at)),
                Err(error) => return Err(not_xml(at, &error.to_string())),
            };
            let end = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
            // A text may go on in the next piece.
            if !is_last && end == text.len() && matches!(event, Event::Text(_)) {
                return Ok(read);
            }
            self.take(&event, json).map_err(|what| not_xml(at, &what))?;
            read = end;
        }
    }

    fn take(&mut self, event: &Event<'_>, json: &mut Vec<u8>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.start(start, json),
            Event::End(end) => self.close(&local_name(end.name().as_ref())?, json),
            Event::Text(text) => self.text(utf8(text)?),
            Event::CData(text) => self.text(utf8(text)?),
            Event::GeneralRef(reference) => self.text(&element::referred(utf8(reference)?)?),
            // A declaration, a comment, an instruction, the type of the document.
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, json: &mut Vec<u8>) -> Result<(), String> {
        let name = local_name(start.name().as_ref())?;
        let attributes = attributes(start)?;
        if self.around.len() + self.record.len() >= DEPTH {
            return Err(format!("its elements lie more than {DEPTH} deep"));
        }
        if !self.record.is_empty() {
            return self.open(Element::new(name, attributes));
        }
        if self.around.is_empty() && std::mem::replace(&mut self.has_root, true) {
            return Err("there is something behind its end".to_owned());
        }
        if self.is_record(&name) {
            self.begin_record(&name, json);
            return self.open(Element::new(name, attributes));
        }
        self.member(&name, json);
        self.around.push(Around {
            name,
            ..Around::default()
        });
        for (name, value) in attributes {
            self.member(&name, json);
            write_text(&value, json);
        }
        Ok(())
    }

    /// Whether an element of that name, where it stands now, is a record: the whole document where no path leads to one.
    fn is_record(&self, name: &str) -> bool {
        let Some((last, before)) = self.path.split_last() else {
            return true;
        };
        let leads = |segment: &String, name: &str| segment == name || segment == EACH;
        let mut around = self.around.iter().zip(before);
        leads(last, name)
            && self.around.len() == before.len()
            && around.all(|(around, segment)| leads(segment, &around.name))
    }

    fn open(&mut self, element: Element) -> Result<(), String> {
        self.weigh(element.bytes())?;
        self.record.push(element);
        Ok(())
    }

    fn weigh(&mut self, bytes: usize) -> Result<(), String> {
        self.record_bytes += bytes;
        if self.record_bytes > LARGEST {
            return Err("it has a record larger than 64 MiB".to_owned());
        }
        Ok(())
    }

    fn begin_record(&mut self, name: &str, json: &mut Vec<u8>) {
        if self.around.last().is_some_and(|around| around.in_list) {
            json.push(b',');
            return;
        }
        self.member(name, json);
        if !self.path.is_empty() {
            json.push(b'[');
        }
        if let Some(around) = self.around.last_mut() {
            around.in_list = true;
        } else if !self.path.is_empty() {
            // The root is the only record of its list.
            self.around.push(Around {
                in_list: true,
                is_object: true,
                ..Around::default()
            });
        }
    }

    /// A member of the innermost element around the records begins.
    fn member(&mut self, name: &str, json: &mut Vec<u8>) {
        let Some(around) = self.around.last_mut() else {
            json.push(b'{');
            write_text(name, json);
            json.push(b':');
            return;
        };
        if std::mem::take(&mut around.in_list) {
            json.push(b']');
        }
        if !around.is_object {
            json.push(b'{');
            around.is_object = true;
        }
        if std::mem::replace(&mut around.has_member, true) {
            json.push(b',');
        }
        write_text(name, json);
        json.push(b':');
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(element) = self.record.last_mut() {
            element.text.push_str(text);
            return self.weigh(text.len());
        }
        match self.around.last_mut() {
            Some(around) => {
                // Of what lies around the records little is wanted, and no text is that long.
                if around.text.len() + text.len() <= LONGEST {
                    around.text.push_str(text);
                }
                Ok(())
            }
            None if text.trim().trim_start_matches('\u{feff}').is_empty() => Ok(()),
            None => Err("there is text outside of its root".to_owned()),
        }
    }

    fn close(&mut self, name: &str, json: &mut Vec<u8>) -> Result<(), String> {
        let open = match self.record.last() {
            Some(element) => &element.name,
            None => match self.around.last() {
                Some(around) => &around.name,
                None => return Err(format!("`{name}` ends and never began")),
            },
        };
        if open != name {
            return Err(format!("`{open}` is open, and `{name}` ends"));
        }
        if let Some(element) = self.record.pop() {
            self.close_element(element, json);
            return Ok(());
        }
        let Some(around) = self.around.pop() else {
            return Ok(());
        };
        if around.in_list {
            json.push(b']');
        }
        let text = around.text.trim();
        if around.is_object {
            if !text.is_empty() {
                json.extend_from_slice(b",\"#text\":");
                write_text(text, json);
            }
            json.push(b'}');
        } else if text.is_empty() {
            json.extend_from_slice(b"null");
        } else {
            write_text(text, json);
        }
        if self.around.is_empty() {
            json.push(b'}');
        }
        Ok(())
    }

    fn close_element(&mut self, element: Element, json: &mut Vec<u8>) {
        let names: Vec<&str> = self.record.iter().skip(1).map(|open| &*open.name).collect();
        let is_list = self.lists.iter().any(|list| {
            list.split_last()
                .is_some_and(|(last, before)| last == &element.name && before.iter().eq(&names))
        });
        let (name, value) = element.into_value();
        if let Some(parent) = self.record.last_mut() {
            parent.add(name, value, is_list);
            return;
        }
        self.record_bytes = 0;
        write_value(&value, json);
        if self.path.is_empty() {
            json.push(b'}');
        } else if self.around.len() == 1 && self.around[0].name.is_empty() {
            self.around.clear();
            json.extend_from_slice(b"]}");
        }
    }
}

fn write_value(value: &Value, json: &mut Vec<u8>) {
    // `Value` writes itself as JSON.
    json.extend_from_slice(value.to_string().as_bytes());
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn not_xml(at: u64, what: &str) -> Unread {
    Unread::malformed(at, format!("it is not XML: {what}"))
}
