//! Redis as a store for lookups: how it is reached, what its errors mean to a step, and what publish and serve know of
//! each other's keys.

mod connection;
mod credentials;
mod errors;
pub mod keys;
mod note;
#[cfg(feature = "private-server")]
pub mod private;
mod tls;

pub use connection::{Connection, login};
pub use credentials::Credentials;
pub use errors::{failure, is_away};
pub use note::{Column, ColumnType, Layout, Note, Published, UnderWay};
pub use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value, cmd, pipe};
