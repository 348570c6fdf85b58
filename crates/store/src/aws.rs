//! What the AWS SDKs' errors say to a person.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// The service's code and message; where no service answered, the causes, outermost first. Unlike the SDK's own `Debug` it
/// holds no answer's headers and body.
pub fn explain<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        return match error.message() {
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let step = error.to_string();
        // Wrappers repeat what they wrap.
        if !text.ends_with(&step) {
            text = format!("{text}: {step}");
        }
        cause = error.source();
    }
    text
}
