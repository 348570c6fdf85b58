//! What is kept, and where: the lake's objects, with conditional put, and the secrets. Each is a small trait with two
//! implementations, one for AWS (behind the feature `aws`) and one for a laptop.

pub mod definitions;
pub mod ledger;
pub mod objects;
pub mod secrets;
