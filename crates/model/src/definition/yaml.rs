//! YAML 1.2 as a tree that knows its lines. What would make the tree larger than the text (aliases), or deep, is refused
//! before anything is built of it.

mod fault;
pub(crate) mod read;
mod reader;
mod tree;

pub(crate) use reader::AS_WRITTEN;
pub(crate) use tree::{Entry, Node, Scalar, Value, parse};
