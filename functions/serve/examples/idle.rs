//! A Lambda with the clients that serve has, and nothing that it does: what `make bench-serve` holds serve's cold start to.

use bytes::Bytes;
use http::Response;
use millrace_runtime::{Aws, Environment, lambda, logging};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let clients = (aws.objects(&environment.lake()?), aws.secrets());
    let ended = lambda::run_http(async |_| Response::new(Bytes::from_static(b"{}"))).await;
    drop(clients);
    ended
}
