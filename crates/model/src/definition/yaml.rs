//! YAML 1.2 as a tree that knows its lines. What would make the tree larger than the text (aliases), or deep, is refused
//! before anything is built of it.

pub(crate) mod read;
mod tree;

pub(crate) use tree::{Entry, Node, Scalar, Value, parse};
