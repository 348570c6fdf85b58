//! Eight processes at once, and refresh tokens that are good for one use.

use super::refresh::{AUTH, Tokens, secret};
use super::server::{ITEMS, PAGES, connection, pages, secrets, serve};
use crate::support::{World, limits};
use millrace_ingest::{Ingest, Limits};
use millrace_model::step::{Deadline, Unobserved};
use millrace_store::objects::Folder;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROCESSES: usize = 8;
const URL: &str = "MILLRACE_TEST_RACE_URL";
const FOLDER: &str = "MILLRACE_TEST_RACE_FOLDER";

/// A process of the race, when the race starts it: it pulls again and again until it is told to stop.
#[tokio::test]
#[ignore = "the race starts it"]
async fn one_of_eight() {
    let (Ok(url), Ok(folder)) = (std::env::var(URL), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let mut world = World::new(&url, "/items", "items");
    world.connection = connection(&url, AUTH);
    world.resource.paginate = pages();
    world.objects = Arc::new(Folder::new(folder.join("lake")));
    while !folder.join("stop").exists() {
        let limits = Limits {
            lease: Duration::from_secs(2),
            ..limits()
        };
        let run = 1 + rand::random::<u32>() % 1_000_000_000;
        let ingest =
            Ingest::new(world.objects.clone(), Arc::new(secrets(&folder))).with_limits(limits);
        let input = world.input(run).await;
        // On a busy machine the others may use a token up before this one comes to use it. A page that is refused twice
        // ends the run, and the run goes on from there; that a renewal fails would not be so.
        while let Err(failure) = ingest.run(&input, Deadline::NONE, &Unobserved).await {
            assert!(failure.message.starts_with("GET "), "{failure}");
        }
        assert_eq!(world.pulled(run).await.ids().len(), PAGES * ITEMS);
    }
}

fn start(url: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "auth::race::one_of_eight",
            "--ignored",
            "--nocapture",
        ])
        .env(URL, url)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Races until there were so many renewals; kills a process at random every so often, if at all.
async fn race(renewals: usize, kills_every: Option<Duration>) {
    // Each access token is good for a few pages, so that all processes meet its end.
    let tokens = Tokens::new(12, kills_every.is_some());
    let seen = tokens.clone();
    let source = serve(move |call| seen.lock().unwrap().answer(call)).await;
    let place = tempfile::tempdir().unwrap();
    let text = serde_json::json!({ "millrace/source": secret("r0") }).to_string();
    std::fs::write(place.path().join("secrets.yaml"), text).unwrap();

    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| start(&source.url, place.path()))
        .collect();
    let began = Instant::now();
    let (mut kills, mut last_kill) = (0, Instant::now());
    while tokens.lock().unwrap().renewals < renewals {
        assert!(
            began.elapsed() < Duration::from_mins(5),
            "{:?}",
            tokens.lock().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
        for child in &mut children {
            assert!(
                child.try_wait().unwrap().is_none(),
                "a process has failed: {}",
                told(child)
            );
        }
        if kills_every
            .is_some_and(|every| last_kill.elapsed() > every.mul_f64(2.0 * rand::random::<f64>()))
        {
            let victim = &mut children[rand::random::<u32>() as usize % PROCESSES];
            victim.kill().unwrap();
            victim.wait().unwrap();
            *victim = start(&source.url, place.path());
            (kills, last_kill) = (kills + 1, Instant::now());
        }
    }
    std::fs::write(place.path().join("stop"), "").unwrap();
    for child in &mut children {
        let status = child.wait().unwrap();
        assert!(status.success(), "a process has failed: {}", told(child));
    }
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.thefts, 0, "{tokens:?}");
    println!(
        "{} renewals, {kills} kills, {} refusals in {:.1?}",
        tokens.renewals,
        tokens.refusals,
        began.elapsed()
    );
}

fn told(child: &mut Child) -> String {
    use std::io::Read;
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut text);
    }
    text
}

/// A server that is as strict as can be: one reuse of a refresh token, and none is good any more.
#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_lose_no_token_in_two_hundred_renewals() {
    race(200, None).await;
}

/// A server that takes a refresh token again as long as nothing of its answer was used: with another, who is killed
/// between the answer and the write loses the token, whatever is done here.
#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_that_are_killed_lose_no_token() {
    if std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long") {
        race(200, Some(Duration::from_millis(500))).await;
    } else {
        race(20, Some(Duration::from_millis(400))).await;
    }
}
