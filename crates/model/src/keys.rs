//! The keys under which things lie in the lake. No other module of any crate makes one.

use crate::ledger::RunId;
use std::fmt::Display;

/// `definitions/<kind>s/<name>.yaml`; `kind` is `connection`, `pipeline` or `endpoint`.
pub fn definition(kind: &str, name: &str) -> String {
    format!("definitions/{kind}s/{name}.yaml")
}

/// The folder of the definitions of one kind, with a slash at the end.
pub fn definitions(kind: &str) -> String {
    format!("definitions/{kind}s/")
}

/// The folder of the files that hold models' SELECTs.
pub const MODEL_FILES: &str = "definitions/models/";

/// The file of that name that holds a model's SELECT: `daily.sql`.
pub fn model_file(name: &str) -> String {
    format!("{MODEL_FILES}{name}")
}

/// The definition that a run pinned, by its version (SHA-256 in hexadecimal).
pub fn pinned(version: &str) -> String {
    format!("definitions/pinned/{version}.json")
}

/// The folder of what a run pulled of a resource, with a slash at the end.
pub fn raw(pipeline: &str, resource: &str, run: &RunId) -> String {
    format!("raw/{pipeline}/{resource}/{run}/")
}

/// The manifest of the run's segment of that number: to create it is to commit the segment.
pub fn raw_manifest(pipeline: &str, resource: &str, run: &RunId, segment: u32) -> String {
    format!("{}manifest/{segment:08}.json", raw(pipeline, resource, run))
}

/// The folder of the run's manifests, with a slash at the end.
pub fn raw_manifests(pipeline: &str, resource: &str, run: &RunId) -> String {
    format!("{}manifest/", raw(pipeline, resource, run))
}

/// The bodies of a segment. `writer` is unique to one writer, so that two at once never overwrite one another; the
/// manifest names the one that counts.
pub fn raw_segment(
    pipeline: &str,
    resource: &str,
    run: &RunId,
    segment: u32,
    writer: &str,
) -> String {
    format!(
        "{}segment/{segment:08}-{writer}.zst",
        raw(pipeline, resource, run)
    )
}

/// A resource's cursor and the list of its complete runs.
pub fn state(pipeline: &str, resource: &str) -> String {
    format!("state/{pipeline}/{resource}.json")
}

/// The root of a Delta table, without a slash at the end.
pub fn table(pipeline: &str, table: &str) -> String {
    format!("tables/{pipeline}/{table}")
}

/// The rows that a run kept out of a table. `part` is the sequence number of the raw run that they came from.
pub fn quarantine(pipeline: &str, table: &str, run: &RunId, part: u64) -> String {
    format!("quarantine/{pipeline}/{table}/{run}/{part:012}.jsonl")
}

/// Which part of a quarantine an object is; none where the key is no such object's.
pub fn quarantined_part(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?;
    name.split(['-', '.']).next()?.parse().ok()
}

/// Where what still has to stay in quarantine lies, once the object under that key was taken out of it.
pub fn quarantine_again(key: &str) -> String {
    format!("{}-again.jsonl", key.trim_end_matches(".jsonl"))
}

/// The object in whose place one lies of which something had to stay in quarantine; none where it lies in no other's.
pub fn quarantined_before(key: &str) -> Option<String> {
    let before = key.strip_suffix("-again.jsonl")?;
    Some(format!("{before}.jsonl"))
}

/// A request that failed for good.
pub fn dead(pipeline: &str, resource: &str, run: &RunId, request: &str) -> String {
    format!("dead/{pipeline}/{resource}/{run}/{request}.json")
}

/// The folder of the requests of a run that failed for good, with a slash at the end.
pub fn dead_requests(pipeline: &str, resource: &str, run: &RunId) -> String {
    format!("dead/{pipeline}/{resource}/{run}/")
}

/// The folder of a pipeline's requests that failed for good, with a slash at the end.
pub fn all_dead_requests(pipeline: &str) -> String {
    format!("dead/{pipeline}/")
}

/// What is known of the limits of a credential, shared by all that use it. `credential` names a secret or, where there
/// is none, a host; `scope` a part of the system with limits of its own.
pub fn limits(credential: &str, scope: Option<&str>) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    let name: String = credential
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .take(200)
        .collect();
    match scope {
        None => format!("limits/{name}.json"),
        Some(scope) => format!("limits/{name}+{scope}.json"),
    }
}

/// How much of a quota callers have used, by the digest of route, caller and window.
pub fn quota(digest: &str) -> String {
    format!("quotas/{digest}.json")
}

/// The folder of what callers have asked for as files, with a slash at the end.
pub const EXPORTS: &str = "exports/";

/// What was asked for as files.
pub fn export_job(export: impl Display) -> String {
    format!("{EXPORTS}{export}/job.json")
}

/// How far the files are.
pub fn export_state(export: impl Display) -> String {
    format!("{EXPORTS}{export}/state.json")
}

/// One of the files.
pub fn export_file(export: impl Display, number: u32, extension: &str) -> String {
    format!("{EXPORTS}{export}/{number:05}.{extension}")
}

/// Tells whoever reads that datasource of something to make.
pub fn export_notice(export: impl Display, datasource: &str) -> String {
    format!("{EXPORTS}{export}/{datasource}.todo")
}

/// The export of which the notice at that key tells.
pub fn export_of_notice(key: &str) -> Option<&str> {
    let notice = key.strip_prefix(EXPORTS)?.strip_suffix(".todo")?;
    Some(notice.split_once('/')?.0)
}

/// The folder of what functions note of their routes for the contract, with a slash at the end.
const CONTRACT: &str = "contract/";

/// What whoever reads that datasource notes of its routes.
pub fn contract(datasource: &str) -> String {
    format!("{CONTRACT}{datasource}.json")
}

/// Asks whoever reads that datasource for such a note.
pub fn contract_notice(datasource: &str) -> String {
    format!("{CONTRACT}{datasource}.todo")
}

/// The datasource of which the notice at that key asks for a note.
pub fn contract_of_notice(key: &str) -> Option<&str> {
    key.strip_prefix(CONTRACT)?.strip_suffix(".todo")
}

/// A run's entry in the ledger.
pub fn run(run: &RunId) -> String {
    format!("runs/{}/{run}.json", run.pipeline())
}

/// The folder of the ledger: a folder of entries for each pipeline.
pub const ALL_RUNS: &str = "runs/";

/// The folder of a pipeline's entries in the ledger, with a slash at the end.
pub fn runs(pipeline: &str) -> String {
    format!("runs/{pipeline}/")
}

/// Which run an idempotency key started; `digest` is the key's SHA-256 in hexadecimal.
pub fn idempotency(pipeline: &str, digest: &str) -> String {
    format!("idempotency/{pipeline}/{digest}.json")
}

/// Which runs of a pipeline are under way, and which wait.
pub fn gate(pipeline: &str) -> String {
    format!("gates/{pipeline}.json")
}

/// Who renews the token that is in a secret.
pub fn lease(secret: &str) -> String {
    // A tilde is in no secret's name.
    format!("leases/{}.json", secret.replace('/', "~"))
}

/// The folder of all that was pulled of a resource, with a slash at the end.
pub fn raw_resource(pipeline: &str, resource: &str) -> String {
    format!("raw/{pipeline}/{resource}/")
}

/// The folder of all that was kept out of a table, with a slash at the end.
pub fn quarantines(pipeline: &str, table: &str) -> String {
    format!("quarantine/{pipeline}/{table}/")
}

/// The folder of a pipeline's requests that failed for good, with a slash at the end.
pub fn all_dead(pipeline: &str) -> String {
    format!("dead/{pipeline}/")
}
