//! Templates in definitions: `{{ … }}` in what is sent, and the expressions that judge what comes back.
//!
//! They see what they are given and nothing else: no files, no environment, no clock. A name that is not there is an
//! error, and so is a template that works for too long.

use minijinja::value::{Value as Any, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Expression, Output, State, UndefinedBehavior};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many instructions a template may take.
const FUEL: u64 = 20_000;

/// What the name of a template is while its values are put into a URL's path.
const PATH: &str = "path";
/// The same, into XML.
const XML: &str = "xml";
/// The same, as they are.
const TEXT: &str = "text";

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{template}`: {what}")]
pub struct TemplateError {
    /// The template.
    pub template: String,
    /// What is wrong with it.
    pub what: String,
}

/// Renders templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The same, where a name that is not there is nothing, and no error: what a source leaves out is left out.
    lenient: Environment<'static>,
}

/// A condition that is asked for more than once.
#[derive(Debug)]
pub struct Condition<'t> {
    text: &'t str,
    expression: Expression<'t, 't>,
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            environment: Self::environment(UndefinedBehavior::Strict),
            lenient: Self::environment(UndefinedBehavior::Chainable),
        }
    }
}

impl Templates {
    fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(undefined);
        environment.set_fuel(Some(FUEL));
        environment.set_keep_trailing_newline(true);
        environment.set_auto_escape_callback(|name| match name {
            PATH => AutoEscape::Custom(PATH),
            XML => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        environment.set_formatter(write);
        dates::add_to(&mut environment);
        environment
    }

    /// The text with its values put in as they are.
    pub fn text(&self, template: &str, scope: &Value) -> Result<String, TemplateError> {
        self.render(TEXT, template, scope)
    }

    /// The same, with each value written as one segment of a URL's path.
    pub fn path(&self, template: &str, scope: &Value) -> Result<String, TemplateError> {
        self.render(PATH, template, scope)
    }

    /// The same, with each value escaped for XML.
    pub fn xml(&self, template: &str, scope: &Value) -> Result<String, TemplateError> {
        self.render(XML, template, scope)
    }

    /// JSON with the templates in its texts rendered. A text that is one `{{ … }}` and nothing else becomes the value
    /// itself, with its own type.
    pub fn json(&self, template: &Value, scope: &Value) -> Result<Value, TemplateError> {
        Ok(match template {
            Value::String(text) => match sole_expression(text) {
                Some(expression) => self.value(expression, scope)?,
                None => Value::String(self.text(text, scope)?),
            },
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.json(item, scope))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.json(field, scope)?)))
                    .collect::<Result<_, TemplateError>>()?,
            ),
            plain => plain.clone(),
        })
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str, scope: &Value) -> Result<Value, TemplateError> {
        let value = self.evaluate(expression, scope)?;
        serde_json::to_value(value).map_err(|error| TemplateError {
            template: expression.to_owned(),
            what: error.to_string(),
        })
    }

    /// Whether a condition holds. What is not there is nothing: `answer.error` does not hold where there is none.
    pub fn holds(&self, expression: &str, scope: &Value) -> Result<bool, TemplateError> {
        self.condition(expression)?.holds(scope)
    }

    /// A condition that is asked for more than once.
    pub fn condition<'t>(&'t self, expression: &'t str) -> Result<Condition<'t>, TemplateError> {
        closed(expression)?;
        let compiled = self.lenient.compile_expression(expression);
        Ok(Condition {
            text: expression,
            expression: compiled.map_err(|error| told(expression, &error))?,
        })
    }

    fn evaluate(&self, expression: &str, scope: &Value) -> Result<Any, TemplateError> {
        closed(expression)?;
        self.environment
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(Any::from_serialize(scope)))
            .map_err(|error| told(expression, &error))
    }

    fn render(&self, kind: &str, template: &str, scope: &Value) -> Result<String, TemplateError> {
        if !is_template(template) {
            return Ok(template.to_owned());
        }
        self.environment
            .render_named_str(kind, template, Any::from_serialize(scope))
            .map_err(|error| told(template, &error))
    }

    /// The names that a text's templates use, with the fields that they take of them: `parent.id`.
    pub fn names(&self, template: &str) -> Result<BTreeSet<String>, TemplateError> {
        let parsed = self
            .environment
            .template_from_str(template)
            .map_err(|error| told(template, &error))?;
        Ok(parsed.undeclared_variables(true).into_iter().collect())
    }

    /// The names that an expression uses.
    pub fn names_of_expression(&self, expression: &str) -> Result<BTreeSet<String>, TemplateError> {
        closed(expression)?;
        let parsed = self
            .environment
            .compile_expression(expression)
            .map_err(|error| told(expression, &error))?;
        Ok(parsed.undeclared_variables(true).into_iter().collect())
    }
}

impl Condition<'_> {
    /// Whether it holds.
    pub fn holds(&self, scope: &Value) -> Result<bool, TemplateError> {
        let value = self.expression.eval(Any::from_serialize(scope));
        let value = value.map_err(|error| told(self.text, &error))?;
        Ok(value.is_true())
    }
}

/// Whether a text has anything to render.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The expression of a text that is one `{{ … }}` and nothing else.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim_matches(['-', ' ']))
}

/// Refuses an expression that ends a template in which it does not stand: the parser would panic.
fn closed(expression: &str) -> Result<(), TemplateError> {
    if expression.contains("}}") || expression.contains("%}") {
        return Err(TemplateError {
            template: expression.chars().take(200).collect(),
            what: "an expression has no `}}` and no `%}`".to_owned(),
        });
    }
    Ok(())
}

fn told(template: &str, error: &minijinja::Error) -> TemplateError {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it works for too long".to_owned(),
        (ErrorKind::UndefinedError, None) => "a name in it has no value here".to_owned(),
        (kind, None) => kind.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
    };
    TemplateError {
        template: template.chars().take(200).collect(),
        what,
    }
}

/// Writes a value: nothing where there is none, one segment of a path where that is what is rendered.
fn write(
    output: &mut Output<'_>,
    state: &State<'_, '_>,
    value: &Any,
) -> Result<(), minijinja::Error> {
    if value.kind() == ValueKind::None {
        return Ok(());
    }
    if state.auto_escape() == AutoEscape::Custom(PATH) && !value.is_safe() {
        let text = value.to_string();
        // `.` and `..` would be taken out of the path together with what stands before them.
        if matches!(text.as_str(), "" | "." | "..") {
            let what = format!("`{text}` cannot be a segment of a path");
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, what));
        }
        return Ok(output.write_str(&segment(&text))?);
    }
    minijinja::escape_formatter(output, state, value)
}

/// A text as a segment of a URL's path: all but the unreserved characters of RFC 3986 are encoded.
fn segment(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

mod dates {
    //! Times in templates: RFC 3339 texts, or whole numbers of milliseconds since 1970.

    use jiff::tz::TimeZone;
    use jiff::{SignedDuration, Timestamp};
    use minijinja::value::Value as Any;
    use minijinja::{Environment, Error, ErrorKind};

    pub(super) fn add_to(environment: &mut Environment<'static>) {
        environment.add_filter("date", date);
        environment.add_filter("plus", |time: &Any, by: &str| shift(time, by, 1));
        environment.add_filter("minus", |time: &Any, by: &str| shift(time, by, -1));
        environment.add_filter("epoch_s", |time: &Any| read(time).map(Timestamp::as_second));
        environment.add_filter("epoch_ms", |time: &Any| {
            read(time).map(Timestamp::as_millisecond)
        });
    }

    fn bad(what: String) -> Error {
        Error::new(ErrorKind::InvalidOperation, what)
    }

    fn read(time: &Any) -> Result<Timestamp, Error> {
        if let Some(millis) = time.as_i64() {
            return Timestamp::from_millisecond(millis).map_err(|error| bad(error.to_string()));
        }
        let text = time.as_str().unwrap_or_default();
        text.parse::<Timestamp>()
            .or_else(|_| {
                text.parse::<jiff::civil::Date>()?
                    .to_zoned(TimeZone::UTC)
                    .map(|midnight| midnight.timestamp())
            })
            .map_err(|_| bad(format!("`{time}` is no time: `2026-01-01T00:00:00Z`")))
    }

    /// A time in a form of `strftime`, in UTC or in that zone.
    fn date(time: &Any, form: &str, zone: Option<&str>) -> Result<String, Error> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| bad(format!("`{name}` is no time zone: `Europe/Berlin`")))?,
        };
        let local = read(time)?.to_zoned(zone);
        jiff::fmt::strtime::format(form, &local)
            .map_err(|error| bad(format!("`{form}` is no form of a time: {error}")))
    }

    fn shift(time: &Any, by: &str, sign: i32) -> Result<String, Error> {
        let digits = by.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match &by[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 0,
        };
        let millis = by[..digits]
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .filter(|_| unit > 0)
            .ok_or_else(|| bad(format!("`{by}` is no duration: `7d`, `12h`")))?;
        let shifted = read(time)?
            .checked_add(SignedDuration::from_millis(millis * i64::from(sign)))
            .map_err(|error| bad(error.to_string()))?;
        Ok(shifted.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scope() -> Value {
        json!({
            "now": "2026-03-01T06:30:00Z",
            "parent": { "id": 7, "name": "a/b c?", "tags": ["x"], "none": null },
            "window": { "start": "2026-02-28T00:00:00Z" },
        })
    }

    #[test]
    fn values_are_written_for_the_place_where_they_stand() {
        let templates = Templates::default();
        let at = "/x/{{ parent.name }}/{{ parent.id }}";
        assert_eq!(templates.path(at, &scope()).unwrap(), "/x/a%2Fb%20c%3F/7");
        assert_eq!(templates.text(at, &scope()).unwrap(), "/x/a/b c?/7");
        let markup = json!({ "name": "<a & b>" });
        assert_eq!(
            templates.xml("<n>{{ name }}</n>", &markup).unwrap(),
            "<n>&lt;a &amp; b&gt;</n>"
        );
        let up = json!({ "id": ".." });
        assert!(templates.path("/x/{{ id }}", &up).is_err());
    }

    #[test]
    fn json_keeps_the_types_of_what_is_put_in() {
        let body = json!({ "id": "{{ parent.id }}", "tags": "{{ parent.tags }}", "none": "{{ parent.none }}",
            "text": "n{{ parent.id }}", "list": [1, "{{ parent.id + 1 }}"] });
        assert_eq!(
            Templates::default().json(&body, &scope()).unwrap(),
            json!({ "id": 7, "tags": ["x"], "none": null, "text": "n7", "list": [1, 8] })
        );
    }

    #[test]
    fn times_are_formed_and_shifted() {
        let templates = Templates::default();
        for (template, expected) in [
            ("{{ now | date('%Y-%m-%d') }}", "2026-03-01"),
            ("{{ now | date('%H:%M', 'Asia/Tokyo') }}", "15:30"),
            ("{{ now | minus('1d') | date('%d.%m.%Y') }}", "28.02.2026"),
            ("{{ window.start | plus('36h') }}", "2026-03-01T12:00:00Z"),
            ("{{ now | epoch_s }}", "1772346600"),
            ("{{ '2026-03-01' | epoch_ms }}", "1772323200000"),
        ] {
            assert_eq!(templates.text(template, &scope()).unwrap(), expected);
        }
        for template in [
            "{{ now | plus('7 days') }}",
            "{{ 'soon' | date('%Y') }}",
            "{{ now | date('%Y', 'Mars') }}",
            "{{ now | plus('99999999999999d') }}",
        ] {
            assert!(templates.text(template, &scope()).is_err(), "{template}");
        }
    }

    #[test]
    fn what_is_not_there_or_takes_too_long_is_an_error() {
        let templates = Templates::default();
        for template in [
            "{{ parent.uid }}",
            "{{ nothing }}",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{{ now",
        ] {
            assert!(templates.text(template, &scope()).is_err(), "{template}");
        }
        assert!(
            templates
                .holds("parent.id > 5 and parent.name", &scope())
                .unwrap()
        );
        assert!(templates.holds("parent.none", &scope()) == Ok(false));
    }

    #[test]
    fn the_names_that_a_template_uses_are_known() {
        let names = Templates::default()
            .names("{{ parent.id }}{{ window.start | date('%Y') }}")
            .unwrap();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(names, ["parent.id", "window.start"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_rendered_without_a_panic(template in "[{}%#|. a-z'\"0-9()\\[\\]é+*-]{0,60}") {
            let templates = Templates::default();
            let _ = templates.text(&template, &scope());
            let _ = templates.path(&template, &scope());
            let _ = templates.value(&template, &scope());
            let _ = templates.names(&template);
            let _ = templates.names_of_expression(&template);
            let _ = templates.holds(&template, &scope());
            let _ = templates.json(&Value::String(template), &scope());
        }

        #[test]
        fn any_value_is_one_segment_of_a_path(id in "\\PC{1,20}") {
            let scope = json!({ "id": id });
            if let Ok(path) = Templates::default().path("/a/{{ id }}/b", &scope) {
                let url = url::Url::parse(&format!("http://localhost{path}?c")).unwrap();
                proptest::prop_assert_eq!(url.path_segments().unwrap().count(), 3);
                proptest::prop_assert_eq!(url.query(), Some("c"));
            }
        }

        #[test]
        fn any_form_of_a_time_and_any_duration_is_refused_or_written_without_a_panic(
            form in "[%a-zA-Z0-9:.# -]{0,20}",
            duration in "[0-9]{0,25}(ms|s|m|h|d|w)?",
            zone in "(UTC|Europe/Berlin|[A-Za-z/]{0,12})",
            millis in proptest::num::i64::ANY,
            text in "[0-9TZ:.+-]{0,30}",
        ) {
            let templates = Templates::default();
            for time in [json!(millis), json!(text), json!("2026-03-01T06:30:00Z")] {
                let scope = json!({ "time": time, "form": form, "by": duration, "zone": zone });
                for template in [
                    "{{ time | date(form) }}",
                    "{{ time | date(form, zone) }}",
                    "{{ time | plus(by) }}",
                    "{{ time | minus(by) | epoch_s }}",
                    "{{ time | epoch_ms }}",
                ] {
                    let _ = templates.text(template, &scope);
                }
            }
        }
    }
}
