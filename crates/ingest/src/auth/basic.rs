//! `Authorization: Basic …`.

use super::credential::{Credential, Form, header_value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use millrace_model::Failure;
use millrace_model::definition::SecretRef;
use millrace_store::secrets::Secret;

pub(super) fn credential(reference: &SecretRef, secret: &Secret) -> Result<Credential, Failure> {
    let pair = secret.field(reference.field.as_deref())?;
    let (username, password) = (pair.field(Some("username"))?, pair.field(Some("password"))?);
    let encoded = STANDARD.encode(format!("{}:{}", username.text(), password.text()));
    let value = header_value(&pair, &format!("Basic {encoded}"))?;
    let form = Form::Headers(vec![(header::AUTHORIZATION, value)]);
    Ok(Credential::new(form, [encoded, password.text().to_owned()]))
}
