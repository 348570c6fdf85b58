//! What was made of a document, as YAML with comments that teach.

use super::document::Document;
use super::{Resource, security, yaml};
use std::fmt::Write;

/// `connections/<name>.yaml`.
pub(super) fn connection(
    name: &str,
    document: &Document,
    base_url: &str,
    auth: &security::Auth,
) -> String {
    let secret = auth.secret.as_ref().map_or_else(String::new, |secret| {
        format!("# The secret millrace/{name} holds {secret}.\n")
    });
    format!(
        "\
# yaml-language-server: $schema=../schemas/connection.schema.json
# {title}: how it is reached. Secrets are named here, never written here.
connection: {name}
base_url: {base_url}
{secret}{auth}# What the API's own documentation allows for: Retry-After and RateLimit headers are obeyed in any case.
rate_limit: 5/s
",
        title = yaml::comment(document.title()),
        auth = auth.yaml,
    )
}

/// `pipelines/<name>.yaml`.
pub(super) fn pipeline(
    name: &str,
    connection: &str,
    document: &Document,
    resources: &[Resource<'_>],
    left_out: &[String],
) -> String {
    let description = yaml::quoted(&format!(
        "What {} answers.",
        yaml::comment(document.title())
    ));
    let mut text = format!(
        "\
# yaml-language-server: $schema=../schemas/pipeline.schema.json
# A first version, made of an OpenAPI document. Keep the resources that you need; `millrace try {name} RESOURCE` shows one page.
pipeline: {name}
description: {description}
# schedule: rate(1 hour)               # when it runs by itself, in the syntax of EventBridge Scheduler
resources:
"
    );
    // Writing into a text cannot fail.
    for resource in resources {
        let _ = resource.write(&mut text, connection);
    }
    text.push_str("tables:\n");
    for resource in resources {
        // Without a key no row is known again.
        let write = if resource.key.is_some() {
            "upsert"
        } else {
            "replace"
        };
        let name = &resource.name;
        let _ = writeln!(text, "  - {{ name: {name}, from: {name}, write: {write} }}");
    }
    if let Some(first) = resources.first() {
        let schema = name.replace('-', "_");
        let _ = writeln!(
            text,
            "# publish:\n#   - {{ table: {first}, to: operational_store, as: {schema}.{first} }}",
            first = first.name
        );
    }
    if !left_out.is_empty() {
        text.push_str("# Left out, because they need values that the document does not give:\n");
        for line in left_out {
            let _ = writeln!(text, "#   {}", yaml::comment(line));
        }
    }
    text
}

impl Resource<'_> {
    fn write(&self, text: &mut String, connection: &str) -> std::fmt::Result {
        let summary = yaml::comment(self.operation.summary());
        if !summary.is_empty() {
            writeln!(text, "  # {summary}")?;
        }
        writeln!(text, "  - name: {}", self.name)?;
        writeln!(text, "    connection: {connection}")?;
        if let Some(parent) = &self.parent {
            writeln!(text, "    parent: {}", parent.name)?;
        }
        writeln!(text, "    path: {}", yaml::text(&self.path))?;
        for (field, values) in [("params", &self.params), ("headers", &self.headers)] {
            if !values.is_empty() {
                let pair = |(name, value): (&String, &String)| {
                    format!("{}: {}", yaml::text(name), yaml::quoted(value))
                };
                let pairs: Vec<_> = values.iter().map(pair).collect();
                writeln!(text, "    {field}: {{ {} }}", pairs.join(", "))?;
            }
        }
        if !self.carry.is_empty() {
            let field =
                |(field, of_parent): &(String, String)| format!("{field}: parent.{of_parent}");
            let fields: Vec<_> = self.carry.iter().map(field).collect();
            writeln!(text, "    carry: {{ {} }}", fields.join(", "))?;
        }
        if let Some(paginate) = &self.paging.paginate {
            writeln!(text, "    paginate: {paginate}")?;
        }
        if !self.records.is_empty() {
            writeln!(text, "    records: {}", yaml::text(&self.records))?;
        }
        if let Some(incremental) = &self.incremental {
            writeln!(text, "    # {incremental}")?;
        }
        if let Some(key) = &self.key {
            // What names a record may do so among those of its parent alone.
            let links = self.parent.iter().flat_map(|parent| &parent.links);
            let fields = links
                .map(|link| link.field.as_str())
                .filter(|field| field != key);
            let key: Vec<&str> = fields.chain([key.as_str()]).collect();
            writeln!(text, "    key: [{}]", key.join(", "))?;
        }
        Ok(())
    }
}
