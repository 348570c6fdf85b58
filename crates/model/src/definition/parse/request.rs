//! Wire requests and slices → `RequestForm`, `Slices`, `Report`.

use super::value;
use crate::definition::problem::{Path, Review};
use crate::definition::request::{Body, Method, Report, RequestForm, SideRequest, Slices, Windows};
use crate::definition::wire::form::AsWritten;
use crate::definition::wire::request::{BodyForm, ReportForm, SideRequestForm, WindowsForm};
use crate::template::{Templates, is_template};
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The names that templates of requests see, and what has to be there for them.
const NAMES: [&str; 10] = [
    "now",
    "run",
    "config",
    "cursor",
    "until",
    "page",
    "parent",
    "partition",
    "window",
    "job",
];

/// The most windows that a century is cut into: an hour each is allowed.
const MOST_WINDOWS: u128 = 1_000_000;

/// Checks templates against what there is for them.
pub(super) struct Scope<'s> {
    templates: Templates,
    slices: &'s Slices,
    has_cursor: bool,
    has_job: bool,
    /// The values that the pipeline sets for its templates.
    config: &'s BTreeMap<String, Value>,
}

impl<'s> Scope<'s> {
    pub(super) fn new(
        slices: &'s Slices,
        has_cursor: bool,
        has_job: bool,
        config: &'s BTreeMap<String, Value>,
    ) -> Self {
        Self {
            templates: Templates::default(),
            slices,
            has_cursor,
            has_job,
            config,
        }
    }

    /// Checks a text that may be a template.
    pub(super) fn text(&self, text: &str, at: &Path, review: &mut Review<'_, '_>) {
        if is_template(text) {
            let names = self.templates.names(text);
            review.accept(
                at,
                names
                    .map_err(|error| error.to_string())
                    .and_then(|names| self.known(names)),
            );
        }
    }

    /// Checks an expression.
    pub(super) fn expression(&self, text: &str, at: &Path, review: &mut Review<'_, '_>) {
        let names = self.templates.names_of_expression(text);
        review.accept(
            at,
            names
                .map_err(|error| error.to_string())
                .and_then(|names| self.known(names)),
        );
    }

    fn json(&self, value: &Value, at: &Path, review: &mut Review<'_, '_>) {
        match value {
            Value::String(text) => self.text(text, at, review),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.json(item, &at.index(index), review);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.json(field, &at.field(name), review);
                }
            }
            _ => {}
        }
    }

    fn known(&self, names: impl IntoIterator<Item = String>) -> Result<(), String> {
        for name in names {
            let (root, rest) = name.split_once('.').unwrap_or((&name, ""));
            let missing = match root {
                "cursor" | "until" if !self.has_cursor => "`incremental`",
                "job" if !self.has_job => "`report`",
                "parent" if self.slices.parent.is_none() => "`parent`",
                "window" if self.slices.windows.is_none() => "`windows`",
                "window" if !matches!(rest, "" | "start" | "end") => {
                    return Err("a window has a `start` and an `end`".to_owned());
                }
                "partition" if self.slices.partitions.is_empty() => "`partitions`",
                "partition" if !self.slices.partitions.contains_key(rest) => {
                    return Err(format!("there is no partition `{rest}`"));
                }
                "config" if !self.config.contains_key(rest) => {
                    return Err(format!("the pipeline's `config` has no `{rest}`"));
                }
                _ if NAMES.contains(&root) => continue,
                _ => {
                    return Err(format!(
                        "templates know no `{root}`; there are {}",
                        NAMES.map(|name| format!("`{name}`")).join(", ")
                    ));
                }
            };
            return Err(format!("`{root}` needs {missing} in this resource"));
        }
        Ok(())
    }
}

/// The method, the URL and the body of a request.
pub(super) fn request(
    method: Option<Method>,
    url: Option<String>,
    body: Option<BodyForm>,
    path: &str,
    scope: &Scope<'_>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> RequestForm {
    review.require(url.is_none() || path.is_empty(), &at.field("url"), || {
        "a request has a `path` or a `url`".to_owned()
    });
    scope.text(path, &at.field("path"), review);
    if let Some(url) = &url {
        scope.text(url, &at.field("url"), review);
    }
    review.require(
        method != Some(Method::Get) || body.is_none(),
        &at.field("method"),
        || "a request with a body is a `POST`".to_owned(),
    );
    let method = method.unwrap_or(if body.is_some() {
        Method::Post
    } else {
        Method::Get
    });
    let body = body.map(|form| self::body(form, scope, &at.field("body"), review));
    RequestForm { method, url, body }
}

fn body(form: BodyForm, scope: &Scope<'_>, at: &Path, review: &mut Review<'_, '_>) -> Body {
    match form {
        BodyForm::Json(value) => {
            scope.json(&value, &at.field("json"), review);
            Body::Json(value)
        }
        BodyForm::Form(fields) => Body::Form(texts(fields, scope, &at.field("form"), review)),
        BodyForm::Graphql(form) => {
            let variables = Value::Object(form.variables.into_iter().collect());
            scope.json(&variables, &at.field("graphql").field("variables"), review);
            Body::Graphql {
                query: form.query,
                variables,
            }
        }
        BodyForm::Xml(text) => {
            scope.text(&text, &at.field("xml"), review);
            Body::Xml(text)
        }
        BodyForm::Text(text) => {
            scope.text(&text, &at.field("text"), review);
            Body::Text(text)
        }
    }
}

/// Texts by name, any of which may be a template.
pub(super) fn texts(
    fields: BTreeMap<String, AsWritten>,
    scope: &Scope<'_>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> BTreeMap<String, String> {
    for (name, text) in &fields {
        scope.text(&text.0, &at.field(name), review);
    }
    fields
        .into_iter()
        .map(|(name, text)| (name, text.0))
        .collect()
}

/// Lists of values that no two requests share.
pub(super) fn partitions(
    lists: IndexMap<String, Vec<Value>>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> IndexMap<String, Vec<Value>> {
    for (name, values) in &lists {
        let at = at.field(name);
        review.accept(&at, value::identifier(name));
        review.require(!values.is_empty(), &at, || {
            "a partition has at least one value".to_owned()
        });
        for (index, value) in values.iter().enumerate() {
            let is_plain = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
            review.require(is_plain, &at.index(index), || {
                "a partition's value is text, a number, or true or false".to_owned()
            });
            review.require(!values[..index].contains(value), &at.index(index), || {
                "this value is there twice".to_owned()
            });
        }
    }
    lists
}

pub(super) fn windows(
    form: &WindowsForm,
    incremental_start: Option<i64>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Windows> {
    let (least, most) = (Duration::from_secs(1), Duration::from_hours(366 * 24));
    let step = review.accept(
        &at.field("step"),
        value::duration(&form.step.0, least, most),
    );
    let start = match &form.start {
        Some(text) => {
            let start = review.accept(&at.field("start"), moment(text));
            review.require(incremental_start.is_none(), &at.field("start"), || {
                "`incremental` says from when on is asked; leave this out".to_owned()
            });
            Some(start?)
        }
        None => None,
    };
    let Some(from) = start.or(incremental_start) else {
        review.accept::<()>(
            at,
            Err(
                "windows begin at a `start`, or where an `incremental` with a time says".to_owned(),
            ),
        );
        return None;
    };
    let step = step?;
    // Up to a hundred years from there.
    let century = Duration::from_hours(24 * 36_525).as_millis();
    review.require(
        from > -2_208_988_800_000 && century / step.as_millis() <= MOST_WINDOWS,
        &at.field("step"),
        || "this makes too many windows: at least an hour each, from 1900 on".to_owned(),
    );
    Some(Windows { start, step })
}

/// A time, or a day's first moment in UTC, in milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == 10)?;
        Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    text.parse::<jiff::Timestamp>()
        .ok()
        .or_else(day)
        .map(jiff::Timestamp::as_millisecond)
        .ok_or_else(|| "this is a day or a time: `2026-01-01`, `2026-01-01T00:00:00Z`".to_owned())
}

pub(super) fn report(
    form: ReportForm,
    scope: &Scope<'_>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Report> {
    scope.expression(&form.done, &at.field("done"), review);
    if let Some(failed) = &form.failed {
        scope.expression(failed, &at.field("failed"), review);
    }
    let mut time = |text: Option<_>, default: u64, field: &str, most: Duration| match text {
        None => Some(Duration::from_secs(default)),
        Some(crate::definition::wire::form::DurationText(text)) => review.accept(
            &at.field(field),
            value::duration(&text, Duration::from_millis(100), most),
        ),
    };
    let every = time(form.every, 10, "every", Duration::from_hours(1));
    let within = time(form.within, 3_600, "within", Duration::from_hours(48));
    Some(Report {
        create: side(form.create, scope, &at.field("create"), review),
        poll: side(form.poll, scope, &at.field("poll"), review),
        every: every?,
        done: form.done,
        failed: form.failed,
        within: within?,
    })
}

fn side(
    form: SideRequestForm,
    scope: &Scope<'_>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> SideRequest {
    let request = request(
        form.method,
        form.url,
        form.body,
        &form.path,
        scope,
        at,
        review,
    );
    review.accept(&at.field("path"), value::resource_path(&form.path));
    SideRequest {
        path: form.path,
        params: texts(form.params, scope, &at.field("params"), review),
        request,
    }
}
