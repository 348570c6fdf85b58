//! Forms that several kinds share.

use crate::definition::yaml::AS_WRITTEN;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A short form, which is text, or the full one, which is a mapping.
#[derive(Clone, Debug)]
pub(crate) enum TextOr<S, T> {
    Text(S),
    Full(T),
}

impl<'de, S: From<String>, T: Deserialize<'de>> Deserialize<'de> for TextOr<S, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<S, T>(PhantomData<(S, T)>);

        impl<'de, S: From<String>, T: Deserialize<'de>> Visitor<'de> for Either<S, T> {
            type Value = TextOr<S, T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a mapping")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(S::from(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Full)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<S: JsonSchema, T: JsonSchema> JsonSchema for TextOr<S, T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<S>(), generator.subschema_for::<T>()] })
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<S>(pub(crate) Vec<S>);

impl<'de, S: From<String>> Deserialize<'de> for OneOrMany<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<S>(PhantomData<S>);

        impl<'de, S: From<String>> Visitor<'de> for Either<S> {
            type Value = OneOrMany<S>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany(vec![S::from(text.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    texts.push(S::from(text));
                }
                Ok(OneOrMany(texts))
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<S: JsonSchema> JsonSchema for OneOrMany<S> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", S::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<S>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// Text, a number, `true` or `false`, with the letters as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsWritten(pub(crate) String);

impl<'de> Deserialize<'de> for AsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = AsWritten;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text, a number, or true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<AsWritten, E> {
                Ok(AsWritten(text.to_owned()))
            }
        }

        deserializer.deserialize_newtype_struct(AS_WRITTEN, Text)
    }
}

impl JsonSchema for AsWritten {
    fn schema_name() -> Cow<'static, str> {
        "AsWritten".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A secret's place, by name: `aws::secret/millrace/crm`, or `aws::secret/millrace/crm#token` for one field of a secret
/// that holds a JSON object. The secret itself never stands in a definition.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("pattern" = r"^aws::secret/[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?$"))]
#[schemars(example = &"aws::secret/millrace/crm")]
pub(crate) struct SecretName(pub(crate) String);

/// A duration: a whole number and its unit, `100ms`, `30s`, `1m`, `1h` or `1d`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("pattern" = r"^[0-9]+(ms|s|m|h|d)$"), example = &"30s")]
pub(crate) struct DurationText(pub(crate) String);
