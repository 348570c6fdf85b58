//! A source to pull from without a network: it behaves as the USGS FDSN event service does, over a snapshot of real
//! reports, and misbehaves as it is told.
//!
//! | route | what it is |
//! | --- | --- |
//! | `/fdsnws/event/1/query`, `/count`, `/version` | the event service: GeoJSON only, the parameters of paging, order, time and magnitude |
//! | `/list` | a bare list |
//! | `/pages?page=1&size=100` | pages by number: `{"items": […], "total": …}` |
//! | `/cursor?after=…` | pages by a token at `paging.next` |
//! | `/links` | pages by a URL at `links.next`, absolute and relative by turns |
//! | `/keyed` | as `/pages`, for those who send a bearer token, a user and a password, or a key |
//! | `GET`, `POST /_control` | how it behaves: `Behaviour`, `Correct`, `records` |
//! | `GET /_stats`, `GET /_sent` | what it was asked, and the hash of each body that it sent: `Stats`, `Sent` |
//!
//! It differs from the real service in three things. Its clock stands still, so `metadata.generated` never changes and
//! no query is cut to the last 30 days. A query that matches nothing is answered with the 204 of the FDSN specification
//! (`Behaviour::empty_list` brings back the real one's empty list). And it can have more reports than the snapshot:
//! those of each further cycle are a week later, and their ids end with the cycle's number (`ci37868143x1`).

mod answer;
mod behaviour;
mod catalogue;
mod query;
mod server;
mod stats;

pub use behaviour::{Behaviour, Correct, Corrected, RequiredKey, StatusEvery};
pub use server::Running;
pub use stats::{Sent, Stats};

use std::net::{IpAddr, Ipv4Addr};

/// The bearer token that opens `/keyed`.
pub const BEARER_TOKEN: &str = "sample-token";

/// The user and the password that open `/keyed`.
pub const BASIC_CREDENTIALS: &str = "sample:sample-password";

/// The key that opens `/keyed`, in the header `X-Api-Key` or in the parameter `api_key`.
pub const API_KEY: &str = "sample-key";

/// How the source is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address that it listens at.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// How many reports there are.
    pub records: u32,
    /// How it behaves.
    pub behaviour: Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            records: catalogue::Catalogue::snapshot_size(),
            behaviour: Behaviour::default(),
        }
    }
}

/// Starts the source in this process; it ends when what this returns is dropped.
pub async fn start(options: Options) -> std::io::Result<Running> {
    server::start(options).await
}
