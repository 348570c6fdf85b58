//! Checks of single values. An error is the message of a problem; it never repeats a value that might be a secret.

use crate::definition::{FieldPath, SecretRef};
use std::time::Duration;

/// Whether the text is `[a-z][a-z0-9_]*`, and `-` behind the first letter where `dash` allows it.
fn is_name(text: &str, dash: bool, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || byte == b'_'
                || (dash && byte == b'-')
        })
}

/// The name of a definition, which is its file's name as well.
pub(super) fn definition_name(name: &str, stem: &str) -> Result<(), String> {
    if !is_name(name, true, 48) {
        return Err("a name is at most 48 of `a-z`, `0-9`, `_` and `-`, a letter first".to_owned());
    }
    if name != stem {
        return Err(format!(
            "the name is `{name}` and the file's name is `{stem}.yaml`; give both the same name"
        ));
    }
    Ok(())
}

/// The name of a resource or a table, which is part of keys in the lake.
pub(super) fn part_name(name: &str) -> Result<(), String> {
    if is_name(name, false, 48) {
        Ok(())
    } else {
        Err("a name here is at most 48 of `a-z`, `0-9` and `_`, a letter first".to_owned())
    }
}

/// The name of a column or a parameter; PostgreSQL cuts names behind 63 bytes.
pub(super) fn identifier(name: &str) -> Result<(), String> {
    if is_name(name, false, 63) {
        Ok(())
    } else {
        Err("a name here is at most 63 of `a-z`, `0-9` and `_`, a letter first".to_owned())
    }
}

/// A dotted path into a record or a body.
pub(super) fn field_path(text: &str) -> Result<FieldPath, String> {
    let sound = !text.is_empty() && text.split('.').all(|segment| !segment.is_empty());
    if sound && !text.contains(|letter: char| letter.is_control() || letter == '[' || letter == '*')
    {
        Ok(FieldPath(text.to_owned()))
    } else {
        Err("a path is names with dots between them: `properties.updated`".to_owned())
    }
}

/// The same, where a step may be `*`: every member of an object, every element of a list.
pub(super) fn records_path(text: &str) -> Result<FieldPath, String> {
    let named: Vec<&str> = text.split('.').filter(|step| *step != "*").collect();
    if !named.is_empty() {
        field_path(&named.join("."))?;
    }
    Ok(FieldPath(text.to_owned()))
}

/// `aws::secret/<name>`, or `aws::secret/<name>#<field>`.
pub(super) fn secret(text: &str) -> Result<SecretRef, String> {
    let Some(reference) = text.strip_prefix("aws::secret/") else {
        return Err(
            "a secret is named here, never written out: put it into Secrets Manager and write \
             `aws::secret/<name>`, or `aws::secret/<name>#<field>` for one field of a JSON object"
                .to_owned(),
        );
    };
    let (name, field) = match reference.split_once('#') {
        Some((name, field)) => (name, Some(field)),
        None => (reference, None),
    };
    let named = |text: &str, signs: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
    };
    // The signs that Secrets Manager allows in a name.
    if !named(name, b"/_+=.@-") || name.len() > 512 || name.starts_with('/') || name.contains("..")
    {
        return Err(
            "behind `aws::secret/` stands a secret's name: letters, digits and `/_+=.@-`"
                .to_owned(),
        );
    }
    if !field.is_none_or(|field| named(field, b"_.-")) {
        return Err("behind `#` stands a field's name: letters, digits and `_.-`".to_owned());
    }
    Ok(SecretRef {
        name: name.to_owned(),
        field: field.map(str::to_owned),
    })
}

/// A URL as it stands: `http` or `https`, without user and fragment. The message does not repeat it.
pub(super) fn whole_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| {
        format!("this is not a whole URL, as `https://login.example.com/token` is: {error}")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL begins with `https://` or `http://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("a URL here has no user, no password and no `#`".to_owned());
    }
    Ok(url.into())
}

/// `100ms`, `30s`, `1m`, `1h`, `1d`, between the two bounds.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let malformed =
        || "a duration is a whole number and `ms`, `s`, `m`, `h` or `d`: `30s`".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| malformed())?;
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(malformed()),
    };
    let duration = number
        .checked_mul(unit)
        .map_or(Duration::MAX, Duration::from_millis);
    if duration < least || duration > most {
        return Err(format!(
            "this lies between {} and {}",
            spelled(least),
            spelled(most)
        ));
    }
    Ok(duration)
}

/// `2026-11-21`.
pub(super) fn day(text: &str) -> Result<jiff::civil::Date, String> {
    text.parse()
        .map_err(|_| "this is a day: `2026-11-21`".to_owned())
}

/// A duration as a definition writes it.
fn spelled(duration: Duration) -> String {
    let millis = duration.as_millis();
    [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ]
    .into_iter()
    .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit))
    .map_or_else(
        || format!("{millis}ms"),
        |(unit, sign)| format!("{}{sign}", millis / unit),
    )
}

/// A header's name and value; headers that carry credentials are refused.
pub(super) fn header(name: &str, value: &str) -> Result<(), String> {
    const CREDENTIALS: [&str; 7] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "api-key",
        "apikey",
    ];
    header_name(name)?;
    if CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(
            "this header carries a secret; name the secret under the connection's `auth` instead"
                .to_owned(),
        );
    }
    if value
        .bytes()
        .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
    {
        return Err("a header's value has no line breaks or other control characters".to_owned());
    }
    Ok(())
}

/// A header's name.
pub(super) fn header_name(name: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        Ok(())
    } else {
        Err("this is not the name of a header: `X-Api-Key`".to_owned())
    }
}

/// A query parameter that stands in a definition: those that carry credentials are refused.
pub(super) fn plain_param(name: &str) -> Result<(), String> {
    const CREDENTIALS: [&str; 7] = [
        "api_key",
        "apikey",
        "api-key",
        "access_token",
        "client_secret",
        "password",
        "secret",
    ];
    if CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(
            "this parameter carries a secret; name the secret in the connection: \
             `auth: { api_key: { secret: aws::secret/…, query: … } }`"
                .to_owned(),
        );
    }
    query_param(name)
}

/// The name of a query parameter.
pub(super) fn query_param(name: &str) -> Result<(), String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("a parameter has a name, without control characters".to_owned());
    }
    Ok(())
}

/// What is appended to a connection's `base_url`; templates may stand in it.
pub(super) fn resource_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(format!("a path begins with a slash: `/{path}`"));
    }
    // What stands in a template is not the path's.
    let path = &without_templates(path);
    if path.contains(['?', '#']) {
        return Err("a path has no `?` and no `#`; query parameters stand in `params`".to_owned());
    }
    if path
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return Err("a path has no blanks; write `%20`".to_owned());
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(
            "a path does not go up (`..`): it stands below the connection's `base_url`".to_owned(),
        );
    }
    Ok(())
}

/// The text with a letter in the place of each template.
fn without_templates(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push('x');
        rest = behind.split_once("}}").map_or("", |(_, behind)| behind);
    }
    plain + rest
}
