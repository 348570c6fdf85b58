//! What is sent for a resource, and into which slices its pull is cut.

use super::form::{AsWritten, DurationText};
use crate::definition::request::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The body of a request. Its texts may be templates; a text that is one `{{ … }}` and nothing else becomes the value
/// itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyForm {
    /// JSON. The parameters of `paginate` and `incremental` become fields of it; dots lead into objects.
    Json(Value),
    /// A form. The parameters of `paginate` and `incremental` become fields of it.
    Form(BTreeMap<String, AsWritten>),
    /// A GraphQL query. The parameters of `paginate` and `incremental` become variables of it.
    Graphql(GraphqlForm),
    /// XML, such as a SOAP envelope. Values are escaped.
    Xml(String),
    /// Text.
    Text(String),
}

/// A GraphQL query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphqlForm {
    /// The query; it is sent as it stands, and what changes are its variables.
    pub(crate) query: String,
    /// Its variables.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Value>,
}

/// Windows of time, side by side, up to the moment at which the run began.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowsForm {
    /// Where the first one begins: a day or a time. Absent where `incremental` says from when on is asked.
    #[schemars(example = &"2026-01-01")]
    pub(crate) start: Option<String>,
    /// How long each is: `1d`.
    pub(crate) step: DurationText,
}

/// A report that the source makes while one waits. The resource's own request downloads it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportForm {
    /// The request that asks for it.
    pub(crate) create: SideRequestForm,
    /// The request that asks how far it is; its templates see the last answer as `job`.
    pub(crate) poll: SideRequestForm,
    /// How long to wait between two polls; `10s` unless said otherwise.
    pub(crate) every: Option<DurationText>,
    /// The expression that holds when it is ready: `job.status == 'done'`.
    pub(crate) done: String,
    /// The expression that holds when there will be none: `job.status in ['failed', 'cancelled']`.
    pub(crate) failed: Option<String>,
    /// How long to go on asking; `1h` unless said otherwise.
    pub(crate) within: Option<DurationText>,
}

/// A request beside those that bring records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SideRequestForm {
    /// `POST` where there is a body, else `GET`.
    pub(crate) method: Option<Method>,
    /// What is appended to the connection's `base_url`.
    #[serde(default)]
    pub(crate) path: String,
    /// A URL in its place.
    pub(crate) url: Option<String>,
    /// Query parameters.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, AsWritten>,
    /// What is sent as the body.
    pub(crate) body: Option<BodyForm>,
}
