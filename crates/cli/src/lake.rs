//! Where the lake is on which a command works.

use crate::workspace::Workspace;
use clap::Args;
use millrace_runtime::{Aws, Environment};
use millrace_store::LakeUrl;
use millrace_store::objects::Objects;
use std::sync::Arc;

/// The lake: this machine's, unless it is said otherwise.
#[derive(Args)]
pub struct LakeArgs {
    /// A deployed lake, `s3://<bucket>`: region, credentials and endpoint come from the environment (`AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID`, …).
    #[arg(long, value_name = "URL")]
    lake: Option<String>,
}

impl LakeArgs {
    /// Where it is, and its objects.
    pub async fn open(&self, workspace: &Workspace) -> anyhow::Result<(LakeUrl, Arc<dyn Objects>)> {
        let Some(url) = &self.lake else {
            let path = workspace.lake()?;
            return Ok((LakeUrl::Folder { path }, workspace.objects()?));
        };
        let lake = LakeUrl::parse(url)?;
        let aws = Aws::load(&Environment::from_env()).await;
        let objects = aws.objects(&lake);
        Ok((lake, objects))
    }
}
