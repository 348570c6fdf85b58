//! What becomes of the objects and lists within records.

use super::FieldPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of objects and lists of which nothing is declared by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nesting {
    /// Objects.
    pub objects: OnObject,
    /// Lists.
    pub lists: OnList,
    /// What stands between the names of a flattened path in a column's name.
    pub separator: String,
}

impl Default for Nesting {
    fn default() -> Self {
        Self {
            objects: OnObject::default(),
            lists: OnList::default(),
            separator: "_".to_owned(),
        }
    }
}

impl Nesting {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The name of the column that a field becomes where none is declared.
    pub fn column_name(&self, path: &FieldPath) -> String {
        path.column_name_by(&self.separator)
    }
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnObject {
    /// Its fields become columns of their own.
    #[default]
    Flatten,
    /// It stays one value, a struct.
    Keep,
    /// Its JSON text.
    Json,
}

/// What becomes of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnList {
    /// Its elements become the rows of a child table.
    #[default]
    Table,
    /// It stays one value, a list.
    Keep,
    /// Its JSON text.
    Json,
}

/// As what a field is kept that has more than one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// An object.
    Struct,
    /// A list; a value that is none is a list of one.
    List,
}
