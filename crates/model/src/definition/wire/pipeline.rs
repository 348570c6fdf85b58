//! `pipelines/<name>.yaml`.

use super::answer::AnswerForm;
use super::expectation::ExpectationForm;
use super::form::{AsWritten, DurationText, TextOr};
use super::format::{FormatForm, FormatName};
use super::model::ModelForm;
use super::paginate::PaginateForm;
use super::personal_data::PersonalDataForm;
use super::request::{BodyForm, ReportForm, WindowsForm};
use crate::definition::pipeline::{
    Concurrency, DocumentForm, Method, OnChange, OnList, OnObject, OnRefusal, OnUnreadable,
    WriteMode,
};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is pulled, what it becomes, where it goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Millrace pipeline")]
pub(crate) struct PipelineFile {
    /// The pipeline's name: the file's name without `.yaml`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,47}$"), example = &"earthquakes")]
    pub(crate) pipeline: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub(crate) description: String,
    /// When it runs by itself: `rate(1 hour)`, `cron(0 6 * * ? *)` or `at(2026-12-01T06:00:00)`, or the same with its
    /// time zone. Absent where only callers start it.
    pub(crate) schedule: Option<TextOr<Expression, ScheduleForm>>,
    /// What happens when it is started while it runs; `forbid` unless said otherwise.
    #[serde(default)]
    pub(crate) concurrency: Concurrency,
    /// Values that templates of its resources see as `config`.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, serde_json::Value>,
    /// What is pulled; a parent stands before its children.
    #[schemars(length(min = 1))]
    pub(crate) resources: Vec<ResourceForm>,
    /// What it becomes.
    #[serde(default)]
    pub(crate) tables: Vec<TableForm>,
    /// What is made of tables, of other pipelines' too, by SQL.
    #[serde(default)]
    pub(crate) models: Vec<ModelForm>,
    /// Where it goes.
    #[serde(default)]
    pub(crate) publish: Vec<PublishForm>,
}

/// An expression of EventBridge Scheduler: `rate(1 hour)`, `cron(0 6 * * ? *)` or `at(2026-12-01T06:00:00)`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("pattern" = r"^(rate|cron|at)\(.+\)$"))]
#[schemars(example = &"rate(1 hour)", example = &"cron(0 6 * * ? *)")]
pub(crate) struct Expression(pub(crate) String);

impl From<String> for Expression {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// When a pipeline runs, and in which time zone that is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleForm {
    /// The expression.
    pub(crate) expression: Expression,
    /// The time zone's IANA name; `UTC` unless said otherwise.
    #[schemars(example = &"Europe/Berlin")]
    pub(crate) timezone: Option<String>,
}

/// One list of records behind one path of an API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceForm {
    /// Its name within the pipeline.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,47}$"), example = &"quakes")]
    pub(crate) name: String,
    /// The connection by which it is reached: the name of a file in `connections/`.
    #[schemars(example = &"usgs")]
    pub(crate) connection: String,
    /// The part of the API to which it belongs, where that has limits of its own: a name in the connection's
    /// `rate_scopes`.
    #[schemars(example = &"search")]
    pub(crate) rate_scope: Option<String>,
    /// What is appended to the connection's `base_url`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/[^?#\s]*)?$"), example = &"/query")]
    pub(crate) path: String,
    /// A URL in the place of `base_url` and path, absolute or relative to `base_url`. No credential goes to another host.
    pub(crate) url: Option<String>,
    /// `POST` where there is a body, else `GET`.
    pub(crate) method: Option<Method>,
    /// Query parameters of every request.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, AsWritten>,
    /// Headers of every request, beside the connection's.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, AsWritten>,
    /// What is sent as the body.
    pub(crate) body: Option<BodyForm>,
    /// The resource for each of whose records this one is asked for: templates see the record as `parent`.
    #[schemars(example = &"orders")]
    pub(crate) parent: Option<String>,
    /// Lists of values, with each of which this one is asked for: templates see them as `partition`.
    #[serde(default)]
    pub(crate) partitions: IndexMap<String, Vec<serde_json::Value>>,
    /// Windows of time, with each of which this one is asked for: templates see its bounds as `window`.
    pub(crate) windows: Option<WindowsForm>,
    /// What becomes of a slice (of a parent, a partition, a window) of which a request is refused for good: `fail` unless
    /// said otherwise; with `skip` the request is kept under `dead/`, for `millrace retry`, and the run goes on.
    #[serde(default)]
    pub(crate) on_refusal: OnRefusal,
    /// Fields that every record gets beside its own: `{ order_id: parent.id }`.
    #[serde(default)]
    pub(crate) carry: BTreeMap<String, String>,
    /// A report that has to be asked for and waited for first.
    pub(crate) report: Option<ReportForm>,
    /// How the next page is asked for. Absent where the source's first answer shows it.
    pub(crate) paginate: Option<PaginateForm>,
    /// In which form the bodies come: `json`, `json_lines`, `csv` or `xml`. Absent where the answers' media types say it, or
    /// they are JSON. Those packed by gzip or zip are unpacked.
    pub(crate) format: Option<TextOr<FormatName, FormatForm>>,
    /// Where in the body the list of records is: `features`, `data.items`; `shops.*.rows` for those of all shops. Absent
    /// where the body itself is the list.
    #[serde(default)]
    pub(crate) records: String,
    /// The condition of the records that count: `record.state != 'draft'`. The others stay in the raw payloads alone.
    pub(crate) filter: Option<String>,
    /// What answers mean where their status does not say it; the first one whose condition holds counts.
    #[serde(default)]
    pub(crate) answers: Vec<AnswerForm>,
    /// How only what changed is asked for. Absent where every run pulls all.
    pub(crate) incremental: Option<IncrementalForm>,
    /// Fields that are about people, and what becomes of them before anything is stored.
    pub(crate) personal_data: Option<PersonalDataForm>,
    /// The fields that together name a record: `[id]`, `[properties.code]`.
    #[serde(default)]
    pub(crate) key: Vec<String>,
}

/// How only what changed since the last run is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncrementalForm {
    /// The field of a record that grows as records change: `properties.updated`.
    pub(crate) field: String,
    /// The parameter in which the largest value seen so far is sent. Absent where a template sends it as `cursor`, or
    /// windows do.
    pub(crate) param: Option<String>,
    /// Where the first run starts: a time (`2026-01-01T00:00:00Z`), a whole number, or text.
    pub(crate) start: StartForm,
    /// How far before the largest value a run starts again, for records that arrive late; of times alone.
    pub(crate) lookback: Option<DurationText>,
    /// The parameter in which is sent until when a run asks: the beginning of the run less the `lag`, or the end of a
    /// backfill's range. Templates see it as `until`.
    pub(crate) end_param: Option<String>,
    /// How far before its beginning a run stops asking, because the source brings out records late; of times alone, and
    /// with `end_param`, `windows` or a template that sends `until`.
    pub(crate) lag: Option<DurationText>,
    /// The form of the field's times where it is the source's own, as `strftime` has it: `%d.%m.%Y %H:%M`. ISO 8601, and
    /// seconds and milliseconds since 1970, are known.
    pub(crate) read: Option<String>,
    /// The time zone of times that tell none; `UTC` unless said otherwise.
    #[schemars(example = &"Europe/Berlin")]
    pub(crate) timezone: Option<String>,
    /// How a time is written into the parameters; `iso` unless said otherwise.
    pub(crate) send: Option<SendForm>,
}

/// How a time is written into a request.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SendForm(pub(crate) String);

impl JsonSchema for SendForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Send".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`iso`, seconds or milliseconds since 1970, or a form as `strftime` has it: `%Y-%m-%d`.",
            "type": "string",
            "anyOf": [{ "enum": ["iso", "epoch_s", "epoch_ms"] }, { "pattern": "%" }],
        })
    }
}

/// Where the first run starts.
#[derive(Debug)]
pub(crate) struct StartForm(pub(crate) serde_json::Value);

impl<'de> Deserialize<'de> for StartForm {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for StartForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Start".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "examples": ["2026-01-01T00:00:00Z", 0] })
    }
}

/// A Delta table made of a resource's records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableForm {
    /// Its name within the pipeline.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,47}$"), example = &"quakes")]
    pub(crate) name: String,
    /// The resource whose records it holds.
    #[schemars(example = &"quakes")]
    pub(crate) from: String,
    /// What becomes of the rows that it holds already.
    pub(crate) write: WriteMode,
    /// The columns that together name a row; the resource's key unless said otherwise.
    pub(crate) key: Option<Vec<String>>,
    /// The column that tells which of several rows with one key is the last one; the order of arrival unless said otherwise.
    #[schemars(example = &"updated_at")]
    pub(crate) order: Option<String>,
    /// How a record says that the row of its key is gone: `{ flag: deleted }`, or `tombstone` where nothing but the key has
    /// a value.
    pub(crate) delete: Option<DeleteForm>,
    /// What may come that the table does not know, once it is there.
    #[serde(default)]
    pub(crate) contract: ContractForm,
    /// What becomes of objects and lists of which `columns` says nothing.
    #[serde(default)]
    pub(crate) nesting: NestingForm,
    /// Names and types of fields where the inferred ones will not do, by path. A type's name alone is enough:
    /// `properties.felt: int`.
    #[serde(default)]
    pub(crate) columns: IndexMap<String, TextOr<TypeName, ColumnForm>>,
    /// What its rows are held to.
    #[serde(default)]
    pub(crate) expect: Vec<ExpectationForm>,
    /// How long earlier versions of the table can be read; a week unless said otherwise.
    pub(crate) keep_versions: Option<DurationText>,
}

/// How a record says that the row of its key is gone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeleteForm {
    /// The column whose value says so: anything but `false`, 0 and an empty text.
    Flag(String),
    /// Nothing but the key has a value.
    Tombstone,
}

/// What may come that a table does not know: `evolve`, `freeze`, `discard_column` or `discard_row`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractForm {
    /// Columns; `evolve` unless said otherwise.
    #[serde(default)]
    pub(crate) columns: OnChange,
    /// Values that their column's type does not hold; `evolve` unless said otherwise: a wider type is taken where there is
    /// one.
    #[serde(default)]
    pub(crate) types: OnChange,
    /// Child tables; `evolve` unless said otherwise.
    #[serde(default)]
    pub(crate) tables: OnChange,
    /// Answers and records that cannot be read, from the first one on: `fail` unless said otherwise, or `quarantine`.
    #[serde(default)]
    pub(crate) unreadable: OnUnreadable,
}

/// What becomes of objects and lists of which `columns` says nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NestingForm {
    /// Objects: `flatten` into columns unless said otherwise, `keep` as structs, or `json`.
    #[serde(default)]
    pub(crate) objects: OnObject,
    /// Lists: child tables (`table`) unless said otherwise, `keep` as lists, or `json`.
    #[serde(default)]
    pub(crate) lists: OnList,
    /// What stands between the names of a flattened path: `_` unless said otherwise.
    #[schemars(regex(pattern = r"^[a-z0-9_]{1,8}$"), example = &"__")]
    pub(crate) separator: Option<String>,
}

/// The name of a column's type.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct TypeName(pub(crate) String);

/// The names of the types that take no numbers.
pub(crate) const TYPE_NAMES: [&str; 11] = [
    "string",
    "int",
    "double",
    "bool",
    "date",
    "timestamp",
    "timestamp_s",
    "timestamp_ms",
    "json",
    "struct",
    "list",
];

impl From<String> for TypeName {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl JsonSchema for TypeName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TypeName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A column's type; of a decimal all digits, and those behind the point: `decimal(10,2)`. A `struct` \
                            keeps an object and a `list` keeps a list, whose fields and elements have paths of their own.",
            "type": "string",
            "anyOf": [{ "enum": TYPE_NAMES }, { "pattern": r"^decimal\([0-9]+, ?[0-9]+\)$" }],
        })
    }
}

/// A field's name and type in the table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnForm {
    /// The column's name; the flattened one (`properties.mag` → `properties_mag`) unless said otherwise.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*$"), example = &"magnitude")]
    pub(crate) name: Option<String>,
    /// The column's type; the inferred one unless said otherwise.
    #[serde(rename = "type")]
    pub(crate) kind: Option<TypeName>,
}

/// A table's way to a store that endpoints read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishForm {
    /// The table; `quakes__geometry_coordinates` names a child table of `quakes`.
    #[schemars(example = &"quakes")]
    pub(crate) table: String,
    /// The store: PostgreSQL, into which the rows are copied; the lake, where they lie already; or Redis, where each is
    /// looked up by its key.
    #[schemars(extend("enum" = ["operational_store", "lake", "redis"]))]
    pub(crate) to: String,
    /// Under which schema and name endpoints read it.
    #[serde(rename = "as")]
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"), example = &"seismology.quakes")]
    pub(crate) target: String,
    /// Which rows PostgreSQL keeps; all of them unless said otherwise.
    pub(crate) recent: Option<RecentForm>,
    /// In Redis: under which key a row lies, with a colon between parts; the table's key columns stand in it, in braces.
    /// The target and these columns, unless said otherwise.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+(:([A-Za-z0-9._-]+|\{[a-z][a-z0-9_]*\}))+$"), example = &"quake:{id}")]
    pub(crate) key: Option<String>,
    /// In Redis: as what a row lies there; a JSON `document` unless said otherwise.
    pub(crate) form: Option<DocumentForm>,
    /// In Redis: how long a row stays after it was written; for good unless said otherwise.
    pub(crate) ttl: Option<DurationText>,
}

/// The rows that PostgreSQL keeps of a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecentForm {
    /// The column that says how old a row is: a `timestamp`, or a `date`. A row without a value of it is not kept.
    #[schemars(example = &"occurred_at")]
    pub(crate) by: String,
    /// How old a row may be when a run starts: `90d`.
    pub(crate) keep: DurationText,
}
