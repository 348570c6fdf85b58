//! `Authorization: Bearer …`, with a token that the secret holds.

use super::credential::{Credential, Form, header_value};
use http::header;
use millrace_model::Failure;
use millrace_model::definition::SecretRef;
use millrace_store::secrets::Secret;

pub(super) fn credential(reference: &SecretRef, secret: &Secret) -> Result<Credential, Failure> {
    with_token(&secret.resolve(reference, "token")?)
}

/// With a token, wherever it comes from.
pub(super) fn with_token(token: &Secret) -> Result<Credential, Failure> {
    let value = header_value(token, &format!("Bearer {}", token.text()))?;
    let form = Form::Headers(vec![(header::AUTHORIZATION, value)]);
    Ok(Credential::new(form, [token.text().to_owned()]))
}
