//! A key in a header, a query parameter or a cookie.

use super::credential::{Credential, Form, header_name, header_value};
use millrace_model::Failure;
use millrace_model::definition::SecretRef;
use millrace_model::definition::connection::KeyPlace;
use millrace_store::secrets::Secret;

pub(super) fn credential(
    reference: &SecretRef,
    place: &KeyPlace,
    secret: &Secret,
) -> Result<Credential, Failure> {
    at(place, &secret.resolve(reference, "key")?)
}

/// A value at that place.
pub(super) fn at(place: &KeyPlace, key: &Secret) -> Result<Credential, Failure> {
    let text = key.text().to_owned();
    let form = match place {
        KeyPlace::Header(name) => {
            Form::Headers(vec![(header_name(name)?, header_value(key, &text)?)])
        }
        KeyPlace::Query(name) => Form::Query(name.clone(), text.clone()),
        KeyPlace::Cookie(name) => {
            let is_sound = text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b",;\"\\".contains(&byte));
            if !is_sound {
                let problem =
                    "holds characters that no cookie may have; put the bare value into it";
                return Err(key.malformed(problem).into());
            }
            Form::Cookie(name.clone(), text.clone())
        }
    };
    Ok(Credential::new(form, [text]))
}
