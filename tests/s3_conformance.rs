//! Holds the S3 of the environment to the suite that every implementation of `Objects` is held to, through the clients
//! that the functions use: `MILLRACE_LAKE=s3://<bucket> s3_conformance`. Ends with a panic where it does not hold.

use millrace_runtime::{Aws, Environment};
use millrace_store::objects::conformance;

#[tokio::main]
async fn main() {
    let environment = Environment::from_env();
    let lake = environment.lake().expect("where the bucket is");
    let aws = Aws::load(&environment).await;
    conformance::run(&*aws.objects(&lake)).await;
    println!("{lake} holds");
}
