//! `auth` of a connection.

use super::form::{AsWritten, DurationText, SecretName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How requests prove who sends them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthForm {
    /// They do not.
    None,
    /// `Authorization: Bearer …`. The secret is the token, or a JSON object whose `token` it is.
    Bearer(SecretForm),
    /// `Authorization: Basic …`. The secret is a JSON object with `username` and `password`.
    Basic(SecretForm),
    /// A key in a header, a query parameter or a cookie. The secret is the key, or a JSON object whose `key` it is.
    ApiKey(ApiKeyForm),
    /// Headers made of the secret.
    Headers(HeadersForm),
    /// OAuth 2, client credentials. The secret is a JSON object with `client_id` and `client_secret`.
    #[serde(rename = "oauth2_client_credentials")]
    ClientCredentials(TokenRequestForm),
    /// OAuth 2, refresh token. The secret is a JSON object with `client_id`, `client_secret` (unless the client is a
    /// public one) and `refresh_token`; each new refresh token is written back into it.
    #[serde(rename = "oauth2_refresh_token")]
    RefreshToken(TokenRequestForm),
    /// OAuth 2 with an assertion signed by a private key (RFC 7523). The secret is the key as PEM, or a JSON object whose
    /// `private_key` it is.
    JwtBearer(JwtBearerForm),
    /// A session: a request logs in, and its answer holds a token.
    Session(SessionForm),
    /// AWS Signature Version 4. The secret is a JSON object with `access_key_id`, `secret_access_key` and, where there is
    /// one, `session_token`.
    AwsSigv4(AwsSigv4Form),
    /// A signature with a key that both sides hold. The secret is the key, or a JSON object whose `key` it is.
    Hmac(HmacForm),
    /// Several credentials, used in turn.
    InTurn(Vec<AuthForm>),
}

/// Where a credential is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
}

/// Where an API key is, and where it is sent: one of `header`, `query` and `cookie`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["query"] }, { "required": ["cookie"] }]))]
pub(crate) struct ApiKeyForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The header in which the key is sent.
    #[schemars(example = &"X-Api-Key")]
    pub(crate) header: Option<String>,
    /// The query parameter in which the key is sent.
    #[schemars(example = &"key")]
    pub(crate) query: Option<String>,
    /// The cookie in which the key is sent.
    #[schemars(example = &"session")]
    pub(crate) cookie: Option<String>,
}

/// Headers made of a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadersForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The headers. `{{ secret }}` is the secret as it is, `{{ secret.NAME }}` a field of its JSON object.
    #[schemars(length(min = 1))]
    pub(crate) set: BTreeMap<String, String>,
}

/// How a client proves to a token endpoint who it is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuthForm {
    /// By `Authorization: Basic …`.
    Basic,
    /// By `client_id` and `client_secret` in the body.
    Body,
}

/// A request for a token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequestForm {
    /// The token endpoint: a whole URL.
    #[schemars(example = &"https://login.example.com/oauth2/token")]
    pub(crate) token_url: String,
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// How the client proves who it is; `basic` unless said otherwise.
    pub(crate) client_auth: Option<ClientAuthForm>,
    /// What the token is to open: names with spaces between them.
    pub(crate) scope: Option<String>,
    /// Whom the token is for.
    pub(crate) audience: Option<String>,
    /// Further fields of the request for a token.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, AsWritten>,
}

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum JwtAlgorithmForm {
    /// RSA with SHA-256.
    RS256,
    /// ECDSA over P-256 with SHA-256.
    ES256,
}

/// A grant for a signed assertion.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtBearerForm {
    /// The token endpoint: a whole URL.
    #[schemars(example = &"https://oauth2.googleapis.com/token")]
    pub(crate) token_url: String,
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// How the assertion is signed; `RS256` unless said otherwise.
    pub(crate) algorithm: Option<JwtAlgorithmForm>,
    /// The key's name for the server (`kid`).
    pub(crate) key_id: Option<String>,
    /// Who signs (`iss`).
    pub(crate) issuer: String,
    /// For whom the token is (`sub`), where the server wants to know.
    pub(crate) subject: Option<String>,
    /// Who is to read the assertion (`aud`); the token endpoint unless said otherwise.
    pub(crate) audience: Option<String>,
    /// What the token is to open: names with spaces between them.
    pub(crate) scope: Option<String>,
    /// Further claims of the assertion.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, Value>,
    /// How long an assertion is valid; `5m` unless said otherwise.
    pub(crate) lifetime: Option<DurationText>,
}

/// A session that a request opens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The request that logs in: a POST.
    pub(crate) login: LoginForm,
    /// Where the token is in the answer.
    pub(crate) token: TokenPlaceForm,
    /// Where the token is sent; `Authorization: Bearer …` unless said otherwise, or the cookie that it came in.
    pub(crate) send: Option<SendForm>,
    /// How long a session lasts; until it is refused unless said otherwise.
    pub(crate) lasts: Option<DurationText>,
}

/// The request that logs in, with either `json` or `form`. In its texts `{{ secret.NAME }}` is a field of the secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["json"] }, { "required": ["form"] }]))]
pub(crate) struct LoginForm {
    /// A path behind the connection's base_url, or a whole URL.
    #[schemars(example = &"/login")]
    pub(crate) url: String,
    /// A JSON body.
    pub(crate) json: Option<Value>,
    /// A form.
    pub(crate) form: Option<BTreeMap<String, AsWritten>>,
}

/// Where a token is in an answer: one of `path`, `header` and `cookie`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["header"] }, { "required": ["cookie"] }]))]
pub(crate) struct TokenPlaceForm {
    /// A path into the JSON body.
    #[schemars(example = &"data.token")]
    pub(crate) path: Option<String>,
    /// A header.
    pub(crate) header: Option<String>,
    /// A cookie.
    pub(crate) cookie: Option<String>,
}

/// Where a token is sent: one of `header`, `query` and `cookie`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["query"] }, { "required": ["cookie"] }]))]
pub(crate) struct SendForm {
    /// A header.
    #[schemars(example = &"X-Auth-Token")]
    pub(crate) header: Option<String>,
    /// The header's value, where it is more than the token: `Session {{ token }}`.
    pub(crate) value: Option<String>,
    /// A query parameter.
    pub(crate) query: Option<String>,
    /// A cookie.
    pub(crate) cookie: Option<String>,
}

/// A signature as services of AWS want it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsSigv4Form {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The region.
    #[schemars(example = &"eu-central-1")]
    pub(crate) region: String,
    /// The service, by its name in signatures.
    #[schemars(example = &"execute-api")]
    pub(crate) service: String,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HmacAlgorithmForm {
    /// SHA-1, which some systems still want.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is spelled.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignatureEncodingForm {
    /// In hexadecimal.
    Hex,
    /// In Base64.
    Base64,
}

/// How the secret spells the key.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyEncodingForm {
    /// As it is.
    Text,
    /// In hexadecimal.
    Hex,
    /// In Base64.
    Base64,
}

/// A signature with a key that both sides hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HmacForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The hash; `sha256` unless said otherwise.
    pub(crate) algorithm: Option<HmacAlgorithmForm>,
    /// How the secret spells the key; `text` unless said otherwise.
    pub(crate) key_encoding: Option<KeyEncodingForm>,
    /// What is signed. Its values: `method`, `url`, `host`, `path`, `query`, `path_and_query`, `body`, `body_sha256`,
    /// `timestamp`, `timestamp_ms`, `date`, `iso_date`, `nonce`, and `secret.NAME` for a field of the secret.
    #[schemars(example = &"{{ timestamp }}{{ method }}{{ path_and_query }}{{ body }}")]
    pub(crate) message: String,
    /// How the signature is spelled; `hex` unless said otherwise.
    pub(crate) encoding: Option<SignatureEncodingForm>,
    /// The headers that are sent with it; the values are the message's, and `signature`.
    #[schemars(length(min = 1))]
    pub(crate) headers: BTreeMap<String, String>,
}
