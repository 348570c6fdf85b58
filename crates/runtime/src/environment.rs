//! The environment: every variable of Millrace's own, declared and documented once. Those of AWS (region, credentials,
//! endpoints) the SDKs read by themselves.

use millrace_model::step::{StepInput, StepKind};
use millrace_store::LakeUrl;
use millrace_store::secrets::LocalSecrets;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Where the lake is: `s3://<bucket>`, or a folder. Read by every function.
pub const LAKE: &str = "MILLRACE_LAKE";
/// The state machine that carries runs out. Read by trigger.
pub const STATE_MACHINE_ARN: &str = "MILLRACE_STATE_MACHINE_ARN";
/// The secret with the control API's keys: a JSON object of caller → key. Read by trigger.
pub const OPERATORS_SECRET: &str = "MILLRACE_OPERATORS_SECRET";
/// The secret with the operational store's address and credentials. Read by publish and serve.
pub const STORE_SECRET: &str = "MILLRACE_STORE_SECRET";
/// The secret with the address and credentials of the Redis that lookups are published to. Read by publish and serve-redis.
pub const REDIS_SECRET: &str = "MILLRACE_REDIS_SECRET";
/// The secret that cursors are sealed with: any text that nobody else knows. Read by serve-lake.
pub const SEAL_SECRET: &str = "MILLRACE_SEAL_SECRET";
/// How many connections to the operational store serve may have; 16 unless said otherwise.
pub const STORE_CONNECTIONS: &str = "MILLRACE_STORE_CONNECTIONS";
/// Where serve listens for HTTP, as `0.0.0.0:8080`; as a Lambda it does without.
pub const LISTEN: &str = "MILLRACE_LISTEN";
/// A file of secrets, name → value, in place of Secrets Manager: for a server that is not in AWS.
pub const SECRETS_FILE: &str = "MILLRACE_SECRETS_FILE";
/// How many MiB of memory queries over the lake may take; half of what a Lambda has, or 1024, unless said otherwise. Read
/// by refine, serve-lake and task.
pub const QUERY_MEMORY: &str = "MILLRACE_QUERY_MEMORY_MIB";
/// How many MiB on disk queries over the lake may take for what does not fit into memory; 400 in a Lambda, or 16384,
/// unless said otherwise. Read by refine and task.
pub const QUERY_SPILL: &str = "MILLRACE_QUERY_SPILL_MIB";
/// How many MiB of memory a Lambda has. Set by Lambda.
const LAMBDA_MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// What a task reports with. Read by task.
pub const TASK_TOKEN: &str = "MILLRACE_TASK_TOKEN";
/// The step that a task carries out: `{"step": "ingest", "input": …}`. Read by task.
pub const STEP: &str = "MILLRACE_STEP";
/// What is logged, in the form of `tracing`'s filters; `info` unless said otherwise. Read by every function.
pub const LOG: &str = "RUST_LOG";
/// Where AWS's services are reached, where they are not reached at AWS. Read by the SDKs, and by this crate to choose how
/// a bucket is addressed.
pub const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// The variables of this process, read once.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// A variable that is missing, or does not say what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {problem}")]
pub struct EnvironmentError {
    /// The variable.
    pub variable: &'static str,
    problem: String,
}

/// What queries over the lake may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRoom {
    /// Bytes of memory.
    pub memory: usize,
    /// The folder for what does not fit into it.
    pub spill: PathBuf,
    /// How many bytes may be there.
    pub spill_bytes: u64,
    /// How many cores there are.
    pub threads: usize,
}

/// The step that a task carries out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskStep {
    /// Which step.
    pub step: StepKind,
    /// What it is given.
    pub input: StepInput,
}

impl Environment {
    /// The variables of this process. One that is not UTF-8 is none of Millrace's.
    pub fn from_env() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
        }
    }

    /// Where the lake is.
    pub fn lake(&self) -> Result<LakeUrl, EnvironmentError> {
        LakeUrl::parse(self.text(LAKE)?).map_err(|error| refuse(LAKE, format!("is wrong: {error}")))
    }

    /// The state machine that carries runs out.
    pub fn state_machine_arn(&self) -> Result<&str, EnvironmentError> {
        let arn = self.text(STATE_MACHINE_ARN)?;
        if arn.starts_with("arn:") && arn.contains(":stateMachine:") {
            Ok(arn)
        } else {
            Err(refuse(
                STATE_MACHINE_ARN,
                format!("is `{arn}`, which is not a state machine's ARN"),
            ))
        }
    }

    /// The secret with the control API's keys.
    pub fn operators_secret(&self) -> Result<&str, EnvironmentError> {
        self.text(OPERATORS_SECRET)
    }

    /// The secret with the operational store's address and credentials.
    pub fn store_secret(&self) -> Result<&str, EnvironmentError> {
        self.text(STORE_SECRET)
    }

    /// The same, for who needs the store for some routes alone; none where there are no such.
    pub fn recent_secret(&self) -> Option<&str> {
        let secret = self.variables.get(STORE_SECRET).map(String::as_str);
        secret.filter(|secret| !secret.is_empty())
    }

    /// The secret with Redis's address and credentials; a deployment without lookups has none.
    pub fn redis_secret(&self) -> Result<&str, EnvironmentError> {
        self.text(REDIS_SECRET)
    }

    /// The secret that cursors over the lake are sealed with.
    pub fn seal_secret(&self) -> Result<&str, EnvironmentError> {
        self.text(SEAL_SECRET)
    }

    /// How many connections to the operational store there may be; none where nothing is said.
    pub fn store_connections(&self) -> Result<Option<usize>, EnvironmentError> {
        let Some(text) = self.variables.get(STORE_CONNECTIONS) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(most @ 1..=1000) => Ok(Some(most)),
            _ => Err(refuse(
                STORE_CONNECTIONS,
                format!("is `{text}`, which is not a whole number from 1 to 1000"),
            )),
        }
    }

    /// What queries over the lake may take.
    pub fn query_room(&self) -> Result<QueryRoom, EnvironmentError> {
        let lambda = self.variables.get(LAMBDA_MEMORY);
        let lambda = lambda.and_then(|text| text.parse::<usize>().ok());
        // A Lambda has 512 MiB of disk where nothing else is said.
        let (memory, spill) = match lambda {
            Some(mebibytes) => (mebibytes / 2, 400),
            None => (1024, 16 * 1024),
        };
        let memory = self.mebibytes(QUERY_MEMORY)?.unwrap_or(memory);
        let spill = self.mebibytes(QUERY_SPILL)?.unwrap_or(spill);
        Ok(QueryRoom {
            memory: memory * 1024 * 1024,
            spill: std::env::temp_dir(),
            spill_bytes: spill as u64 * 1024 * 1024,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        })
    }

    fn mebibytes(&self, variable: &'static str) -> Result<Option<usize>, EnvironmentError> {
        let Some(text) = self.variables.get(variable) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number @ 16..=1_048_576) => Ok(Some(number)),
            _ => Err(refuse(
                variable,
                format!("is `{text}`, which is not a whole number of MiB from 16 to 1048576"),
            )),
        }
    }

    /// Where to listen for HTTP; none as a Lambda.
    pub fn listen(&self) -> Result<Option<SocketAddr>, EnvironmentError> {
        let Some(text) = self.variables.get(LISTEN) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            refuse(
                LISTEN,
                format!("is `{text}`, which is not an address and a port such as `0.0.0.0:8080`"),
            )
        })
    }

    /// The secrets of a file and of the variables `MILLRACE_SECRET_…`, where such a file is named.
    pub fn local_secrets(&self) -> Option<LocalSecrets> {
        let file = self.variables.get(SECRETS_FILE)?;
        Some(LocalSecrets::new(Some(file.into()), self.variables.clone()))
    }

    /// What a task reports with.
    pub fn task_token(&self) -> Result<&str, EnvironmentError> {
        self.text(TASK_TOKEN)
    }

    /// The step that a task carries out.
    pub fn task_step(&self) -> Result<TaskStep, EnvironmentError> {
        serde_json::from_str(self.text(STEP)?).map_err(|error| {
            let form = r#"{"step": "ingest", "input": {"run": …, "pipeline": …, "definition": …, "name": …}}"#;
            refuse(STEP, format!("is not of the form {form}: {error}"))
        })
    }

    /// What is logged.
    pub fn log_filter(&self) -> &str {
        self.variables.get(LOG).map_or("info", String::as_str)
    }

    /// Whether S3's objects are reached by `https://<endpoint>/<bucket>/<key>`, as other stores than AWS's want it, and
    /// not by `https://<bucket>.<endpoint>/<key>`.
    pub fn addresses_buckets_by_path(&self) -> bool {
        let endpoint = ENDPOINTS.iter().find_map(|name| self.variables.get(*name));
        let host = endpoint.and_then(|endpoint| url::Url::parse(endpoint).ok());
        host.and_then(|url| url.host_str().map(|host| !host.ends_with(".amazonaws.com")))
            .unwrap_or(false)
    }

    fn text(&self, variable: &'static str) -> Result<&str, EnvironmentError> {
        match self.variables.get(variable) {
            None => Err(refuse(variable, "is not set")),
            Some(text) if text.is_empty() => Err(refuse(variable, "is empty")),
            Some(text) => Ok(text),
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Credentials are among the values.
        formatter
            .debug_set()
            .entries(self.variables.keys())
            .finish()
    }
}

fn refuse(variable: &'static str, problem: impl Into<String>) -> EnvironmentError {
    EnvironmentError {
        variable,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn says_which_variable_is_missing_or_wrong() {
        let empty = environment(&[(STORE_SECRET, "")]);
        for (error, expected) in [
            (
                empty.lake().unwrap_err(),
                "the environment variable MILLRACE_LAKE is not set",
            ),
            (
                empty.store_secret().unwrap_err(),
                "the environment variable MILLRACE_STORE_SECRET is empty",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
        let wrong = environment(&[
            (LAKE, "gs://x"),
            (STATE_MACHINE_ARN, "millrace"),
            (STEP, "{}"),
        ]);
        assert!(
            wrong
                .lake()
                .unwrap_err()
                .to_string()
                .contains("MILLRACE_LAKE is wrong: `gs://x`")
        );
        assert_eq!(
            wrong.state_machine_arn().unwrap_err().variable,
            STATE_MACHINE_ARN
        );
        assert!(
            wrong
                .task_step()
                .unwrap_err()
                .to_string()
                .contains("missing field `step`")
        );
    }

    #[test]
    fn reads_a_tasks_step() {
        let step = r#"{"step":"publish","input":{"run":"a-20260101T000000Z-00000001","pipeline":"a","definition":"0","name":"s.t","invocation":3}}"#;
        let read = environment(&[(STEP, step)]).task_step().unwrap();
        assert_eq!((read.step, read.input.invocation), (StepKind::Publish, 3));
    }

    #[test]
    fn addresses_buckets_by_path_away_from_aws() {
        for (variables, by_path) in [
            (&[][..], false),
            (
                &[("AWS_ENDPOINT_URL", "https://s3.eu-central-1.amazonaws.com")][..],
                false,
            ),
            (&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")][..], true),
            (
                &[("AWS_ENDPOINT_URL_S3", "https://objects.example.com")][..],
                true,
            ),
            (
                &[
                    (
                        "AWS_ENDPOINT_URL_S3",
                        "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com",
                    ),
                    ("AWS_ENDPOINT_URL", "http://other"),
                ][..],
                false,
            ),
        ] {
            assert_eq!(
                environment(variables).addresses_buckets_by_path(),
                by_path,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn shows_no_value() {
        let shown = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "hunter2")]));
        assert_eq!(shown, r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }

    #[test]
    fn reads_the_sample_steps() {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
        for function in ["ingest", "transform", "publish", "task"] {
            let mut read = 0;
            for file in std::fs::read_dir(format!("{events}/{function}")).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                if function == "task" {
                    environment(&[(STEP, &text)]).task_step().unwrap();
                } else {
                    let input: StepInput = serde_json::from_str(&text).unwrap();
                    assert_eq!(input.run.pipeline(), input.pipeline);
                }
                read += 1;
            }
            assert!(read > 0, "{function} has no sample events");
        }
    }
}
