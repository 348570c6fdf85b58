//! One element of a record.

use quick_xml::events::BytesStart;
use serde_json::{Map, Value};

/// An element that is open.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    members: Map<String, Value>,
    is_nil: bool,
}

impl Element {
    pub(super) fn new(name: String, attributes: Vec<(String, String)>) -> Self {
        let is_nil = |(name, value): &(String, String)| name == "@nil" && value == "true";
        let attributes_without_nil = |attribute: &(String, String)| attribute.0 != "@nil";
        Self {
            name,
            text: String::new(),
            is_nil: attributes.iter().any(is_nil),
            members: attributes
                .into_iter()
                .filter(attributes_without_nil)
                .map(|(name, value)| (name, Value::String(value)))
                .collect(),
        }
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let member = |(name, value): (&String, &Value)| {
            name.len() + value.as_str().map_or(0, str::len) + size_of::<Value>()
        };
        size_of::<Self>() + self.name.len() + self.members.iter().map(member).sum::<usize>()
    }

    /// Adds an element that lies in it. Several of one name become a list, and one does that is said to be one.
    pub(super) fn add(&mut self, name: String, value: Value, is_list: bool) {
        match self.members.get_mut(&name) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => {
                let first = std::mem::replace(first, Value::Null);
                self.members.insert(name, Value::Array(vec![first, value]));
            }
            None if is_list => {
                self.members.insert(name, Value::Array(vec![value]));
            }
            None => {
                self.members.insert(name, value);
            }
        }
    }

    /// Its name, and what it becomes: its text where it has nothing else, nothing where it is empty.
    pub(super) fn into_value(mut self) -> (String, Value) {
        let text = self.text.trim();
        let value = if self.is_nil {
            Value::Null
        } else if self.members.is_empty() {
            match text {
                "" => Value::Null,
                text => Value::String(text.to_owned()),
            }
        } else {
            if !text.is_empty() {
                self.members
                    .insert("#text".to_owned(), Value::String(text.to_owned()));
            }
            Value::Object(self.members)
        };
        (self.name, value)
    }
}

/// A name without the prefix of its namespace.
pub(super) fn local_name(name: &[u8]) -> Result<String, String> {
    let name = super::utf8(name)?;
    Ok(name.rsplit(':').next().unwrap_or(name).to_owned())
}

/// The attributes of an element, `@` before their names; those that declare namespaces are left out.
pub(super) fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = super::utf8(attribute.key.as_ref())?;
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let name = format!("@{}", name.rsplit(':').next().unwrap_or(name));
        let value = unescaped(super::utf8(&attribute.value)?)?;
        attributes.push((name, value));
    }
    Ok(attributes)
}

/// The value of an attribute, with what its entities stand for.
fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('&') {
        text.push_str(before);
        let (reference, behind) = behind
            .split_once(';')
            .ok_or_else(|| "an `&` stands for nothing".to_owned())?;
        text.push_str(&referred(reference)?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// What the entity of that name stands for: one of XML's own five, or a character by its number.
pub(super) fn referred(name: &str) -> Result<String, String> {
    let known = match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => name.strip_prefix('#').and_then(|number| {
            let point = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => number.parse().ok(),
            };
            point.and_then(char::from_u32)
        }),
    };
    known.map(String::from).ok_or_else(|| {
        let name: String = name.chars().take(40).collect();
        format!("it has no entity `&{name};`: only XML's own are read")
    })
}
