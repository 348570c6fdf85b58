//! What is kept, and where: the lake's objects, with conditional put, and the secrets. Each is a small trait with two
//! implementations, one for AWS (behind the feature `aws`) and one for a laptop. On top of them stand the documents that
//! several crates share: the definitions and the run ledger.

#[cfg(feature = "aws")]
pub mod aws;
pub mod conductor;
pub mod definitions;
pub mod json;
pub mod lake_url;
pub mod ledger;
pub mod objects;
pub mod secrets;

pub use lake_url::LakeUrl;
