//! Tree → wire type, through serde. A fault does not end the reading: it is reported, the tree is repaired as its author
//! most likely meant it, and the reading starts again, so that all faults of a file come out at once.

use super::{Entry, Node, Scalar, Value};
use crate::definition::problem::{Path, Report, Step, nearest, one_of};
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::fmt;

/// The newtype by whose name a wire type asks for a scalar's text as it is written: `1.10`, not 1.1.
pub(crate) const AS_WRITTEN: &str = "$as_written";

/// How many problems of one file are told.
const MAX_PROBLEMS: usize = 50;

/// The wire value; none where the tree has faults that leave no sound one. Misspelt fields are reported and then read as
/// the known field that is nearest.
pub(crate) fn read<T: DeserializeOwned>(root: &mut Node, report: &mut Report<'_>) -> Option<T> {
    let mut sound = true;
    // Each round repairs one fault; a fault of a fault's making is repaired without a problem, hence the second bound.
    for _ in 0..MAX_PROBLEMS * 40 {
        match T::deserialize(Reader { node: root }) {
            Ok(value) => return sound.then_some(value),
            Err(fault) => sound &= repair(root, fault, report),
        }
        if report.len() >= MAX_PROBLEMS || root.value == Value::Broken {
            return None;
        }
    }
    None
}

/// Reports the fault and repairs the tree. Says whether what is left is still what the author meant.
fn repair(root: &mut Node, mut fault: Fault, report: &mut Report<'_>) -> bool {
    fault.path.reverse();
    let path = Path(fault.path);
    match fault.kind {
        Kind::UnknownField { name, known } => {
            let at = path.field(&name);
            let line = root.line_of(&at);
            let Some(Value::Map(entries)) = root.at_mut(&path.0).map(|node| &mut node.value) else {
                return false;
            };
            let present: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            let Some(entry) = entries.iter_mut().find(|entry| entry.key == name) else {
                return false;
            };
            match nearest(&name, known.iter().copied()) {
                Some(meant) => {
                    report.at(
                        Some(line),
                        &at,
                        format!("unknown field; did you mean `{meant}`?"),
                    );
                    if present.iter().any(|key| key == meant) {
                        entry.node.value = Value::Broken;
                    } else {
                        meant.clone_into(&mut entry.key);
                    }
                }
                None => {
                    entry.node.value = Value::Broken;
                    let known = one_of(known.iter().copied());
                    report.at(
                        Some(line),
                        &at,
                        format!("unknown field; what may stand here is {known}"),
                    );
                }
            }
            true
        }
        Kind::UnknownValue { known, meant } => {
            let hint = meant
                .map(|meant| format!("; did you mean `{meant}`?"))
                .unwrap_or_default();
            let message = format!("{} is expected{hint}", one_of(known.iter().copied()));
            report.at(Some(root.line_of(&path)), &path, message);
            match (root.at_mut(&path.0), meant) {
                (Some(node), Some(meant)) => {
                    node.value = Value::Scalar {
                        text: meant.to_owned(),
                        plain: false,
                    };
                    true
                }
                (node, _) => {
                    break_off(node);
                    false
                }
            }
        }
        Kind::Missing(name) => {
            let at = path.field(name);
            let line = root.line_of(&path);
            let node = root.at_mut(&path.0);
            // A field that was there, and broken, has its problem already.
            let reported = matches!(node.as_deref(), Some(Node { value: Value::Map(entries), .. })
                if entries.iter().any(|entry| entry.key == name));
            if !reported {
                report.at(Some(line), &at, "this field is missing");
            }
            break_off(node);
            false
        }
        Kind::Other(message) => {
            report.at(Some(root.line_of(&path)), &path, message);
            break_off(root.at_mut(&path.0));
            false
        }
    }
}

fn break_off(node: Option<&mut Node>) {
    if let Some(node) = node {
        node.value = Value::Broken;
    }
}

/// Why a wire type can't be read of a node.
#[derive(Debug)]
struct Fault {
    /// Innermost step first: the steps are added on the way out.
    path: Vec<Step>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    UnknownField {
        name: String,
        known: &'static [&'static str],
    },
    UnknownValue {
        known: &'static [&'static str],
        meant: Option<&'static str>,
    },
    Missing(&'static str),
    Other(String),
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self {
            path: Vec::new(),
            kind,
        }
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    // The value itself is never repeated: it may be a secret that was written where its name belongs.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Other(format!("{expected} is expected")))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Other(format!("{expected} is expected")))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField {
            name: name.to_owned(),
            known,
        })
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownValue {
            known,
            meant: nearest(name, known.iter().copied()),
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::Missing(name))
    }
}

/// One node, as serde reads it.
#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
}

impl Reader<'_> {
    /// That something else is expected than what is there.
    fn expected(self, what: &str) -> Fault {
        let found = match (&self.node.value, self.node.scalar()) {
            (Value::List(_), _) => "a list",
            (Value::Map(_), _) => "a mapping",
            (_, Some(Scalar::Null)) => "nothing",
            (_, Some(Scalar::Bool(_))) => "true or false",
            (_, Some(Scalar::Int(_) | Scalar::Float(_))) => "a number",
            _ => "text",
        };
        let quotes = match (what, self.node.scalar()) {
            ("text", Some(Scalar::Bool(_) | Scalar::Int(_) | Scalar::Float(_))) => {
                "; put it in quotes"
            }
            _ => "",
        };
        Fault::new(Kind::Other(format!(
            "{what} is expected, not {found}{quotes}"
        )))
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.node.scalar() {
                Some(Scalar::Int(number)) => visitor
                    .visit_i64(number)
                    .map_err(|_: Fault| self.expected("a whole number that is neither negative nor too large")),
                _ => Err(self.expected("a whole number")),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            _ => match self.node.scalar() {
                None | Some(Scalar::Null) => visitor.visit_unit(),
                Some(Scalar::Bool(value)) => visitor.visit_bool(value),
                Some(Scalar::Int(value)) => visitor.visit_i64(value),
                Some(Scalar::Float(value)) => visitor.visit_f64(value),
                Some(Scalar::Text(value)) => visitor.visit_borrowed_str(value),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.scalar() {
            Some(Scalar::Bool(value)) => visitor.visit_bool(value),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.scalar() {
            Some(Scalar::Float(value)) => visitor.visit_f64(value),
            Some(Scalar::Int(value)) => visitor.visit_i64(value),
            _ => Err(self.expected("a number")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.scalar() {
            Some(Scalar::Text(text)) => visitor.visit_borrowed_str(text),
            _ => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.scalar() {
            Some(Scalar::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.scalar() {
            Some(Scalar::Null) => visitor.visit_unit(),
            _ => Err(self.expected("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name != AS_WRITTEN {
            return visitor.visit_newtype_struct(self);
        }
        match (&self.node.value, self.node.scalar()) {
            (_, Some(Scalar::Null)) => Err(self.expected("text, a number, or true or false")),
            (Value::Scalar { text, .. }, _) => visitor.visit_borrowed_str(text),
            _ => Err(self.expected("text, a number, or true or false")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(items) if items.len() == length => self.deserialize_seq(visitor),
            _ => Err(self.expected(&format!("a list of {length}"))),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Fields {
                entries: entries.iter(),
                entry: None,
            }),
            _ => Err(self.expected("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(entries) => {
                let mut sound = entries
                    .iter()
                    .filter(|entry| entry.node.value != Value::Broken);
                match (sound.next(), sound.next()) {
                    (Some(entry), None) => visitor.visit_enum(Variant { entry, known }),
                    _ => Err(self.expected(&format!("one of {}", one_of(known.iter().copied())))),
                }
            }
            Value::Scalar { text, .. } => visitor.visit_enum(Name { text }),
            _ => Err(self.expected(&one_of(known.iter().copied()))),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// A list's elements; broken ones are passed over.
struct Items<'n> {
    items: &'n [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        while let Some(node) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            if node.value != Value::Broken {
                let element = seed.deserialize(Reader { node });
                return element
                    .map(Some)
                    .map_err(|fault| fault.within(Step::Index(index)));
            }
        }
        Ok(None)
    }
}

/// A mapping's entries; broken ones are passed over.
struct Fields<'n> {
    entries: std::slice::Iter<'n, Entry>,
    entry: Option<&'n Entry>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.entry = self.entries.find(|entry| entry.node.value != Value::Broken);
        let Some(entry) = self.entry else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match self.entry {
            Some(Entry { key, node, .. }) => seed
                .deserialize(Reader { node })
                .map_err(|fault| fault.within(Step::Field(key.clone()))),
            None => Err(serde::de::Error::custom("a value without a field")),
        }
    }
}

/// `none`: an enum's variant that stands alone.
struct Name<'n> {
    text: &'n str,
}

impl<'de> EnumAccess<'de> for Name<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<'_, Fault> = self.text.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl Name<'_> {
    fn lacks_fields(&self) -> Fault {
        let message = format!(
            "`{0}` has fields of its own: write `{0}: {{ … }}`",
            self.text
        );
        Fault::new(Kind::Other(message))
    }
}

impl<'de> VariantAccess<'de> for Name<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(self.lacks_fields())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(self.lacks_fields())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        Err(self.lacks_fields())
    }
}

/// `offset: { … }`: an enum's variant that has content.
struct Variant<'n> {
    entry: &'n Entry,
    known: &'static [&'static str],
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StringDeserializer<Fault> = self.entry.key.clone().into_deserializer();
        // Here the variant's name stands where a field's name does, so it is reported as one.
        let variant = seed.deserialize(name).map_err(|_| {
            Fault::new(Kind::UnknownField {
                name: self.entry.key.clone(),
                known: self.known,
            })
        })?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let message = format!(
            "`{}` stands alone, as text, without fields of its own",
            self.entry.key
        );
        Err(Fault::new(Kind::Other(message)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(Reader {
            node: &self.entry.node,
        })
        .map_err(|fault| fault.within(Step::Field(self.entry.key.clone())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        Reader {
            node: &self.entry.node,
        }
        .deserialize_tuple(length, visitor)
        .map_err(|fault| fault.within(Step::Field(self.entry.key.clone())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        Reader {
            node: &self.entry.node,
        }
        .deserialize_map(visitor)
        .map_err(|fault| fault.within(Step::Field(self.entry.key.clone())))
    }
}
