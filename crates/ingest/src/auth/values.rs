//! What templates name of a secret: `secret`, the whole of it, and `secret.NAME`, a field.

use millrace_model::Failure;
use millrace_model::definition::SecretRef;
use millrace_store::secrets::Secret;

/// The value that a template names, where it is of the secret.
pub(super) fn of_secret(
    reference: &SecretRef,
    secret: &Secret,
    name: &str,
) -> Result<String, Failure> {
    let part = secret.field(reference.field.as_deref())?;
    Ok(match name.strip_prefix("secret.") {
        Some(field) => part.field(Some(field))?.text().to_owned(),
        None => part.text().to_owned(),
    })
}

/// Every text that a secret holds: itself, and the fields of its JSON object.
pub(super) fn texts(secret: &Secret) -> Vec<String> {
    let mut texts = vec![secret.text().to_owned()];
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(secret.text()) {
        let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
        // Short values are names and numbers rather than secrets, and would be scrubbed out of plain words.
        let is_worth_hiding = |text: &String| text.len() >= 6;
        texts.extend(fields.values().filter_map(text).filter(is_worth_hiding));
    }
    texts
}
