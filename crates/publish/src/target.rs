//! What is published where: the definition and the Delta table, brought together.

use crate::column::{Column, PgType};
use crate::note::Note;
use crate::recent::Cut;
use arrow::datatypes::Schema;
use millrace_lake::Table;
use millrace_model::definition::pipeline::{Recent, WriteMode};
use millrace_model::definition::rows::Rows;
use millrace_model::definition::{Datasource, Pinned};
use millrace_model::digest::Digest;
use millrace_model::ledger::RunId;
use millrace_model::query::{IndexNeed, index_needs};
use millrace_model::{Failure, FailureName, keys};
use millrace_postgres::sql::{identifier, qualified};

/// A relation to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The PostgreSQL schema.
    pub schema: String,
    /// The PostgreSQL table.
    pub relation: String,
    /// The key of the Delta table in the lake.
    pub source: String,
    /// What becomes of the rows that are there already.
    pub write: WriteMode,
    /// The columns that name a row; empty where none are known to.
    pub key: Vec<String>,
    /// What people are told about it.
    pub comment: String,
    /// The indexes that endpoints need.
    pub indexes: Vec<IndexNeed>,
    /// Which rows are kept; all of them where this is none.
    pub recent: Option<Recent>,
    json: Vec<String>,
}

impl Target {
    /// What the definition that a run pinned says about `schema.table`.
    pub fn of(pinned: &Pinned, name: &str) -> Result<Self, Failure> {
        let pipeline = &pinned.pipeline;
        let bad = |text: String| Failure::new(FailureName::BadDefinition, text);
        let publish = pipeline
            .published(Datasource::OperationalStore, name)
            .ok_or_else(|| {
                bad(format!(
                    "the pipeline `{}` publishes nothing as `{name}`: correct `publish`",
                    pipeline.name
                ))
            })?;
        let Rows { write, key, json } = pipeline.rows(&publish.table).ok_or_else(|| {
            bad(format!(
                "the pipeline `{}` has no table `{}`: correct `publish`",
                pipeline.name, publish.table
            ))
        })?;
        Ok(Self {
            schema: publish.schema.clone(),
            relation: publish.relation.clone(),
            source: keys::table(&pipeline.name, &publish.table),
            write,
            key,
            comment: format!(
                "{} (Millrace: table {} of the pipeline {})",
                pipeline.description, publish.table, pipeline.name
            ),
            indexes: index_needs(&pinned.endpoints, &publish.schema, &publish.relation)
                .map_err(bad)?,
            recent: publish.recent.clone(),
            json,
        })
    }

    /// Its name, quoted.
    pub fn quoted(&self) -> String {
        qualified(&self.schema, &self.relation)
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        format!("{}.{}", self.schema, self.relation)
    }

    /// A name of the same schema that nothing else has, quoted: what is made before it takes the relation's place.
    pub fn staging(&self) -> String {
        qualified(
            &self.schema,
            &format!("millrace_new_{}", &Digest::of([&self.relation]).hex()[..16]),
        )
    }

    /// The name of its primary key.
    pub fn primary_key(&self) -> String {
        format!("millrace_pk_{}", &Digest::of([&self.relation]).hex()[..16])
    }

    /// The columns that the Delta table's become.
    pub fn columns(&self, schema: &Schema) -> Result<Vec<Column>, Failure> {
        let columns = Column::all(schema, &|name| self.json.iter().any(|json| json == name))?;
        if let Some(missing) = self
            .key
            .iter()
            .find(|key| columns.iter().all(|column| column.name != **key))
        {
            let text = format!(
                "the table {} has no column `{missing}`, which its `key` names",
                self.source
            );
            return Err(Failure::new(FailureName::BadDefinition, text));
        }
        Ok(columns)
    }

    /// What is to be noted of a relation that has all rows of a table.
    pub fn note(&self, table: &Table, columns: &[Column]) -> Note {
        Note {
            source: self.source.clone(),
            version: table.version(),
            files: fingerprint(table),
            layout: self.layout(columns),
            recent: None,
        }
    }

    /// Where the rows begin that are kept, if not all are.
    pub fn cut(
        &self,
        columns: &[Column],
        run: &RunId,
        before: Option<&Note>,
    ) -> Result<Option<Cut>, Failure> {
        let before = before.and_then(|note| note.recent.as_ref());
        let cut = |recent| Cut::new(recent, columns, &self.key, run, before);
        let cut = self.recent.as_ref().map(cut).transpose();
        cut.map_err(|failure| {
            Failure::new(
                failure.name,
                format!("{}: {}", self.name(), failure.message),
            )
        })
    }

    /// A digest of what a relation is made of: where it differs, the relation is made anew.
    fn layout(&self, columns: &[Column]) -> String {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.kind))
            .collect();
        let (columns, key) = (columns.join(","), self.key.join(","));
        match &self.recent {
            None => Digest::of([&columns, &key]).hex(),
            // Rows that were left out for one reason are missing for another.
            Some(recent) => Digest::of([&columns, &key, &recent.by]).hex(),
        }
    }

    /// The condition under which a row that is there is not the one that comes.
    pub fn differs(&self, columns: &[Column]) -> Option<String> {
        let rest: Vec<&Column> = columns
            .iter()
            .filter(|column| !self.key.contains(&column.name))
            .collect();
        let row = |table: &str| {
            let values: Vec<String> = rest
                .iter()
                .map(|column| {
                    // JSON cannot be compared, but its text can.
                    let cast = if column.kind == PgType::Json {
                        "::text"
                    } else {
                        ""
                    };
                    format!("{table}.{}{cast}", column.quoted())
                })
                .collect();
            format!("({})", values.join(", "))
        };
        (!rest.is_empty())
            .then(|| format!("{} IS DISTINCT FROM {}", row("present"), row("EXCLUDED")))
    }

    /// The key's columns, quoted, with commas between.
    pub fn quoted_key(&self) -> String {
        self.key
            .iter()
            .map(|name| identifier(name))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// What tells one content of a table from another: the names of its files, which are never used twice.
pub fn fingerprint(table: &Table) -> String {
    let mut paths: Vec<String> = table.files().into_iter().map(|file| file.path).collect();
    paths.sort_unstable();
    Digest::of(paths).hex()
}
