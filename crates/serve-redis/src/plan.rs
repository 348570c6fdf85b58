//! What is known of the rows that a route looks up.

use millrace_model::definition::endpoint::ParamType;
use millrace_redis::{ColumnType, Published};
use millrace_serve::source::{self, Column, Digits, Kind, Served};

/// How a route's rows lie in Redis.
#[derive(Debug)]
pub struct Plan {
    /// The version that was published, and how it lies there.
    pub published: Published,
    /// The columns of the answer.
    columns: Vec<Column>,
    /// Of each of them, what its values are.
    pub kinds: Vec<ColumnType>,
}

impl source::Plan for Plan {
    fn columns(&self) -> &[Column] {
        &self.columns
    }
}

impl Plan {
    /// The plan of a route. An error says which columns the table does not have.
    pub fn make(published: Published, route: &Served) -> Result<Self, String> {
        let all = &published.layout.columns;
        let wanted = route.route.lookup.as_ref().map(|it| it.columns.as_slice());
        let found: Vec<&millrace_redis::Column> = match wanted.unwrap_or_default() {
            [] => all.iter().collect(),
            wanted => {
                let find = |name: &String| {
                    let found = all.iter().find(|column| column.name == *name);
                    found.ok_or_else(|| {
                        let there: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
                        format!(
                            "`columns` names `{name}`, which the published table does not have: it has {}",
                            there.join(", ")
                        )
                    })
                };
                wanted.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        let columns = found.iter().map(|it| Column::new(&it.name, kind(it.kind)));
        Ok(Self {
            columns: columns.collect(),
            kinds: found.iter().map(|it| it.kind).collect(),
            published,
        })
    }

    /// What the values of a column of the key are.
    pub fn kind(&self, name: &str) -> Option<ColumnType> {
        let mut columns = self.published.layout.columns.iter();
        columns.find(|column| column.name == name).map(|it| it.kind)
    }

    /// What is wrong with a route over these rows.
    pub fn check(&self, route: &Served) -> Result<(), String> {
        let definition = &route.route;
        let masked = definition.mask.keys().map(|column| ("mask", column));
        let chosen = definition.fields.iter().map(|column| ("fields", column));
        for (field, column) in masked.chain(chosen) {
            if self.columns.iter().all(|known| known.name != *column) {
                return Err(format!(
                    "`{field}` names `{column}`, which is no column of the answer"
                ));
            }
        }
        for param in &definition.params {
            if let Some(kind) = self.kind(&param.name)
                && !fits(param.kind, kind)
            {
                return Err(format!(
                    "no key has what the parameter `{}` says: it is `{}`, and the column is {}",
                    param.name,
                    format!("{:?}", param.kind).to_lowercase(),
                    named(kind)
                ));
            }
        }
        Ok(())
    }
}

/// Whether values of a parameter can be those of a column.
fn fits(param: ParamType, column: ColumnType) -> bool {
    match column {
        ColumnType::Text => true,
        ColumnType::Int => matches!(
            param,
            ParamType::Int | ParamType::String | ParamType::Decimal
        ),
        ColumnType::Decimal { .. } => {
            matches!(
                param,
                ParamType::Int | ParamType::String | ParamType::Decimal
            )
        }
        ColumnType::Bool => matches!(param, ParamType::Bool | ParamType::String),
        ColumnType::Date => matches!(param, ParamType::Date | ParamType::String),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            matches!(param, ParamType::Timestamp | ParamType::String)
        }
        ColumnType::Json | ColumnType::Double | ColumnType::Bytes => false,
    }
}

fn named(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Json => "JSON",
        ColumnType::Int => "a whole number",
        ColumnType::Double => "a number",
        ColumnType::Decimal { .. } => "a decimal number",
        ColumnType::Bool => "true or false",
        ColumnType::Date => "a day",
        ColumnType::Timestamp | ColumnType::LocalTimestamp => "a moment",
        ColumnType::Bytes => "bytes",
    }
}

fn kind(of: ColumnType) -> Kind {
    match of {
        ColumnType::Text => Kind::Text,
        ColumnType::Json => Kind::Json,
        ColumnType::Int => Kind::Int64,
        ColumnType::Double => Kind::Double,
        ColumnType::Decimal { precision, scale } => {
            Kind::Decimal(Some(Digits { precision, scale }))
        }
        ColumnType::Bool => Kind::Bool,
        ColumnType::Date => Kind::Date,
        ColumnType::Timestamp => Kind::Timestamp,
        ColumnType::LocalTimestamp => Kind::LocalTimestamp,
        ColumnType::Bytes => Kind::Bytes,
    }
}
