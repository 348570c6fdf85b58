//! Wire personal data → personal data.

use super::value;
use crate::definition::FieldPath;
use crate::definition::personal_data::{Generalisation, PersonalData, Treatment};
use crate::definition::pipeline::Resource;
use crate::definition::problem::{Path, Review};
use crate::definition::wire::personal_data::{PersonalDataForm, TreatmentForm};

/// How many characters may be left of a text.
const LONGEST_PREFIX: u16 = 64;

/// What the form means, or problems at that path.
pub(super) fn validate(
    form: &PersonalDataForm,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<PersonalData> {
    let key = match &form.key {
        None => Some(None),
        Some(name) => review
            .accept(&at.field("key"), value::secret(&name.0))
            .map(Some),
    };
    let mut fields = Vec::with_capacity(form.fields.len());
    for (path, treatment) in &form.fields {
        let at = at.field("fields").field(path);
        let treatment = match treatment {
            TreatmentForm::Drop => Treatment::Drop,
            TreatmentForm::Hash => Treatment::Hash,
            TreatmentForm::Mask => Treatment::Mask,
            TreatmentForm::Year => Treatment::Generalise(Generalisation::Year),
            TreatmentForm::Month => Treatment::Generalise(Generalisation::Month),
            TreatmentForm::Network => Treatment::Generalise(Generalisation::Network),
            TreatmentForm::Prefix(characters) => {
                review.require((1..=LONGEST_PREFIX).contains(characters), &at, || {
                    format!("a prefix has 1 to {LONGEST_PREFIX} characters")
                });
                Treatment::Generalise(Generalisation::Prefix(*characters))
            }
            TreatmentForm::Bucket(width) => {
                review.require(*width > 0, &at, || "a bucket is 1 wide or wider".to_owned());
                Treatment::Generalise(Generalisation::Bucket(*width))
            }
        };
        fields.push((review.accept(&at, value::field_path(path))?, treatment));
    }
    review.require(!fields.is_empty(), &at.field("fields"), || {
        "name at least one field".to_owned()
    });
    let hashes = fields
        .iter()
        .any(|(_, treatment)| *treatment == Treatment::Hash);
    review.require(hashes == form.key.is_some(), at, || {
        if hashes {
            "a hash needs a key, or anybody could find out who is meant by trying: `key: aws::secret/…`".to_owned()
        } else {
            "`key` is the key of hashes, and no field is hashed".to_owned()
        }
    });
    Some(PersonalData { key: key?, fields })
}

/// Reports fields that a pull works with, and that would not be what the source said any more.
pub(super) fn check_use(resource: &Resource, at: &Path, review: &mut Review<'_, '_>) {
    let Some(personal) = &resource.personal_data else {
        return;
    };
    let covers = |path: &FieldPath, field: &FieldPath| {
        field.0 == path.0 || field.0.starts_with(&format!("{}.", path.0))
    };
    for (path, treatment) in &personal.fields {
        let at = at.field("personal_data").field("fields").field(&path.0);
        let cursor = resource.incremental.as_ref();
        let is_cursor = cursor.is_some_and(|incremental| covers(path, &incremental.field));
        review.require(!is_cursor, &at, || {
            "by this field `incremental` tells how far a run has come; it must stay as it is"
                .to_owned()
        });
        let is_key = resource.key.iter().any(|key| covers(path, key));
        review.require(!is_key || *treatment == Treatment::Hash, &at, || {
            "a record is known by this field (`key`); it can be hashed, and nothing else".to_owned()
        });
    }
}
