//! A pipeline: what is pulled, what it becomes, where it goes.

use super::answer::AnswerRule;
pub use super::expectation::{Expectation, Otherwise, RowCount, Rule};
use super::format::Format;
pub use super::model::{Model, TableName};
pub use super::nesting::{Keep, Nesting, OnList, OnObject};
pub use super::paginate::{End, Paginate, Token};
use super::personal_data::PersonalData;
pub use super::publish::{DocumentForm, Documents, Publish, Recent};
pub use super::request::{Body, Method, Report, RequestForm, SideRequest, Slices, Windows};
use super::{Datasource, FieldPath, millis};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is pulled, what it becomes, where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its name, which is the file's name as well: at most 48 of `a-z`, `0-9`, `_` and `-`, a letter first.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// When it runs by itself; none where only callers start it.
    pub schedule: Option<Schedule>,
    /// What happens when it is started while it runs.
    pub concurrency: Concurrency,
    /// Values that templates of its resources see as `config`.
    #[serde(default)]
    pub config: BTreeMap<String, serde_json::Value>,
    /// What is pulled; a parent stands before its children.
    pub resources: Vec<Resource>,
    /// What it becomes.
    pub tables: Vec<Table>,
    /// What is made of tables; what another one reads stands before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Where it goes.
    pub publish: Vec<Publish>,
}

impl Pipeline {
    /// The resource of that name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Its models in levels, to be made one after the other: none reads one of its own level or of a later one.
    pub fn levels(&self) -> Vec<Vec<&Model>> {
        let mut levels: Vec<Vec<&Model>> = Vec::new();
        let mut level_of: BTreeMap<&str, usize> = BTreeMap::new();
        // Each stands behind those that it reads.
        for model in &self.models {
            let own = model.reads.iter().filter(|read| read.pipeline == self.name);
            let below = own.filter_map(|read| level_of.get(read.table.as_str()));
            let level = below.max().map_or(0, |below| below + 1);
            level_of.insert(&model.name, level);
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            levels[level].push(model);
        }
        levels
    }

    /// What is published under that `schema.table` to a store.
    pub fn published(&self, to: Datasource, target: &str) -> Option<&Publish> {
        let mut publishes = self.published_to(to);
        publishes.find(|publish| publish.target() == target)
    }

    /// What steps copy, each in one of its own: all that is published, but for what the lake has already.
    pub fn copied(&self) -> impl Iterator<Item = &Publish> {
        self.publish
            .iter()
            .filter(|publish| publish.to != Datasource::Lake)
    }

    /// What the step of that name publishes.
    pub fn publish_step(&self, name: &str) -> Option<&Publish> {
        self.copied().find(|publish| publish.step() == name)
    }

    /// What is published to a store.
    pub fn published_to(&self, to: Datasource) -> impl Iterator<Item = &Publish> {
        self.publish.iter().filter(move |publish| publish.to == to)
    }
}

/// An expression of EventBridge Scheduler (`rate(1 hour)`, `cron(0 6 * * ? *)`, `at(2026-12-01T06:00:00)`) and the time
/// zone in which it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The expression, as Scheduler reads it.
    pub expression: String,
    /// An IANA name; `UTC` unless said otherwise.
    pub timezone: String,
}

/// What happens when a pipeline is started while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The second start is refused.
    #[default]
    Forbid,
    /// The second run waits for the first one's end.
    Queue,
    /// Both run.
    Allow,
}

/// One list of records behind one path of an API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name within the pipeline.
    pub name: String,
    /// The connection by which it is reached.
    pub connection: String,
    /// Which of the connection's limits are kept; none for those of the connection as a whole.
    #[serde(default)]
    pub rate_scope: Option<String>,
    /// What is appended to the connection's `base_url`.
    pub path: String,
    /// Query parameters of every request.
    pub params: BTreeMap<String, String>,
    /// Headers of every request, beside the connection's.
    pub headers: BTreeMap<String, String>,
    /// How a request is made.
    #[serde(default)]
    pub request: RequestForm,
    /// Into which slices the pull is cut.
    #[serde(default)]
    pub slices: Slices,
    /// What becomes of a slice of which a request is refused for good.
    #[serde(default)]
    pub on_refusal: OnRefusal,
    /// The report that has to be made first, if the source works that way.
    #[serde(default)]
    pub report: Option<Report>,
    /// How the next page is asked for.
    pub paginate: Paginate,
    /// In which form the bodies come.
    #[serde(default)]
    pub format: Format,
    /// Where in the body the list of records is; the empty path where the body itself is the list (or one record). A step
    /// `*` leads to every member and element.
    pub records: FieldPath,
    /// The condition of the records that count, over `record`; none where all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What answers mean where their status does not say it; the first one whose condition holds counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRule>,
    /// How only what changed is asked for; none where every run pulls all.
    pub incremental: Option<Incremental>,
    /// Fields that are about people; none where there are none.
    #[serde(default)]
    pub personal_data: Option<PersonalData>,
    /// The fields that together name a record; may be empty.
    pub key: Vec<FieldPath>,
}

/// What becomes of a slice of which a request is refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRefusal {
    /// The run fails.
    #[default]
    Fail,
    /// The request is kept to be sent again, and the run goes on with the next slice.
    Skip,
}

/// How only what changed since the last run is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incremental {
    /// The field of a record that grows as records change.
    pub field: FieldPath,
    /// The parameter in which the largest value seen so far is sent; none where templates send it as `cursor`, or
    /// windows do.
    pub param: Option<String>,
    /// Where the first run starts.
    pub start: CursorValue,
    /// How far before the largest value a run starts again, for records that arrive late. Timestamps only.
    #[serde(with = "millis")]
    pub lookback: Duration,
    /// The parameter in which is sent until when a run asks; none where it is not sent, or templates send it as `until`.
    #[serde(default)]
    pub end_param: Option<String>,
    /// How far before its beginning a run stops asking, because the source brings out records late. Timestamps only.
    #[serde(default, with = "millis")]
    pub lag: Duration,
    /// The form in which the field has timestamps, where it is the source's own: `%d.%m.%Y %H:%M`.
    #[serde(default)]
    pub read: Option<String>,
    /// The time zone of timestamps that tell none, those that are sent in a form of the source's own included; an IANA
    /// name, `UTC` where there is none.
    #[serde(default)]
    pub timezone: Option<String>,
    /// How a timestamp is written into a request.
    pub send: TimestampForm,
}

/// A value by which a resource's records are ordered in time.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum CursorValue {
    /// Milliseconds since 1970-01-01T00:00:00Z. Read from ISO 8601 text, epoch seconds or epoch milliseconds.
    Timestamp(i64),
    /// A whole number.
    Number(i64),
    /// Text that grows in byte order.
    Text(String),
    /// Where the source says that the next run begins, such as OData's delta link: each takes the place of that before.
    Token(String),
}

impl CursorValue {
    /// The value as a definition or a caller writes it: a time, a whole number, or text. A day alone is its first moment in
    /// UTC.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::Timestamp(time.as_millisecond()));
        }
        // `2026-01-01T00:00:00` names a moment only together with a zone, which must not be guessed.
        if text.len() > 10 && text.parse::<jiff::civil::DateTime>().is_ok() {
            return Err(format!(
                "this time has no zone; write `{text}Z` if it is UTC"
            ));
        }
        let day = text
            .parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| text.len() == 10);
        let midnight = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        Ok(match midnight {
            Some(midnight) => Self::Timestamp(midnight.timestamp().as_millisecond()),
            None => Self::Text(text.to_owned()),
        })
    }
}

/// How a timestamp is written into a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampForm {
    /// `2026-01-01T00:00:00.000Z`
    #[default]
    Iso,
    /// Seconds since 1970.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// A form of the source's own, as `strftime` has it: `%Y-%m-%d %H:%M:%S`.
    Own(String),
}

/// A Delta table made of a resource's records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its name within the pipeline.
    pub name: String,
    /// The resource whose records it holds.
    pub from: String,
    /// What becomes of the rows that it holds already.
    pub write: WriteMode,
    /// The *columns* (after renaming) that together name a row; not empty for `upsert` and `history`.
    pub key: Vec<String>,
    /// The column that tells which of several rows with one key is the last one, whatever the order in which they arrive;
    /// none where the order of arrival tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// How a record says that its row is gone; none where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Delete>,
    /// What may come that the table does not know.
    #[serde(default, skip_serializing_if = "Contract::is_default")]
    pub contract: Contract,
    /// What becomes of objects and lists of which nothing is declared.
    #[serde(default, skip_serializing_if = "Nesting::is_default")]
    pub nesting: Nesting,
    /// Names and types of fields where the inferred ones will not do, by path.
    pub columns: IndexMap<FieldPath, Column>,
    /// What its rows are held to.
    pub expect: Vec<Expectation>,
    /// How long earlier versions of it can be read.
    #[serde(with = "millis", default = "a_week")]
    pub keep_versions: Duration,
}

impl Table {
    /// The name of the column that a record's field becomes.
    pub fn column_name(&self, path: &FieldPath) -> String {
        let declared = self
            .columns
            .get(path)
            .and_then(|column| column.name.clone());
        declared.unwrap_or_else(|| self.nesting.column_name(path))
    }

    /// Whether those columns are its key, in whatever order.
    pub fn is_keyed_by<'c>(&self, columns: impl Iterator<Item = &'c String>) -> bool {
        let columns: BTreeSet<&String> = columns.collect();
        self.key.iter().collect::<BTreeSet<_>>() == columns
    }
}

/// How long earlier versions of a table can be read unless said otherwise.
pub(super) fn a_week() -> Duration {
    Duration::from_hours(7 * 24)
}

/// What becomes of the rows that a table holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// The run's rows take their place.
    Replace,
    /// The run's rows come beside them.
    Append,
    /// The run's rows take the place of those with the same key; of several with one key the last one stays.
    Upsert,
    /// Each version of a row stays, with `valid_from`, `valid_to` and `current`: a slowly changing dimension of type 2.
    History,
}

impl WriteMode {
    /// Whether rows are told apart by their key.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::Upsert | Self::History)
    }
}

/// How a record says that the row of its key is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delete {
    /// A column has a value that is neither `false`, 0, nor empty: `deleted: true`, `deleted_at: 2026-01-01T00:00:00Z`.
    Flag(String),
    /// Nothing but the key has a value.
    Tombstone,
}

/// What may come that a table does not know, once it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Columns.
    #[serde(default)]
    pub columns: OnChange,
    /// Values that their column's type does not hold.
    #[serde(default)]
    pub types: OnChange,
    /// Child tables.
    #[serde(default)]
    pub tables: OnChange,
    /// Answers and records that cannot be read, from the first one on.
    #[serde(default)]
    pub unreadable: OnUnreadable,
}

/// What becomes of an answer or a record that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadable {
    /// The step fails and nothing is written.
    #[default]
    Fail,
    /// It is kept out of the table, with the reason and its place, under `quarantine/`.
    Quarantine,
}

impl Contract {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the form that serde wants"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of something that a table does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// The table takes it in; the step fails where it cannot.
    #[default]
    Evolve,
    /// The step fails and nothing is written.
    Freeze,
    /// The value is left out, the rest of its row is written.
    DiscardColumn,
    /// The row is kept out of the table, with its reason, under `quarantine/`.
    DiscardRow,
}

/// A field's name and type in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name; none for the flattened one (`properties.mag` → `properties_mag`).
    pub name: Option<String>,
    /// The column's type; none for the inferred one.
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    /// As what it is kept, where it is no scalar; its fields and elements have paths, and so declarations, of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// The types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// Whole numbers of 64 bits.
    Int,
    /// Floating-point numbers of 64 bits.
    Double,
    /// Decimal numbers: all digits, and those behind the point.
    Decimal {
        /// All digits, at most 38.
        precision: u8,
        /// Those behind the point.
        scale: i8,
    },
    /// True or false.
    Bool,
    /// A day.
    Date,
    /// A moment, in UTC, to the microsecond; read from ISO 8601 text.
    Timestamp,
    /// A moment, read from seconds since 1970.
    TimestampS,
    /// A moment, read from milliseconds since 1970.
    TimestampMs,
    /// The value's JSON text.
    Json,
}
