//! The JSON Schemas of the three kinds and of the endpoints' tests, by which editors complete and check the YAML.

use crate::definition::wire::{
    connection::ConnectionFile, endpoint::EndpointFile, endpoint_tests::EndpointTestsFile,
    pipeline::PipelineFile,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of `connections/*.yaml`.
pub fn connection() -> Value {
    of::<ConnectionFile>()
}

/// The schema of `pipelines/*.yaml`.
pub fn pipeline() -> Value {
    of::<PipelineFile>()
}

/// The schema of `endpoints/*.yaml`.
pub fn endpoint() -> Value {
    of::<EndpointFile>()
}

/// The schema of `endpoints/tests/*.yaml`.
pub fn endpoint_tests() -> Value {
    of::<EndpointTestsFile>()
}

fn of<T: JsonSchema>() -> Value {
    // Draft 7 is what the YAML language server, and so most editors, read without reservations.
    SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Named `schemas…` so that the command in its message runs it alone.
    #[test]
    fn schemas_in_the_repository_are_fresh() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
        for (kind, schema) in [
            ("connection", connection()),
            ("pipeline", pipeline()),
            ("endpoint", endpoint()),
            ("endpoint-tests", endpoint_tests()),
        ] {
            let path = folder.join(format!("{kind}.schema.json"));
            let fresh = format!("{schema:#}\n");
            if std::env::var_os("UPDATE_SCHEMAS").is_some() {
                fs::create_dir_all(&folder).expect("the folder of the schemas can be made");
                fs::write(&path, &fresh).expect("the schema can be written");
            }
            let kept = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                kept == fresh,
                "schemas/{kind}.schema.json is not what the types say; renew it: \
                 make schemas"
            );
        }
    }

    #[test]
    fn schemas_refuse_unknown_fields() {
        for schema in [connection(), pipeline(), endpoint(), endpoint_tests()] {
            assert_eq!(schema["additionalProperties"], false);
        }
    }
}
