//! A table that a pipeline publishes to Redis as well: pulled, published, tested and served on an author's machine.

use crate::support::{Author, text};
use millrace_redis::private::PrivateServer;
use sample::Options;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const ENDPOINT: &str = r#"
metadata: { name: looked_up, description: One earthquake by its key }
routes:
  /looked-up/{id}:
    datasource: redis
    key: "quake:{id}"
    columns: [id, magnitude, place, occurred_at]
    params: [{ name: id, type: string }]
    fields: [id, magnitude, place, occurred_at]
    auth: { secret_path: aws::secret/millrace/consumers }
"#;
const PUBLISH: &str =
    "  - { table: quakes, to: redis, as: seismology.quakes, key: 'quake:{id}', form: hash }\n";

fn looked_up(sample: &sample::Running) -> Author {
    let author = Author::with_shipped_definitions(sample).unlimited();
    let pipeline = author.path("pipelines/earthquakes.yaml");
    let shipped = fs::read_to_string(&pipeline).expect("the pipeline");
    fs::write(&pipeline, format!("{shipped}{PUBLISH}")).expect("a file");
    fs::write(author.path("endpoints/looked_up.yaml"), ENDPOINT).expect("a file");
    author
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_looked_up_that_was_pulled() {
    let options = Options {
        records: 50,
        ..Options::default()
    };
    let sample = sample::start(options).await.expect("the sample source");
    let author = looked_up(&sample);
    author.millrace(&["check"]);
    author.millrace(&["run", "earthquakes"]);
    let served = author.serve();
    let (status, body) = served.get("/quakes?min_magnitude=-2&limit=5").await;
    assert_eq!(status, 200, "{body}");
    let rows = body["data"].as_array().expect("rows");
    assert!(!rows.is_empty());
    for row in rows {
        let id = row["id"].as_str().expect("an id");
        let (status, found) = served.get(&format!("/looked-up/{id}")).await;
        assert_eq!(status, 200, "{found}");
        let found = &found["data"][0];
        for column in ["id", "magnitude", "place", "occurred_at"] {
            assert_eq!(found[column], row[column], "{found} {row}");
        }
    }
    let (status, none) = served.get("/looked-up/nobody").await;
    assert_eq!(
        (status, none["data"].as_array().map(Vec::len)),
        (200, Some(0))
    );
    let id = rows[0]["id"].as_str().expect("an id");
    let tests = format!(
        "tests:\n  - {{ name: one, get: /looked-up/{id}, rows: [{{ id: {id} }}] }}\n  - {{ name: none, get: /looked-up/x, count: 0 }}\n"
    );
    fs::write(author.path("endpoints/tests/looked_up.yaml"), tests).expect("a file");
    author.millrace(&["test", "looked_up"]);

    fs::write(
        author.path("endpoints/looked_up.yaml"),
        ENDPOINT.replace("quake:{id}", "quakes:{id}"),
    )
    .expect("a file");
    let refused = author.output(&["check"]);
    let said = text(&refused.stdout);
    assert!(!refused.status.success());
    let expected = "endpoints/looked_up.yaml:6: routes[/looked-up/{id}].key: no pipeline publishes under `quakes:{id}`; did \
         you mean `quake:{id}`?";
    assert!(said.contains(expected), "{said}");
}

/// What `millrace check --redis` says of the lookup, changed so; none where it says that all is well.
fn refused(author: &Author, from: &str, to: &str) -> Option<String> {
    assert!(ENDPOINT.contains(from), "{from}");
    fs::write(
        author.path("endpoints/looked_up.yaml"),
        ENDPOINT.replace(from, to),
    )
    .expect("a file");
    let checked = author.output(&["check", "--redis", "redis.json"]);
    let said = text(&checked.stdout) + &text(&checked.stderr);
    (!checked.status.success()).then_some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_are_checked_against_what_is_published() {
    let options = Options {
        records: 20,
        ..Options::default()
    };
    let sample = sample::start(options).await.expect("the sample source");
    let author = looked_up(&sample);
    let redis = PrivateServer::start(None).await.expect("a Redis");
    fs::write(author.path("redis.json"), redis.reader().to_secret()).expect("a file");
    let columns = "columns: [id, magnitude, place, occurred_at]";
    // Of what is not published yet, nothing is known.
    let more_columns = "columns: [id, depth_in_feet, magnitude, place, occurred_at]";
    assert_eq!(refused(&author, columns, more_columns), None);

    let mut publish = author.command(&["run", "earthquakes", "--publish"]);
    let owner = redis.owner().to_secret();
    let published = publish.env("MILLRACE_SECRET_MILLRACE_REDIS_OWNER", owner);
    let published = published.output().expect("the command");
    assert!(published.status.success(), "{}", text(&published.stderr));
    assert_eq!(refused(&author, columns, columns), None);
    let place = "endpoints/looked_up.yaml: routes[/looked-up/{id}]: ";
    for (from, to, expected) in [
        (
            columns,
            more_columns,
            "`columns` names `depth_in_feet`, which the published table does not have: it has ",
        ),
        (
            "    auth:",
            "    mask: { depth_in_feet: pii }\n    auth:",
            "`mask` names `depth_in_feet`, which is no column of the answer",
        ),
    ] {
        let said = refused(&author, from, to).expect("a refusal");
        assert!(said.contains(place) && said.contains(expected), "{said}");
        assert!(
            said.contains("1 routes that cannot be answered well"),
            "{said}"
        );
    }

    drop(redis);
    let said = refused(&author, columns, columns).expect("a refusal");
    assert!(said.contains("Redis"), "{said}");
    fs::write(author.path("redis.json"), "{}").expect("a file");
    let said = refused(&author, columns, columns).expect("a refusal");
    assert!(said.contains("host"), "{said}");
}

/// The processes that a process has started, by what they are.
fn started_by(parent: u32) -> Vec<(u32, String)> {
    let listed = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,args="])
        .output()
        .expect("ps");
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, of) = (
            words.next()?.parse().ok()?,
            words.next()?.parse::<u32>().ok()?,
        );
        (of == parent).then(|| (pid, words.collect()))
    };
    text(&listed.stdout).lines().filter_map(parse).collect()
}

fn is_there(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-p", &pid.to_string()]).output();
    listed.expect("ps").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_ends_with_a_server_that_is_killed() {
    let options = Options {
        records: 5,
        ..Options::default()
    };
    let sample = sample::start(options).await.expect("the sample source");
    let author = looked_up(&sample);
    let served = author.serve();
    let keepers = started_by(served.pid());
    let of_keepers = keepers.iter().flat_map(|(keeper, _)| started_by(*keeper));
    let redis: Vec<u32> = of_keepers
        .filter(|(_, program)| program.contains("redis-server"))
        .map(|(pid, _)| pid)
        .collect();
    assert_eq!(redis.len(), 1, "{keepers:?}");
    let kill = ["-9", &served.pid().to_string()];
    assert!(
        Command::new("kill")
            .args(kill)
            .status()
            .expect("kill")
            .success()
    );
    let until = Instant::now() + Duration::from_secs(10);
    while is_there(redis[0]) {
        assert!(Instant::now() < until, "Redis outlives its server");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
