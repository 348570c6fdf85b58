//! An OpenAPI document: what stands where, with references followed.

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use std::path::Path;

/// The longest document that is read.
const LONGEST: u64 = 64 * 1024 * 1024;

/// How many nodes YAML may have: the largest published documents have some hundred thousand.
const NODES: usize = 4_000_000;

/// How many references are followed, one leading to the next.
const REFERENCES: usize = 16;

/// How deep schemas are looked into: they may contain themselves.
const DEEPEST: usize = 12;

/// An OpenAPI document of version 3.
pub struct Document {
    root: Value,
}

/// A GET of a path.
#[derive(Clone, Copy)]
pub struct Operation<'d> {
    pub document: &'d Document,
    /// `/orders/{id}`.
    pub path: &'d str,
    item: &'d Value,
    get: &'d Value,
}

/// A parameter of an operation.
#[derive(Clone, Copy)]
pub struct Parameter<'d> {
    pub name: &'d str,
    /// `query`, `header`, `path` or `cookie`.
    pub place: &'d str,
    pub is_required: bool,
    value: &'d Value,
    pub schema: Schema<'d>,
}

/// A schema, and how deep in its document's answer it stands.
#[derive(Clone, Copy)]
pub struct Schema<'d> {
    document: &'d Document,
    value: &'d Value,
    depth: usize,
}

impl Document {
    /// Reads a document, in YAML or JSON.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let length = std::fs::metadata(path)
            .with_context(|| format!("cannot read {shown}"))?
            .len();
        ensure!(
            length <= LONGEST,
            "{shown} is longer than {} MiB",
            LONGEST >> 20
        );
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("{shown} cannot be used"))
    }

    /// The document of that text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let root: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).context("it is not JSON")?
        } else {
            let options = serde_saphyr::options! {
                budget: serde_saphyr::budget! { max_nodes: NODES, max_events: 2 * NODES },
            };
            serde_saphyr::from_str_with_options(text, options).context("it is not YAML")?
        };
        if root.get("swagger").is_some() {
            bail!(
                "it is a Swagger 2.0 document, and OpenAPI 3 is read: `npx swagger2openapi` makes one of it"
            );
        }
        let version = root
            .get("openapi")
            .map(|version| version.to_string().replace('"', ""));
        let version = version.context("it has no `openapi: 3.…`, so it is no OpenAPI document")?;
        ensure!(
            version.starts_with("3."),
            "it is of OpenAPI {version}, and version 3 is read"
        );
        Ok(Self { root })
    }

    /// What its author calls the API.
    pub fn title(&self) -> &str {
        self.root["info"]["title"].as_str().unwrap_or_default()
    }

    /// The first server's URL, with its variables' defaults; may be a path alone.
    pub fn server(&self) -> Option<String> {
        let server = self.root.get("servers")?.get(0)?;
        let mut url = server.get("url")?.as_str()?.to_owned();
        for (name, variable) in server
            .get("variables")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let default = variable["default"].as_str().unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), default);
        }
        Some(url)
    }

    /// The security schemes by name.
    pub fn security_scheme(&self, name: &str) -> Option<&Value> {
        let scheme = self
            .root
            .get("components")?
            .get("securitySchemes")?
            .get(name)?;
        Some(self.follow(scheme))
    }

    /// What requests have to carry: alternatives, each a mapping of schemes.
    pub fn security(&self) -> Option<&Vec<Value>> {
        self.root.get("security")?.as_array()
    }

    /// All GETs that are not deprecated, in the order of their paths.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let Some(paths) = self.root.get("paths").and_then(Value::as_object) else {
            return Vec::new();
        };
        paths
            .iter()
            .filter_map(|(path, item)| {
                let item = self.follow(item);
                let get = item.get("get")?;
                let is_deprecated = get["deprecated"].as_bool().unwrap_or_default();
                (!is_deprecated).then_some(Operation {
                    document: self,
                    path,
                    item,
                    get,
                })
            })
            .collect()
    }

    /// The value itself, or what it refers to within this document.
    fn follow<'d>(&'d self, value: &'d Value) -> &'d Value {
        let mut value = value;
        for _ in 0..REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                break;
            };
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(&decoded(pointer)));
            match target {
                Some(target) => value = target,
                None => return &Value::Null,
            }
        }
        value
    }
}

/// A JSON pointer in a URL's fragment is percent-encoded.
fn decoded(pointer: &str) -> String {
    pointer
        .replace("%7B", "{")
        .replace("%7D", "}")
        .replace("%20", " ")
}

impl<'d> Operation<'d> {
    /// What its author says that it does, in a line.
    pub fn summary(&self) -> &'d str {
        let text = |name: &str| self.get.get(name).and_then(Value::as_str);
        let summary = text("summary").or_else(|| text("description"));
        summary
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
    }

    /// What its requests have to carry, where that is said of it alone.
    pub fn security(&self) -> Option<&'d Vec<Value>> {
        self.get.get("security")?.as_array()
    }

    /// Its parameters, those of the path's item included.
    pub fn parameters(&self) -> Vec<Parameter<'d>> {
        let lists = [self.get.get("parameters"), self.item.get("parameters")];
        let mut parameters: Vec<Parameter<'d>> = Vec::new();
        for value in lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten()
        {
            let value = self.document.follow(value);
            let (Some(name), Some(place)) = (value["name"].as_str(), value["in"].as_str()) else {
                continue;
            };
            // What stands at the operation counts.
            if parameters
                .iter()
                .any(|known| known.name == name && known.place == place)
            {
                continue;
            }
            parameters.push(Parameter {
                name,
                place,
                is_required: place == "path" || value["required"].as_bool().unwrap_or_default(),
                value,
                schema: Schema {
                    document: self.document,
                    value: self.document.follow(&value["schema"]),
                    depth: 0,
                },
            });
        }
        parameters
    }

    /// What a good answer holds, and whether it has a `Link` header.
    pub fn answer(&self) -> Option<(Schema<'d>, bool)> {
        let responses = self.get.get("responses")?;
        let response = ["200", "2XX", "2xx", "default"]
            .iter()
            .find_map(|status| responses.get(status))?;
        let response = self.document.follow(response);
        let headers = response.get("headers").and_then(Value::as_object);
        let has_link = headers
            .is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case("link")));
        let (_, media) = response
            .get("content")?
            .as_object()?
            .iter()
            .find(|(kind, _)| kind.contains("json") || *kind == "*/*")?;
        let schema = Schema {
            document: self.document,
            value: self.document.follow(media.get("schema")?),
            depth: 0,
        };
        Some((schema, has_link))
    }
}

impl Parameter<'_> {
    /// What its author says of it, in small letters.
    pub fn description(&self) -> String {
        let own = self.value["description"].as_str().unwrap_or_default();
        own.to_lowercase() + &self.schema.description()
    }

    /// A value that the document gives for it, as text.
    pub fn given(&self) -> Option<String> {
        let schema = self.schema.value;
        let items = self.schema.document.follow(&schema["items"]);
        let example = self
            .value
            .get("examples")
            .and_then(Value::as_object)
            .and_then(|examples| examples.values().next())
            .map(|example| &self.schema.document.follow(example)["value"]);
        let candidates = [
            schema.get("default"),
            schema.get("const"),
            self.value.get("example"),
            schema.get("example"),
            example,
            schema.get("examples").and_then(|list| list.get(0)),
            schema.get("enum").and_then(|list| list.get(0)),
            items.get("default"),
            items.get("example"),
            items.get("enum").and_then(|list| list.get(0)),
        ];
        candidates
            .into_iter()
            .flatten()
            .find_map(|value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Array(items) => items.first()?.as_str().map(ToOwned::to_owned),
                _ => None,
            })
    }
}

impl<'d> Schema<'d> {
    /// A number that it says of its values: `maximum`, `default`.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.value.get(name)?;
        value.as_u64().or_else(|| {
            value
                .as_f64()
                .filter(|number| *number >= 0.0)
                .map(|number| number as u64)
        })
    }

    /// Whether its values are of that type; true where it does not say.
    pub fn may_be(&self, kind: &str) -> bool {
        match self.value.get("type") {
            Some(Value::String(is)) => is == kind,
            Some(Value::Array(kinds)) => kinds.iter().any(|is| is == kind),
            _ => true,
        }
    }

    /// What it says of its values' form: `date-time`, `uri`.
    pub fn format(&self) -> &'d str {
        self.value["format"].as_str().unwrap_or_default()
    }

    /// What its author says of it, in small letters.
    pub fn description(&self) -> String {
        self.value["description"]
            .as_str()
            .unwrap_or_default()
            .to_lowercase()
    }

    /// The schema of an element, where its values are lists.
    pub fn items(&self) -> Option<Schema<'d>> {
        if let Some(items) = self.value.get("items") {
            return self.child(items);
        }
        self.parts().into_iter().find_map(|part| part.items())
    }

    /// Whether its values are objects, as far as it says.
    pub fn is_object(&self) -> bool {
        self.may_be("object") && (!self.properties().is_empty() || self.value.get("type").is_some())
    }

    /// The properties of its values, where they are objects.
    pub fn properties(&self) -> Vec<(&'d str, Schema<'d>)> {
        let own = self.value.get("properties").and_then(Value::as_object);
        let own = own.into_iter().flat_map(Map::iter);
        let own: Vec<_> = own
            .filter_map(|(name, value)| Some((name.as_str(), self.child(value)?)))
            .collect();
        let mut properties: Vec<(&str, Schema<'_>)> = Vec::new();
        // What comes later says more of what came before: a wrapper first, then what is wrapped.
        for (name, schema) in self.parts().iter().flat_map(Schema::properties).chain(own) {
            properties.retain(|(known, _)| *known != name);
            properties.push((name, schema));
        }
        properties
    }

    /// The property of that dotted path.
    pub fn at(&self, path: &str) -> Option<Schema<'d>> {
        let mut found = *self;
        for name in path.split('.') {
            let (_, property) = found
                .properties()
                .into_iter()
                .find(|(known, _)| *known == name)?;
            found = property;
        }
        Some(found)
    }

    /// The schemas that it is put together of: all of `allOf`, and the first alternative that is not null.
    fn parts(&self) -> Vec<Schema<'d>> {
        let list = |name: &str| {
            self.value
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let all = list("allOf").filter_map(|part| self.child(part));
        let first = list("oneOf")
            .chain(list("anyOf"))
            .filter_map(|part| self.child(part))
            .find(|part| part.value["type"] != "null");
        all.chain(first).collect()
    }

    fn child(&self, value: &'d Value) -> Option<Schema<'d>> {
        (self.depth < DEEPEST).then(|| Schema {
            document: self.document,
            value: self.document.follow(value),
            depth: self.depth + 1,
        })
    }
}
