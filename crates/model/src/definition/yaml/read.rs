//! Tree → wire type, through serde. A fault does not end the reading: it is reported, the tree is repaired as its author
//! most likely meant it, and the reading starts again, so that all faults of a file come out at once.

use super::fault::{Fault, Kind};
use super::reader::Reader;
use super::{Entry, Node, Value};
use crate::definition::problem::{Path, Report, nearest_field, one_of};
use serde::de::DeserializeOwned;

/// How many problems of one file are told.
const MAX_PROBLEMS: usize = 50;

/// The wire value; none where the tree has faults that leave no sound one. Misspelt fields are reported and then read as
/// the known field that is nearest.
pub(crate) fn read<T: DeserializeOwned>(root: &mut Node, report: &mut Report<'_>) -> Option<T> {
    let mut sound = true;
    // Each round repairs one fault; a fault of a fault's making is repaired without a problem, hence the second bound.
    for _ in 0..MAX_PROBLEMS * 40 {
        match T::deserialize(Reader { node: root }) {
            Ok(value) => return sound.then_some(value),
            Err(fault) => sound &= repair(root, fault, report),
        }
        if report.len() >= MAX_PROBLEMS || root.value == Value::Broken {
            return None;
        }
    }
    None
}

/// Reports the fault and repairs the tree. Says whether what is left is still what the author meant.
fn repair(root: &mut Node, mut fault: Fault, report: &mut Report<'_>) -> bool {
    fault.path.reverse();
    let path = Path(fault.path);
    if break_hole(root, &path) {
        return false;
    }
    match fault.kind {
        Kind::UnknownField { name, known } => repair_field(root, &path, &name, known, report),
        Kind::UnknownValue { known, meant } => {
            let hint = meant.map(|meant| format!("; did you mean `{meant}`?"));
            let expected = one_of(known.iter().copied());
            let message = format!("{expected} is expected{}", hint.unwrap_or_default());
            report.at(Some(root.line_of(&path)), &path, message);
            let text = meant.map(|meant| Value::Scalar {
                text: meant.to_owned(),
                plain: false,
            });
            replace(root, &path, text.unwrap_or(Value::Broken));
            meant.is_some()
        }
        Kind::Missing(name) => {
            let line = root.line_of(&path);
            match root.at_mut(&path.0).map(|node| &mut node.value) {
                // A field that was there, and broken, has its problem already.
                Some(Value::Map(entries)) if entries.iter().all(|entry| entry.key != name) => {
                    report.at(Some(line), &path.field(name), "this field is missing");
                    entries.push(Entry {
                        key: name.to_owned(),
                        line,
                        node: Node {
                            line,
                            value: Value::Hole,
                        },
                    });
                }
                _ => replace(root, &path, Value::Broken),
            }
            false
        }
        Kind::Other(message) => {
            report.at(Some(root.line_of(&path)), &path, message);
            replace(root, &path, Value::Broken);
            false
        }
        Kind::Consequence => {
            replace(root, &path, Value::Broken);
            false
        }
    }
}

/// Reports a field that is not known, and renames it as it was meant, or drops it.
fn repair_field(
    root: &mut Node,
    path: &Path,
    name: &str,
    known: &'static [&'static str],
    report: &mut Report<'_>,
) -> bool {
    let at = path.field(name);
    let line = root.line_of(&at);
    let meant = nearest_field(name, known);
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("what may stand here is {}", one_of(known.iter().copied())),
    };
    report.at(Some(line), &at, format!("unknown field; {hint}"));
    let Some(Value::Map(entries)) = root.at_mut(&path.0).map(|node| &mut node.value) else {
        return false;
    };
    let is_free = |meant: &&str| entries.iter().all(|entry| entry.key != **meant);
    let rename = meant.filter(is_free);
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == name) {
        match rename {
            Some(meant) => meant.clone_into(&mut entry.key),
            None => entry.node.value = Value::Broken,
        }
    }
    true
}

/// Breaks the stand-in on the way to a fault, if there is one: what is wrong with it is no fault of the author's.
fn break_hole(root: &mut Node, path: &Path) -> bool {
    for steps in 0..=path.0.len() {
        if let Some(node) = root.at_mut(&path.0[..steps])
            && node.value == Value::Hole
        {
            node.value = Value::Broken;
            return true;
        }
    }
    false
}

fn replace(root: &mut Node, path: &Path, value: Value) {
    if let Some(node) = root.at_mut(&path.0) {
        node.value = value;
    }
}
