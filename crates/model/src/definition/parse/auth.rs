//! Wire auth → auth.

use super::value;
use crate::definition::SecretRef;
use crate::definition::auth::{
    Auth, ClientAuth, Encoding, Hmac, HmacAlgorithm, JwtAlgorithm, JwtBearer, KeyPlace, LoginBody,
    Sending, Session, Template, TokenPlace, TokenRequest,
};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::auth::{
    ApiKeyForm, AuthForm, AwsSigv4Form, ClientAuthForm, HeadersForm, HmacAlgorithmForm, HmacForm,
    JwtAlgorithmForm, JwtBearerForm, KeyEncodingForm, LoginForm, SendForm, SessionForm,
    SignatureEncodingForm, TokenPlaceForm, TokenRequestForm,
};
use crate::definition::wire::form::SecretName;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The values that a signature's templates may name, beside the secret's fields.
const SIGNED: [&str; 13] = [
    "method",
    "url",
    "host",
    "path",
    "query",
    "path_and_query",
    "body",
    "body_sha256",
    "timestamp",
    "timestamp_ms",
    "date",
    "iso_date",
    "nonce",
];

/// How long an assertion is valid unless the definition says otherwise.
const ASSERTION: Duration = Duration::from_mins(5);

/// What the form means, or problems at that path.
pub(super) fn validate(form: &AuthForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    match form {
        AuthForm::None => Some(Auth::None),
        AuthForm::InTurn(forms) => in_turn(forms, &path.field("in_turn"), review),
        AuthForm::Bearer(form) => secret(&form.secret, &path.field("bearer"), review)
            .map(|secret| Auth::Bearer { secret }),
        AuthForm::Basic(form) => {
            let path = path.field("basic");
            let secret = object_secret(&form.secret, &path, "`username` and `password`", review)?;
            Some(Auth::Basic { secret })
        }
        AuthForm::ApiKey(form) => api_key(form, &path.field("api_key"), review),
        AuthForm::Headers(form) => headers(form, &path.field("headers"), review),
        AuthForm::ClientCredentials(form) => {
            token_request(form, &path.field("oauth2_client_credentials"), review)
                .map(Auth::ClientCredentials)
        }
        AuthForm::RefreshToken(form) => {
            token_request(form, &path.field("oauth2_refresh_token"), review).map(Auth::RefreshToken)
        }
        AuthForm::JwtBearer(form) => {
            jwt_bearer(form, &path.field("jwt_bearer"), review).map(Auth::JwtBearer)
        }
        AuthForm::Session(form) => session(form, &path.field("session"), review).map(Auth::Session),
        AuthForm::AwsSigv4(form) => aws_sigv4(form, &path.field("aws_sigv4"), review),
        AuthForm::Hmac(form) => hmac(form, &path.field("hmac"), review).map(Auth::Hmac),
    }
}

fn in_turn(forms: &[AuthForm], path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    review.require(!forms.is_empty(), path, || {
        "name at least one credential".to_owned()
    });
    let mut credentials = Vec::with_capacity(forms.len());
    for (number, form) in forms.iter().enumerate() {
        let path = path.index(number);
        if matches!(form, AuthForm::None | AuthForm::InTurn(_)) {
            review.problem(
                &path,
                "each of the credentials that are used in turn is one, and not `none`",
            );
        }
        credentials.push(validate(form, &path, review));
    }
    let credentials = credentials.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Auth::InTurn { credentials })
}

fn api_key(form: &ApiKeyForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    let secret = secret(&form.secret, path, review);
    let place = place(
        [
            form.header.as_ref(),
            form.query.as_ref(),
            form.cookie.as_ref(),
        ],
        "a key is sent in one place: name one of `header: X-Api-Key`, `query: key` and `cookie: session`",
        path,
        review,
    );
    Some(Auth::ApiKey {
        secret: secret?,
        place: place?,
    })
}

/// The one of header, query and cookie that is named.
fn place(
    [header, query, cookie]: [Option<&String>; 3],
    advice: &str,
    path: &Path,
    review: &mut Review<'_, '_>,
) -> Option<KeyPlace> {
    match (header, query, cookie) {
        (Some(name), None, None) => review
            .accept(&path.field("header"), value::header_name(name))
            .map(|()| KeyPlace::Header(name.clone())),
        (None, Some(name), None) => review
            .accept(&path.field("query"), value::query_param(name))
            .map(|()| KeyPlace::Query(name.clone())),
        // A cookie's name is a token, as a header's is.
        (None, None, Some(name)) => review
            .accept(&path.field("cookie"), value::header_name(name))
            .map(|()| KeyPlace::Cookie(name.clone())),
        _ => {
            review.problem(path, advice);
            None
        }
    }
}

fn headers(form: &HeadersForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    let secret = secret(&form.secret, path, review);
    let set = header_templates(&form.set, &path.field("set"), review, is_of_secret);
    Some(Auth::Headers {
        secret: secret?,
        set: set?,
    })
}

fn token_request(
    form: &TokenRequestForm,
    path: &Path,
    review: &mut Review<'_, '_>,
) -> Option<TokenRequest> {
    let secret = object_secret(
        &form.secret,
        path,
        "`client_id` and what belongs to it",
        review,
    );
    let token_url = review.accept(&path.field("token_url"), value::whole_url(&form.token_url));
    for name in form.params.keys() {
        let result = match name.as_str() {
            "client_id" | "client_secret" | "refresh_token" | "grant_type" | "scope" | "audience" => {
                Err("this field is sent anyhow; it has its own place in the definition, or in the secret".to_owned())
            }
            name => value::plain_param(name),
        };
        review.accept(&path.field("params").field(name), result);
    }
    Some(TokenRequest {
        token_url: token_url?,
        secret: secret?,
        client_auth: match form.client_auth {
            None | Some(ClientAuthForm::Basic) => ClientAuth::Basic,
            Some(ClientAuthForm::Body) => ClientAuth::Body,
        },
        scope: form.scope.clone(),
        audience: form.audience.clone(),
        params: form
            .params
            .iter()
            .map(|(name, text)| (name.clone(), text.0.clone()))
            .collect(),
    })
}

fn jwt_bearer(form: &JwtBearerForm, path: &Path, review: &mut Review<'_, '_>) -> Option<JwtBearer> {
    let secret = secret(&form.secret, path, review);
    let token_url = review.accept(&path.field("token_url"), value::whole_url(&form.token_url));
    let lifetime = match &form.lifetime {
        None => Some(ASSERTION),
        Some(text) => {
            let (least, most) = (Duration::from_mins(1), Duration::from_hours(1));
            review.accept(
                &path.field("lifetime"),
                value::duration(&text.0, least, most),
            )
        }
    };
    for name in form.claims.keys() {
        let has_its_own = matches!(name.as_str(), "iss" | "sub" | "aud" | "exp" | "iat" | "jti");
        review.require(!has_its_own, &path.field("claims").field(name), || {
            "this claim is made of `issuer`, `subject`, `audience` and `lifetime`".to_owned()
        });
    }
    let token_url = token_url?;
    Some(JwtBearer {
        audience: form.audience.clone().unwrap_or_else(|| token_url.clone()),
        token_url,
        secret: secret?,
        algorithm: match form.algorithm {
            None | Some(JwtAlgorithmForm::RS256) => JwtAlgorithm::RS256,
            Some(JwtAlgorithmForm::ES256) => JwtAlgorithm::ES256,
        },
        key_id: form.key_id.clone(),
        issuer: form.issuer.clone(),
        subject: form.subject.clone(),
        scope: form.scope.clone(),
        claims: form.claims.clone(),
        lifetime: lifetime?,
    })
}

fn session(form: &SessionForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Session> {
    let secret = secret(&form.secret, path, review);
    let login = path.field("login");
    let is_path = form.login.url.starts_with('/') && !form.login.url.starts_with("//");
    let url = if is_path {
        Some(form.login.url.clone())
    } else {
        review.accept(&login.field("url"), value::whole_url(&form.login.url))
    };
    let body = login_body(&form.login, &login, review);
    let token = token_place(&form.token, &path.field("token"), review);
    let send = match (&form.send, &token) {
        (Some(form), _) => send(form, &path.field("send"), review),
        (None, Some(TokenPlace::Cookie(name))) => Some(Sending::At(KeyPlace::Cookie(name.clone()))),
        (None, _) => Template::parse("Bearer {{ token }}", |_| true)
            .ok()
            .map(|value| Sending::Header {
                name: "Authorization".to_owned(),
                value,
            }),
    };
    let lasts = match &form.lasts {
        None => Some(None),
        Some(text) => {
            let (least, most) = (Duration::from_secs(1), Duration::from_hours(24 * 30));
            review
                .accept(&path.field("lasts"), value::duration(&text.0, least, most))
                .map(Some)
        }
    };
    Some(Session {
        secret: secret?,
        url: url?,
        body: body?,
        token: token?,
        send: send?,
        lasts: lasts?,
    })
}

fn login_body(form: &LoginForm, path: &Path, review: &mut Review<'_, '_>) -> Option<LoginBody> {
    match (&form.json, &form.form) {
        (Some(json), None) => {
            let path = path.field("json");
            json_templates(json, &path, review);
            Some(LoginBody::Json(json.clone()))
        }
        (None, Some(fields)) => {
            let path = path.field("form");
            let mut filled = BTreeMap::new();
            for (name, text) in fields {
                let template = template(&text.0, &path.field(name), review, is_of_secret)?;
                filled.insert(name.clone(), template);
            }
            Some(LoginBody::Form(filled))
        }
        _ => {
            review.problem(path, "a login sends one body: name either `json` or `form`");
            None
        }
    }
}

/// Checks the templates that are the texts of a JSON value.
fn json_templates(json: &Value, path: &Path, review: &mut Review<'_, '_>) {
    match json {
        Value::String(text) => drop(template(text, path, review, is_of_secret)),
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                json_templates(value, &path.index(number), review);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                json_templates(value, &path.field(name), review);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn token_place(
    form: &TokenPlaceForm,
    path: &Path,
    review: &mut Review<'_, '_>,
) -> Option<TokenPlace> {
    match (&form.path, &form.header, &form.cookie) {
        (Some(text), None, None) => review
            .accept(&path.field("path"), value::field_path(text))
            .map(TokenPlace::Path),
        (None, Some(name), None) => review
            .accept(&path.field("header"), value::header_name(name))
            .map(|()| TokenPlace::Header(name.clone())),
        (None, None, Some(name)) => review
            .accept(&path.field("cookie"), value::header_name(name))
            .map(|()| TokenPlace::Cookie(name.clone())),
        _ => {
            review.problem(
                path,
                "a token is in one place of the answer: name one of `path`, `header` and `cookie`",
            );
            None
        }
    }
}

fn send(form: &SendForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Sending> {
    let place = place(
        [
            form.header.as_ref(),
            form.query.as_ref(),
            form.cookie.as_ref(),
        ],
        "a token is sent in one place: name one of `header`, `query` and `cookie`",
        path,
        review,
    )?;
    match (place, &form.value) {
        (place, None) => Some(Sending::At(place)),
        (KeyPlace::Header(name), Some(text)) => {
            let value = template(text, &path.field("value"), review, |name| name == "token")?;
            Some(Sending::Header { name, value })
        }
        _ => {
            review.problem(
                &path.field("value"),
                "only a header's value can be more than the token",
            );
            None
        }
    }
}

fn aws_sigv4(form: &AwsSigv4Form, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    let needed = "`access_key_id` and `secret_access_key`";
    let secret = object_secret(&form.secret, path, needed, review);
    for (field, text) in [("region", &form.region), ("service", &form.service)] {
        let is_name = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        review.require(is_name, &path.field(field), || {
            "this is of letters, digits and `-`: `eu-central-1`, `execute-api`".to_owned()
        });
    }
    Some(Auth::AwsSigv4 {
        secret: secret?,
        region: form.region.clone(),
        service: form.service.clone(),
    })
}

fn hmac(form: &HmacForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Hmac> {
    let is_signed = |name: &str| SIGNED.contains(&name) || is_of_secret(name);
    let secret = secret(&form.secret, path, review);
    let message = template(&form.message, &path.field("message"), review, is_signed);
    let headers = header_templates(&form.headers, &path.field("headers"), review, |name| {
        name == "signature" || is_signed(name)
    });
    if let Some(headers) = &headers {
        let is_sent = headers.values().any(|template| {
            template
                .pieces()
                .any(|piece| piece == crate::definition::auth::Piece::Name("signature"))
        });
        review.require(is_sent, &path.field("headers"), || {
            "the signature is sent nowhere; name it in a header: `X-Signature: \"{{ signature }}\"`".to_owned()
        });
    }
    Some(Hmac {
        secret: secret?,
        algorithm: match form.algorithm {
            None | Some(HmacAlgorithmForm::Sha256) => HmacAlgorithm::Sha256,
            Some(HmacAlgorithmForm::Sha1) => HmacAlgorithm::Sha1,
            Some(HmacAlgorithmForm::Sha512) => HmacAlgorithm::Sha512,
        },
        key_encoding: match form.key_encoding {
            None | Some(KeyEncodingForm::Text) => Encoding::Text,
            Some(KeyEncodingForm::Hex) => Encoding::Hex,
            Some(KeyEncodingForm::Base64) => Encoding::Base64,
        },
        message: message?,
        encoding: match form.encoding {
            None | Some(SignatureEncodingForm::Hex) => Encoding::Hex,
            Some(SignatureEncodingForm::Base64) => Encoding::Base64,
        },
        headers: headers?,
    })
}

/// Headers whose values are templates.
fn header_templates(
    set: &BTreeMap<String, String>,
    path: &Path,
    review: &mut Review<'_, '_>,
    is_known: impl Fn(&str) -> bool,
) -> Option<BTreeMap<String, Template>> {
    review.require(!set.is_empty(), path, || {
        "name at least one header".to_owned()
    });
    let mut templates = BTreeMap::new();
    for (name, text) in set {
        let path = path.field(name);
        review.accept(&path, value::header_name(name));
        if let Some(template) = template(text, &path, review, &is_known) {
            templates.insert(name.clone(), template);
        }
    }
    (templates.len() == set.len()).then_some(templates)
}

fn template(
    text: &str,
    path: &Path,
    review: &mut Review<'_, '_>,
    is_known: impl Fn(&str) -> bool,
) -> Option<Template> {
    review.accept(path, Template::parse(text, is_known))
}

/// Whether a name in a template means the secret, or a field of it.
fn is_of_secret(name: &str) -> bool {
    name == "secret"
        || name
            .strip_prefix("secret.")
            .is_some_and(|field| !field.is_empty())
}

fn secret(name: &SecretName, path: &Path, review: &mut Review<'_, '_>) -> Option<SecretRef> {
    review.accept(&path.field("secret"), value::secret(&name.0))
}

/// A secret that is a JSON object as a whole.
fn object_secret(
    name: &SecretName,
    path: &Path,
    fields: &str,
    review: &mut Review<'_, '_>,
) -> Option<SecretRef> {
    let secret = secret(name, path, review)?;
    review.require(secret.field.is_none(), &path.field("secret"), || {
        let kind = path.to_string();
        let kind = kind.rsplit('.').next().unwrap_or_default();
        format!("the secret of `{kind}` is a JSON object with {fields}; leave `#…` out")
    });
    Some(secret)
}
