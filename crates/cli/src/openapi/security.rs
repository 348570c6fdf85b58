//! What requests have to carry: from security schemes to a connection's `auth`.

use super::document::{Document, Operation};
use super::yaml;
use serde_json::Value;
use std::fmt::Write;

/// A connection's `auth`.
pub struct Auth {
    /// The lines of YAML, from `auth:` on.
    pub yaml: String,
    /// What the secret has to hold; none where there is none.
    pub secret: Option<String>,
    /// Query parameters and headers that it sends.
    pub params: Vec<String>,
}

impl Auth {
    fn new(yaml: String, secret: &str) -> Self {
        Self {
            yaml,
            secret: Some(secret.to_owned()),
            params: Vec::new(),
        }
    }

    fn none() -> Self {
        Self {
            yaml: "auth: none\n".to_owned(),
            secret: None,
            params: Vec::new(),
        }
    }
}

/// The `auth` that opens the operations. Of several alternatives the first that Millrace can offer by itself, without a
/// person in front of a browser.
pub fn auth(
    document: &Document,
    operations: &[Operation<'_>],
    base_url: &str,
    secret: &str,
) -> Auth {
    let Some(alternatives) = most_asked_for(document, operations) else {
        return Auth::none();
    };
    let is_open = alternatives.is_empty();
    let place = format!("aws::secret/{secret}");
    let offers = alternatives.iter().filter_map(|alternative| {
        let schemes: Vec<(&String, &Value)> = alternative.as_object()?.iter().collect();
        of_schemes(document, &schemes, base_url, &place)
    });
    let best = offers.min_by_key(|(effort, _)| *effort);
    match best {
        Some((_, auth)) => auth,
        None if is_open => Auth::none(),
        None => Auth {
            yaml: "# The document asks for credentials of a kind that it does not say enough of: see docs/sources.md.\nauth: none\n"
                .to_owned(),
            ..Auth::none()
        },
    }
}

/// What most of the operations ask for: a health check that asks for nothing says nothing of the others.
fn most_asked_for<'d>(
    document: &'d Document,
    operations: &[Operation<'d>],
) -> Option<&'d Vec<Value>> {
    let asked = |operation: &Operation<'d>| operation.security().or_else(|| document.security());
    let all: Vec<_> = operations.iter().filter_map(asked).collect();
    let count = |wanted: &Vec<Value>| all.iter().filter(|asked| **asked == wanted).count();
    all.iter().copied().max_by_key(|asked| count(asked))
}

/// What one alternative asks for, and how much trouble it is; none where it cannot be offered.
fn of_schemes(
    document: &Document,
    schemes: &[(&String, &Value)],
    base_url: &str,
    place: &str,
) -> Option<(u8, Auth)> {
    if let [(name, scopes)] = schemes {
        return of_scheme(document.security_scheme(name)?, scopes, base_url, place);
    }
    // Several at once: keys in headers, each a field of the secret.
    let mut auth = Auth::new(String::new(), "");
    let (mut lines, mut fields) = (String::new(), Vec::new());
    for (name, _) in schemes {
        let scheme = document.security_scheme(name)?;
        if scheme["type"] != "apiKey" || scheme["in"] != "header" {
            return None;
        }
        let (header, field) = (scheme["name"].as_str()?, identifier(name));
        let value = yaml::quoted(&format!("{{{{ secret.{field} }}}}"));
        // Writing into a text cannot fail.
        let _ = writeln!(lines, "      {}: {value}", yaml::text(header));
        fields.push(format!("\"{field}\": \"…\""));
        auth.params.push(header.to_owned());
    }
    if fields.is_empty() {
        return Some((5, Auth::none()));
    }
    auth.yaml = format!("auth:\n  headers:\n    secret: {place}\n    set:\n{lines}");
    auth.secret = Some(format!("{{{}}}", fields.join(", ")));
    Some((1, auth))
}

fn of_scheme(scheme: &Value, scopes: &Value, base_url: &str, place: &str) -> Option<(u8, Auth)> {
    match scheme["type"].as_str()? {
        "http" => match scheme["scheme"].as_str()?.to_lowercase().as_str() {
            "bearer" => Some((0, bearer(place))),
            "basic" => {
                let yaml = format!("auth: {{ basic: {{ secret: {place} }} }}\n");
                let secret = r#"{"username": "…", "password": "…"}"#;
                Some((1, Auth::new(yaml, secret)))
            }
            _ => None,
        },
        "apiKey" => {
            let (name, at) = (scheme["name"].as_str()?, scheme["in"].as_str()?);
            if !matches!(at, "header" | "query" | "cookie") {
                return None;
            }
            let shown = yaml::text(name);
            let yaml = format!("auth: {{ api_key: {{ secret: {place}, {at}: {shown} }} }}\n");
            let mut auth = Auth::new(yaml, "the key");
            auth.params.push(name.to_owned());
            Some((0, auth))
        }
        "oauth2" => oauth2(&scheme["flows"], scopes, base_url, place),
        "openIdConnect" => Some((3, bearer(place))),
        _ => None,
    }
}

fn bearer(place: &str) -> Auth {
    let yaml = format!("auth: {{ bearer: {{ secret: {place} }} }}\n");
    Auth::new(yaml, "the token")
}

fn oauth2(flows: &Value, scopes: &Value, base_url: &str, place: &str) -> Option<(u8, Auth)> {
    let scopes: Vec<&str> = scopes
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let scope = if scopes.is_empty() {
        String::new()
    } else {
        format!("    scope: {}\n", yaml::quoted(&scopes.join(" ")))
    };
    let with = |kind: &str, flow: &Value, secret: &str| {
        let url = absolute(flow["tokenUrl"].as_str()?, base_url)?;
        let yaml = format!("auth:\n  {kind}:\n    token_url: {url}\n    secret: {place}\n{scope}");
        Some(Auth::new(yaml, secret))
    };
    let client = r#"{"client_id": "…", "client_secret": "…"}"#;
    let granted = r#"{"client_id": "…", "client_secret": "…", "refresh_token": "…"}"#;
    if let Some(flow) = flows.get("clientCredentials") {
        return Some((1, with("oauth2_client_credentials", flow, client)?));
    }
    if let Some(flow) = flows
        .get("authorizationCode")
        .or_else(|| flows.get("password"))
    {
        return Some((2, with("oauth2_refresh_token", flow, granted)?));
    }
    // Without a token endpoint there is only a token that somebody has got elsewhere.
    Some((4, bearer(place)))
}

/// A URL that may be relative to the API's.
fn absolute(url: &str, base_url: &str) -> Option<String> {
    let base = url::Url::parse(base_url).ok()?;
    let mut url = base.join(url).ok()?;
    url.set_fragment(None);
    Some(url.into())
}

/// A scheme's name as a field of a JSON object that templates can name.
fn identifier(name: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    name.chars().map(letter).collect()
}
