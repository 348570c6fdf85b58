//! The sample source as a program: prints its URL and serves until it is interrupted.

use clap::Parser;
use sample::{Behaviour, Options, RequiredKey, StatusEvery};
use std::net::{IpAddr, Ipv4Addr};

/// Behaves as the USGS FDSN event service does, over a snapshot of real reports, and misbehaves as it is told: here, or
/// later with POST /_control.
#[derive(Parser)]
#[command(name = "sample", version)]
struct Arguments {
    /// The address to listen at
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many reports there are: the snapshot's 1,707, or as many as that, cycled with new ids and times
    #[arg(long, default_value_t = Options::default().records)]
    records: u32,
    /// Hold each answer back for so many milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// Answer each N-th request with a status, and with a Retry-After if one is given: 5:429:2
    #[arg(long, value_name = "N:STATUS[:RETRY_AFTER]", value_parser = status_every)]
    status_every: Option<StatusEvery>,
    /// Cut each N-th body halfway
    #[arg(long, value_name = "N")]
    cut_every: Option<u64>,
    /// Stop each N-th body halfway without closing the connection
    #[arg(long, value_name = "N")]
    stall_every: Option<u64>,
    /// Answer at most so many requests a second
    #[arg(long, value_name = "N")]
    limit_per_second: Option<u64>,
    /// Ask for this bearer token
    #[arg(long, value_name = "TOKEN")]
    require_bearer: Option<String>,
    /// Ask for this user and password
    #[arg(long, value_name = "USER:PASSWORD")]
    require_basic: Option<String>,
    /// Ask for this API key in a header
    #[arg(long, value_name = "HEADER:KEY", value_parser = required_key)]
    require_key: Option<RequiredKey>,
    /// Compress bodies for those who accept that
    #[arg(long)]
    gzip: bool,
    /// Answer a query that matches nothing with an empty list instead of a 204
    #[arg(long)]
    empty_list: bool,
}

fn status_every(text: &str) -> Result<StatusEvery, String> {
    let mut parts = text.splitn(3, ':');
    let mut number = |name| {
        let part = parts.next().unwrap_or_default();
        part.parse::<u16>()
            .map_err(|_| format!("`{part}` is no {name}; the form is N:STATUS[:RETRY_AFTER]"))
    };
    let (n, status) = (number("number of requests")?, number("status")?);
    Ok(StatusEvery {
        n: n.into(),
        status,
        retry_after: parts.next().map(str::to_owned),
    })
}

fn required_key(text: &str) -> Result<RequiredKey, String> {
    let (name, value) = text.split_once(':').ok_or("the form is HEADER:KEY")?;
    Ok(RequiredKey {
        name: name.to_owned(),
        value: value.to_owned(),
        in_query: false,
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let running = sample::start(Options {
        host: arguments.host,
        port: arguments.port,
        records: arguments.records,
        behaviour: Behaviour {
            delay_ms: arguments.delay_ms,
            status_every: arguments.status_every,
            cut_every: arguments.cut_every,
            stall_every: arguments.stall_every,
            limit_per_second: arguments.limit_per_second,
            require_bearer: arguments.require_bearer,
            require_basic: arguments.require_basic,
            require_key: arguments.require_key,
            gzip: arguments.gzip,
            empty_list: arguments.empty_list,
        },
    })
    .await?;
    println!("{}", running.url);
    tokio::signal::ctrl_c().await
}
