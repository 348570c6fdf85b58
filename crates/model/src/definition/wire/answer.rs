//! `answers` of a resource.

use crate::definition::answer::Meaning;
use schemars::JsonSchema;
use serde::Deserialize;

/// What an answer means for which a condition holds, where its status does not say it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerForm {
    /// An expression over `answer`, the values of the body outside of the records, and `status`. What the body does not
    /// have does not hold.
    #[schemars(example = &"answer.ok == false")]
    pub(crate) when: String,
    /// What the answer means then.
    pub(crate) means: Meaning,
}
