//! Headers made of a secret.

use super::credential::{Credential, Form, header_name, header_value};
use super::values;
use millrace_model::Failure;
use millrace_model::definition::SecretRef;
use millrace_model::definition::auth::Template;
use millrace_store::secrets::Secret;
use std::collections::BTreeMap;

pub(super) fn credential(
    reference: &SecretRef,
    set: &BTreeMap<String, Template>,
    secret: &Secret,
) -> Result<Credential, Failure> {
    let mut headers = Vec::with_capacity(set.len());
    let mut hidden = values::texts(secret);
    for (name, template) in set {
        let value = template.fill(|name| values::of_secret(reference, secret, name))?;
        headers.push((header_name(name)?, header_value(secret, &value)?));
        hidden.push(value);
    }
    Ok(Credential::new(Form::Headers(headers), hidden))
}
