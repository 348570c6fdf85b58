//! The operational store, a PostgreSQL: how it is reached, who may do what in it, and what its errors mean to a step.

mod bootstrap;
mod connection;
mod credentials;
mod errors;
#[cfg(feature = "private-server")]
pub mod private;
pub mod sql;
mod tls;

pub use bootstrap::{RECENT, bootstrap};
pub use connection::connect;
pub use credentials::Credentials;
pub use errors::{failure, is_rejected_login};
pub use tls::SslMode;
