//! The AWS clients, made once from one configuration.

use crate::environment::Environment;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use millrace_store::LakeUrl;
use millrace_store::objects::{Folder, Objects, S3};
use millrace_store::secrets::{Secrets, SecretsManager};
use std::sync::Arc;
use std::time::Duration;

/// How often a request is tried, waits with jitter between; what fails still goes back to the state machine.
const ATTEMPTS: u32 = 5;
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a service may take to begin its answer. The longest is S3's to a conditional put under contention.
const READ: Duration = Duration::from_secs(20);

/// The AWS clients of this process.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    buckets_by_path: bool,
}

impl Aws {
    /// Reads region, credentials and endpoints from where the SDKs find them.
    pub async fn load(environment: &Environment) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .build();
        let client = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(client)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .load()
            .await;
        Self {
            config,
            buckets_by_path: environment.addresses_buckets_by_path(),
        }
    }

    /// The objects of that lake.
    pub fn objects(&self, lake: &LakeUrl) -> Arc<dyn Objects> {
        match lake {
            LakeUrl::Folder { path } => Arc::new(Folder::new(path)),
            LakeUrl::S3 { bucket } => {
                let config = aws_sdk_s3::config::Builder::from(&self.config)
                    .force_path_style(self.buckets_by_path)
                    .build();
                Arc::new(S3::new(aws_sdk_s3::Client::from_conf(config), bucket))
            }
        }
    }

    /// The secrets of Secrets Manager.
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        Arc::new(SecretsManager::new(client))
    }

    /// Step Functions.
    pub fn step_functions(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.config)
    }
}
