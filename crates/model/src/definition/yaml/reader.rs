//! A node of the tree as serde's deserializer.

use super::fault::{Fault, Kind};
use super::{Entry, Node, Scalar, Value};
use crate::definition::problem::{Step, one_of};
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// The newtype by whose name a wire type asks for a scalar's text as it is written: `1.10`, not 1.1.
pub(crate) const AS_WRITTEN: &str = "$as_written";

/// One node, as serde reads it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'n> {
    pub(super) node: &'n Node,
}

impl Reader<'_> {
    /// Whether the node stands in for one that is missing, and is whatever is asked for.
    fn is_hole(self) -> bool {
        self.node.value == Value::Hole
    }

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
                _ if self.is_hole() => visitor.visit_i64(1),
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
            _ if self.is_hole() => visitor.visit_bool(false),
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
            _ if self.is_hole() => visitor.visit_i64(1),
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
            _ if self.is_hole() => visitor.visit_borrowed_str(""),
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
            Value::Hole => visitor.visit_seq(Items {
                items: &[],
                next: 0,
            }),
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
        let entries = match &self.node.value {
            Value::Map(entries) => entries.iter(),
            Value::Hole => [].iter(),
            _ => return Err(self.expected("a mapping")),
        };
        visitor.visit_map(Fields {
            entries,
            entry: None,
        })
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
                    (None, _) if !entries.is_empty() => Err(Fault::new(Kind::Consequence)),
                    _ => Err(self.expected(&format!("one of {}", one_of(known.iter().copied())))),
                }
            }
            Value::Scalar { text, .. } => visitor.visit_enum(Name { text }),
            Value::Hole => visitor.visit_enum(Name {
                text: known.first().copied().unwrap_or_default(),
            }),
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
            "`{0}` does not stand alone: write `{{ {0}: … }}`",
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
