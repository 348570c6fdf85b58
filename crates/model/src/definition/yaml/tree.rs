//! Events of the YAML parser → tree.

use crate::definition::problem::{Path, Report, Step};
use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};
use std::collections::HashMap;

/// The largest file, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// How deep lists and mappings may stand in one another.
const MAX_DEPTH: usize = 32;
/// How much all aliases of a file may add to it: a byte a letter, and as many a node as a short line has.
const MAX_ALIASED: usize = 1 << 20;
const NODE_WEIGHT: usize = 64;
/// How many fields one mapping may have.
const MAX_FIELDS: usize = 1_000;

/// A value and the line on which it starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A scalar as it is written. `plain` tells `5`, a number, from `"5"`, a text.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
    /// A value of which a problem was reported; it is passed over from then on.
    Broken,
    /// What stands in for a field that is missing, so that the reading can go on to the next fault.
    Hole,
}

/// A key of a mapping, its line, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) node: Node,
}

/// What a scalar means in YAML 1.2's core schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'n> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'n str),
}

impl Node {
    /// What the scalar means; `None` of a list or a mapping.
    pub(crate) fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(resolve(text)),
            Value::Scalar { text, plain: false } => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    /// The node at that place.
    pub(crate) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self);
        };
        match (step, &mut self.value) {
            (Step::Index(index), Value::List(items)) => items.get_mut(*index)?.at_mut(rest),
            (Step::Field(name), Value::Map(entries)) => entries
                .iter_mut()
                .find(|entry| entry.key == *name)?
                .node
                .at_mut(rest),
            _ => None,
        }
    }

    /// The line of that place, or of as much of it as there is. Of a field it is the line of its name.
    pub(crate) fn line_of(&self, path: &Path) -> u32 {
        let (mut node, mut line) = (self, self.line);
        for step in &path.0 {
            let found = match (step, &node.value) {
                (Step::Index(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item.line, item))
                }
                (Step::Field(name), Value::Map(entries)) => entries
                    .iter()
                    .find(|entry| entry.key == *name)
                    .map(|entry| (entry.line, &entry.node)),
                _ => None,
            };
            let Some((next_line, next)) = found else {
                break;
            };
            (line, node) = (next_line, next);
        }
        line
    }
}

/// What a plain scalar means in the core schema: `no` and `on` are texts, `0o17` is a number.
fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that 64 bits do not hold stays a text, so that none of its digits is lost.
        return text.parse().map_or(Scalar::Text(text), Scalar::Int);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(number) = text.strip_prefix(prefix)
            && number.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return i64::from_str_radix(number, radix).map_or(Scalar::Text(text), Scalar::Int);
        }
    }
    let shaped = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if shaped && number.is_finite() => Scalar::Float(number),
        _ => Scalar::Text(text),
    }
}

/// The file's tree; none, and a problem in the report, where it is not YAML or goes beyond a limit.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the file has {} bytes; a definition has at most {MAX_BYTES}",
            text.len()
        );
        report.at(None, &Path::default(), message);
        return None;
    }
    let mut builder = Builder {
        report,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        root: None,
        sound: true,
    };
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                let line = span.start.line() as u32;
                if let Err(message) = builder.take(event, line) {
                    let path = builder.path();
                    builder.report.at(Some(line), &path, message);
                    return None;
                }
            }
            Err(error) => {
                let message = format!("this is not YAML: {}", error.info());
                builder.report.at(
                    Some(error.marker().line() as u32),
                    &Path::default(),
                    message,
                );
                return None;
            }
        }
    }
    let empty = Node {
        line: 1,
        value: Value::Scalar {
            text: String::new(),
            plain: true,
        },
    };
    builder.sound.then(|| builder.root.take().unwrap_or(empty))
}

/// A list or a mapping that is not closed yet.
struct Open {
    node: Node,
    /// Whether it stands in braces or brackets.
    flow: bool,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(String, u32)>,
    height: usize,
    weight: usize,
}

/// What an alias would stand for.
struct Anchored {
    node: Node,
    height: usize,
    weight: usize,
}

struct Builder<'b, 'a> {
    report: &'b mut Report<'a>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
    sound: bool,
}

impl Builder<'_, '_> {
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err("a second document starts here; a file holds one definition".to_owned())
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                Err("definitions have no tags (`!…`); leave it out".to_owned())
            }
            Event::Scalar(text, style, anchor, None) => {
                let weight = NODE_WEIGHT + text.len();
                let plain = style == ScalarStyle::Plain;
                let flow = self.stack.last().is_some_and(|open| open.flow);
                if plain && let Some(message) = misread(&text, flow) {
                    let path = self.path();
                    self.report.at(Some(line), &path, message);
                }
                let value = Value::Scalar {
                    text: text.into_owned(),
                    plain,
                };
                self.close(Node { line, value }, anchor, 0, weight)
            }
            Event::SequenceStart(style, anchor, None) => {
                self.open(Value::List(Vec::new()), style, anchor, line)
            }
            Event::MappingStart(style, anchor, None) => {
                self.open(Value::Map(Vec::new()), style, anchor, line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.close(open.node, open.anchor, open.height + 1, open.weight),
                None => Err("a list or a mapping ends here that did not start".to_owned()),
            },
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err("this alias stands inside of what it names".to_owned());
                };
                let (height, weight) = (target.height, target.weight);
                self.aliased += weight;
                if self.aliased > MAX_ALIASED {
                    return Err(
                        "the aliases of this file stand for too much; write less by alias"
                            .to_owned(),
                    );
                }
                let mut node = target.node.clone();
                node.line = line;
                self.close(node, 0, height, weight)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        value: Value,
        style: StructureStyle,
        anchor: usize,
        line: u32,
    ) -> Result<(), String> {
        if self
            .stack
            .last()
            .is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Map(_)))
        {
            return Err("a key is a text, not a list or a mapping".to_owned());
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.stack.push(Open {
            node: Node { line, value },
            flow: style == StructureStyle::Flow,
            anchor,
            key: None,
            height: 0,
            weight: NODE_WEIGHT,
        });
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn close(
        &mut self,
        node: Node,
        anchor: usize,
        height: usize,
        weight: usize,
    ) -> Result<(), String> {
        if self.stack.len() + height > MAX_DEPTH {
            return Err(too_deep());
        }
        if anchor != 0 {
            let node = node.clone();
            self.anchors.insert(
                anchor,
                Anchored {
                    node,
                    height,
                    weight,
                },
            );
        }
        let duplicate = self.is_duplicate(&node);
        if let Some(key) = duplicate {
            // The second one is reported and dropped: what was meant cannot be told, and the file is refused anyway.
            self.sound = false;
            let path = self.path().field(&key);
            self.report.at(
                Some(node.line),
                &path,
                "this field is here twice; keep one of them",
            );
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.height = open.height.max(height);
        open.weight += weight;
        match (&mut open.node.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, line))) => {
                if entries.len() == MAX_FIELDS {
                    return Err(format!("this mapping has more than {MAX_FIELDS} fields"));
                }
                entries.push(Entry { key, line, node });
            }
            (_, _) => match node.value {
                Value::Scalar { text, .. } if text == "<<" => {
                    return Err("`<<` is not YAML 1.2: write the fields out".to_owned());
                }
                Value::Scalar { text, .. } => open.key = Some((text, node.line)),
                _ => return Err("a key is a text, not a list or a mapping".to_owned()),
            },
        }
        Ok(())
    }

    /// The key that this node is, if it is a key and its mapping has it already.
    fn is_duplicate(&self, node: &Node) -> Option<String> {
        let open = self.stack.last()?;
        match (&open.node.value, &open.key, &node.value) {
            (Value::Map(entries), None, Value::Scalar { text, .. }) => entries
                .iter()
                .any(|entry| entry.key == *text)
                .then(|| text.clone()),
            _ => None,
        }
    }

    /// Where the builder is.
    fn path(&self) -> Path {
        let steps = self
            .stack
            .iter()
            .filter_map(|open| match (&open.node.value, &open.key) {
                (Value::List(items), _) => Some(Step::Index(items.len())),
                (_, Some((key, _))) => Some(Step::Field(key.clone())),
                (_, None) => None,
            });
        Path(steps.collect())
    }
}

/// Why Terraform, which reads the definitions as well, would take a plain scalar for something else. What the two would
/// not agree on is refused, so that a check that passes here says something about what is applied.
fn misread(text: &str, flow: bool) -> Option<String> {
    let boolean = match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => "true",
        "n" | "no" | "off" => "false",
        _ if flow && text.contains('?') => {
            let message = "Terraform, which reads this file as well, ends a text in braces or brackets at a `?`; put it \
                           in quotes";
            return Some(message.to_owned());
        }
        _ => return None,
    };
    Some(format!(
        "`{text}` is a text, but Terraform, which reads this file as well, takes it for `{boolean}`; put it in quotes"
    ))
}

fn too_deep() -> String {
    format!(
        "lists and mappings stand in one another more than {MAX_DEPTH} deep; a definition does not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for (text, meaning) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("true", Scalar::Bool(true)),
            ("no", Scalar::Text("no")),
            ("off", Scalar::Text("off")),
            ("12", Scalar::Int(12)),
            ("-7", Scalar::Int(-7)),
            ("+7", Scalar::Int(7)),
            ("0123", Scalar::Int(123)),
            ("0x1F", Scalar::Int(31)),
            ("0o17", Scalar::Int(15)),
            ("0x", Scalar::Text("0x")),
            ("99999999999999999999", Scalar::Text("99999999999999999999")),
            ("1.5", Scalar::Float(1.5)),
            (".5", Scalar::Float(0.5)),
            ("1e3", Scalar::Float(1000.0)),
            (".", Scalar::Text(".")),
            ("1e999", Scalar::Text("1e999")),
            (".inf", Scalar::Text(".inf")),
            ("nan", Scalar::Text("nan")),
            ("infinity", Scalar::Text("infinity")),
            ("1.2.3", Scalar::Text("1.2.3")),
            ("12:30", Scalar::Text("12:30")),
            ("2026-01-01", Scalar::Text("2026-01-01")),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }

    #[test]
    fn aliases_stand_for_what_they_name() {
        let mut report = Report::new("a.yaml");
        let tree = parse("a: &here { b: 1 }\nc: *here\n", &mut report);
        assert!(report.into_problems().is_empty());
        let Some(Node {
            value: Value::Map(entries),
            ..
        }) = tree
        else {
            unreachable!("the text is a mapping")
        };
        assert_eq!(entries[0].node.value, entries[1].node.value);
        assert_eq!(entries[1].node.line, 2);
    }

    #[test]
    fn what_is_not_for_definitions_is_refused() {
        for (text, part) in [
            ("a: !!str 1\n", "no tags"),
            ("<<: { a: 1 }\n", "not YAML 1.2"),
            ("? [a]\n: 1\n", "a key is a text"),
            ("a: &a [*a]\n", "inside of what it names"),
            ("a: *b\n", "this is not YAML"),
            ("a: 1\n---\nb: 1\n", "a second document"),
        ] {
            let mut report = Report::new("a.yaml");
            assert_eq!(parse(text, &mut report), None, "{text}");
            let problems = report.into_problems();
            assert!(
                problems[0].message.contains(part),
                "{text}: {}",
                problems[0]
            );
        }
    }
}
