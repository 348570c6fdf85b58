//! How requests prove who sends them.

mod template;

use super::{FieldPath, SecretRef, millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub use template::{Piece, Template};

/// How requests prove who sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Auth {
    /// They do not.
    None,
    /// `Authorization: Bearer …`; the secret is the token, or a JSON object whose `token` it is.
    Bearer {
        /// Where the token is.
        secret: SecretRef,
    },
    /// `Authorization: Basic …`; the secret is a JSON object with `username` and `password`.
    Basic {
        /// Where they are.
        secret: SecretRef,
    },
    /// A key in a header, a parameter or a cookie; the secret is the key, or a JSON object whose `key` it is.
    ApiKey {
        /// Where the key is.
        secret: SecretRef,
        /// Where it is sent.
        place: KeyPlace,
    },
    /// Headers that are made of the secret.
    Headers {
        /// What the templates name.
        secret: SecretRef,
        /// The headers.
        set: BTreeMap<String, Template>,
    },
    /// A token for the client itself: RFC 6749, section 4.4.
    #[serde(rename = "oauth2_client_credentials")]
    ClientCredentials(TokenRequest),
    /// A token for a refresh token, which may be one that can be used once: RFC 6749, section 6.
    #[serde(rename = "oauth2_refresh_token")]
    RefreshToken(TokenRequest),
    /// A token for an assertion that is signed with a private key: RFC 7523.
    JwtBearer(JwtBearer),
    /// A token from the answer to a request that logs in.
    Session(Session),
    /// A signature as services of AWS want it.
    AwsSigv4 {
        /// A JSON object with `access_key_id`, `secret_access_key` and, where there is one, `session_token`.
        secret: SecretRef,
        /// The region: `eu-central-1`.
        region: String,
        /// The service by its name in signatures: `execute-api`.
        service: String,
    },
    /// A signature with a key that both sides hold.
    Hmac(Hmac),
    /// Several credentials, used in turn.
    InTurn {
        /// The credentials; none of them is `None` or `InTurn`.
        credentials: Vec<Auth>,
    },
}

impl Auth {
    /// The secret that it needs; none where it needs none, or several.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::None | Self::InTurn { .. } => None,
            Self::Bearer { secret }
            | Self::Basic { secret }
            | Self::ApiKey { secret, .. }
            | Self::Headers { secret, .. }
            | Self::AwsSigv4 { secret, .. } => Some(secret),
            Self::ClientCredentials(request) | Self::RefreshToken(request) => Some(&request.secret),
            Self::JwtBearer(grant) => Some(&grant.secret),
            Self::Session(session) => Some(&session.secret),
            Self::Hmac(hmac) => Some(&hmac.secret),
        }
    }

    /// The credentials that are used in turn: several, one, or none.
    pub fn credentials(&self) -> &[Auth] {
        match self {
            Self::None => &[],
            Self::InTurn { credentials } => credentials,
            _ => std::slice::from_ref(self),
        }
    }

    /// The query parameters in which credentials are sent.
    pub fn query_parameters(&self) -> Vec<&str> {
        self.credentials()
            .iter()
            .filter_map(|auth| match auth {
                Self::ApiKey {
                    place: KeyPlace::Query(name),
                    ..
                }
                | Self::Session(Session {
                    send: Sending::At(KeyPlace::Query(name)),
                    ..
                }) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// Where an API key is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// In the header of this name.
    Header(String),
    /// In the query parameter of this name.
    Query(String),
    /// In the cookie of this name.
    Cookie(String),
}

/// A request to the token endpoint of an OAuth 2 server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// The token endpoint.
    pub token_url: String,
    /// A JSON object with `client_id`, `client_secret` and, for that grant, `refresh_token`.
    pub secret: SecretRef,
    /// How the client proves who it is.
    pub client_auth: ClientAuth,
    /// What the token is to open, where the request says so.
    pub scope: Option<String>,
    /// Whom the token is for, where the request says so.
    pub audience: Option<String>,
    /// Further fields of the request.
    pub params: BTreeMap<String, String>,
}

/// How a client proves to a token endpoint who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// By `Authorization: Basic …`.
    #[default]
    Basic,
    /// By `client_id` and `client_secret` in the body.
    Body,
}

/// A grant for an assertion that the client signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtBearer {
    /// The token endpoint.
    pub token_url: String,
    /// The private key as PEM, or a JSON object whose `private_key` it is.
    pub secret: SecretRef,
    /// How the assertion is signed.
    pub algorithm: JwtAlgorithm,
    /// The key's name for the server, where it needs one (`kid`).
    pub key_id: Option<String>,
    /// Who signs (`iss`).
    pub issuer: String,
    /// For whom the token is (`sub`), where that is another than the issuer.
    pub subject: Option<String>,
    /// Who is to read the assertion (`aud`).
    pub audience: String,
    /// What the token is to open: a field of the request, and a claim.
    pub scope: Option<String>,
    /// Further claims.
    pub claims: BTreeMap<String, Value>,
    /// How long an assertion is valid.
    #[serde(with = "millis")]
    pub lifetime: Duration,
}

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JwtAlgorithm {
    /// RSA with PKCS #1 padding and SHA-256.
    RS256,
    /// ECDSA over P-256 with SHA-256.
    ES256,
}

/// A session that a request opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the login's templates name.
    pub secret: SecretRef,
    /// Where the login is sent: a URL, or a path behind the connection's base_url.
    pub url: String,
    /// What is sent.
    pub body: LoginBody,
    /// Where the token is in the answer.
    pub token: TokenPlace,
    /// Where the token is sent.
    pub send: Sending,
    /// How long a session lasts; none where it is used until it is refused.
    pub lasts: Option<Duration>,
}

/// The body of a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginBody {
    /// JSON, whose texts are templates.
    Json(Value),
    /// A form.
    Form(BTreeMap<String, Template>),
}

/// Where a token is in the answer to a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    /// At this path of the JSON body.
    Path(FieldPath),
    /// In this header.
    Header(String),
    /// In this cookie.
    Cookie(String),
}

/// Where a session's token is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sending {
    /// As it is.
    At(KeyPlace),
    /// In a header, within a text.
    Header {
        /// The header.
        name: String,
        /// Its value.
        value: Template,
    },
}

/// A signature with a key that both sides hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hmac {
    /// The key, or a JSON object whose `key` it is.
    pub secret: SecretRef,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// How the secret spells the key.
    pub key_encoding: Encoding,
    /// What is signed.
    pub message: Template,
    /// How the signature is spelled.
    pub encoding: Encoding,
    /// The headers that carry the signature and what belongs to it.
    pub headers: BTreeMap<String, Template>,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacAlgorithm {
    /// SHA-1, which some systems still want.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As they are.
    Text,
    /// In hexadecimal, small letters.
    Hex,
    /// In Base64 with padding.
    Base64,
}
