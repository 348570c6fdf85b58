//! A Delta table in a real Redis: what is written, what goes, and what killers and other publishes leave of it.

use crate::shop::{KEY, Shop};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millrace_lake::WriteKind;
use millrace_model::step::{Counts, Deadline, Next, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, FailureName};
use millrace_publish::Publish;
use millrace_redis::private::PrivateServer;
use millrace_redis::{Connection, FromRedisValue, Note, cmd, login};
use millrace_store::secrets::LocalSecrets;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

struct Place {
    publish: Arc<Publish>,
    shop: Shop,
    /// The server's admin.
    admin: Connection,
    server: PrivateServer,
}

impl Place {
    async fn new() -> Self {
        let server = PrivateServer::start(None).await.unwrap();
        let secrets = Arc::new(LocalSecrets::new(
            None,
            [
                (LocalSecrets::variable("owner"), server.owner().to_secret()),
                (LocalSecrets::variable("admin"), server.admin().to_secret()),
            ],
        ));
        let shop = Shop::new();
        let admin = login(&*secrets, "admin", Duration::from_secs(5))
            .await
            .unwrap();
        let (objects, lake) = (shop.objects.clone(), shop.lake.clone());
        let publish = Publish::new(objects, lake, secrets, "none".to_owned());
        Self {
            publish: Arc::new(publish.with_redis(Some("owner"))),
            shop,
            admin,
            server,
        }
    }

    async fn write(&mut self, kind: WriteKind, rows: &[(i64, String)]) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id)));
        let names = rows
            .iter()
            .map(|(_, name)| (!name.is_empty()).then_some(name));
        let names: ArrayRef = Arc::new(names.collect::<StringArray>());
        let columns = [("id", ids, true), ("name", names, true)];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        self.shop.write(kind, &batch).await;
    }

    /// The input of a publish of `orders`, which is written so and published so.
    async fn input(&self, write: &str, publish: &str) -> StepInput {
        let text = format!(
            "pipeline: shop\ndescription: A shop\nresources:\n  - {{ name: orders, connection: shop, path: /orders, \
             records: items, key: [id] }}\ntables:\n  - {{ name: orders, from: orders, write: {write}, key: [id] }}\n\
             publish:\n  - {{ table: orders, to: redis, as: sales.orders, {publish} }}\n"
        );
        let name = "redis:sales.orders";
        self.shop.input(name, &text, Vec::new()).await
    }

    async fn run(&self, input: &StepInput) -> Result<StepOutput, Failure> {
        self.publish.run(input, Deadline::NONE, &Unobserved).await
    }

    async fn published(&self, input: &StepInput) -> Counts {
        let output = self.run(input).await.unwrap();
        assert_eq!(output.next, Next::Done);
        output.counts
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &[&str]) -> T {
        self.admin
            .ask(cmd(command[0]).arg(&command[1..]))
            .await
            .unwrap()
    }

    /// All documents under `order:`, by their keys.
    async fn documents(&mut self) -> BTreeMap<String, String> {
        let keys: Vec<String> = self.ask(&["KEYS", "order:*"]).await;
        let mut documents = BTreeMap::new();
        for key in keys {
            let document: String = self.ask(&["GET", &key]).await;
            documents.insert(key, document);
        }
        documents
    }

    async fn note(&mut self) -> Note {
        let text: String = self.ask(&["GET", "millrace:dataset:sales.orders"]).await;
        serde_json::from_str(&text).unwrap()
    }

    /// What tells one store from another, whenever it was written.
    async fn contents(&mut self) -> (BTreeMap<String, String>, Vec<String>, Option<u64>) {
        let mut keys: Vec<String> = self
            .ask(&["ZRANGE", "millrace:rows:sales.orders", "0", "-1"])
            .await;
        keys.sort();
        let note = self.note().await;
        assert_eq!(note.under_way, None);
        let version = note.published.map(|published| published.version);
        (self.documents().await, keys, version)
    }
}

fn rows(ids: impl IntoIterator<Item = i64>, name: &str) -> Vec<(i64, String)> {
    ids.into_iter().map(|id| (id, name.to_owned())).collect()
}

#[tokio::test]
async fn rows_come_change_and_go() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    assert_eq!(
        place.published(&input).await["rows"],
        0,
        "there is no table yet"
    );
    place.write(WriteKind::Upsert, &rows(1..=3, "a")).await;
    let counts = place.published(&input).await;
    assert_eq!((counts["rows"], counts["rows_inserted"]), (3, 3));
    let document: String = place.ask(&["GET", "order:1"]).await;
    assert_eq!(document, r#"{"id":1,"name":"a"}"#);
    let ttl: i64 = place.ask(&["TTL", "order:1"]).await;
    assert_eq!(ttl, -1);
    let published = place.note().await.published.unwrap();
    assert_eq!(published.run, input.run.to_string());
    assert_eq!(published.source, KEY);

    // What was written since is written, and nothing else.
    place.ask::<()>(&["SET", "order:1", "mine"]).await;
    place.write(WriteKind::Append, &rows([4], "b")).await;
    let counts = place.published(&input).await;
    assert_eq!((counts["rows"], counts["rows_inserted"]), (1, 1));
    let documents = place.documents().await;
    assert_eq!(documents["order:1"], "mine");
    assert_eq!(documents["order:4"], r#"{"id":4,"name":"b"}"#);
    assert_eq!(place.published(&input).await["rows"], 0);

    // The lake cannot tell what a replacement deleted.
    place.write(WriteKind::Replace, &rows([2, 5], "")).await;
    let counts = place.published(&input).await;
    assert_eq!((counts["rows_inserted"], counts["rows_removed"]), (1, 3));
    let documents: Vec<(String, String)> = place.documents().await.into_iter().collect();
    let expected = [
        ("order:2", r#"{"id":2,"name":null}"#),
        ("order:5", r#"{"id":5,"name":null}"#),
    ];
    assert_eq!(
        documents,
        expected.map(|(key, text)| (key.to_owned(), text.to_owned()))
    );
}

#[tokio::test]
async fn another_layout_is_written_anew() {
    let mut place = Place::new().await;
    place.write(WriteKind::Upsert, &rows(1..=2, "a")).await;
    let document = place.input("upsert", "key: \"order:{id}\"").await;
    place.published(&document).await;
    let hash = place
        .input("upsert", "key: \"order:{id}\", form: hash, ttl: 1h")
        .await;
    assert_eq!(place.published(&hash).await["rows"], 2);
    let fields: BTreeMap<String, String> = place.ask(&["HGETALL", "order:2"]).await;
    assert_eq!(
        fields,
        BTreeMap::from(
            [("id", "2"), ("name", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()))
        )
    );
    let ttl: i64 = place.ask(&["TTL", "order:2"]).await;
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    // Under other keys, the old ones go; whose they are is known at any moment.
    let moved = place.input("upsert", "key: \"o:{id}\"").await;
    assert_eq!(place.published(&moved).await["rows_removed"], 2);
    assert!(place.documents().await.is_empty());
    let patterns: BTreeMap<String, String> = place.ask(&["HGETALL", "millrace:patterns"]).await;
    assert_eq!(
        patterns,
        BTreeMap::from([("o:{id}".to_owned(), "sales.orders".to_owned())])
    );
    // Keys that are another table's are not touched.
    place
        .ask::<()>(&["HSET", "millrace:patterns", "order:{x}", "sales.others"])
        .await;
    let failure = place.run(&document).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadDefinition);
    assert!(failure.message.contains("sales.others"), "{failure}");
}

#[tokio::test]
async fn a_key_of_two_rows_is_bad_data() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    place.write(WriteKind::Append, &rows([1, 1, 2], "a")).await;
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadData);
    assert!(
        failure.message.contains("3 rows have 2 different keys"),
        "{failure}"
    );
}

#[tokio::test]
async fn two_at_once_leave_what_one_does() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    place.write(WriteKind::Upsert, &rows(0..5000, "a")).await;
    let both = tokio::join!(place.published(&input), place.published(&input));
    assert_eq!(
        both.0["rows"] + both.1["rows"],
        5000,
        "the second one finds it done"
    );
    assert_eq!(place.documents().await.len(), 5000);
}

/// A publish is killed wherever it happens to be, and repeated, now and then with another version or another layout in
/// between.
#[tokio::test]
async fn killed_anywhere_and_repeated_it_leaves_what_one_run_does() {
    let is_long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    let mut place = Place::new().await;
    let plain = place.input("upsert", "key: \"order:{id}\"").await;
    let with_ttl = place.input("upsert", "key: \"order:{id}\", ttl: 1h").await;
    let (mut killed, mut random) = (0, 7u64);
    for round in 0..(if is_long { 60 } else { 8 }) {
        let kind = if round % 3 == 2 {
            WriteKind::Replace
        } else {
            WriteKind::Append
        };
        let first = i64::from(round) * 2000;
        place
            .write(kind, &rows(first..first + 2000, &format!("v{round}")))
            .await;
        for input in [&plain, &with_ttl] {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (publish, input) = (place.publish.clone(), input.clone());
            let task =
                tokio::spawn(async move { publish.run(&input, Deadline::NONE, &Unobserved).await });
            tokio::time::sleep(Duration::from_millis((random >> 33) % 80)).await;
            task.abort();
            killed += u64::from(task.await.is_err());
            // As if the dead one's turn were over already.
            place
                .ask::<()>(&["DEL", "millrace:turn:sales.orders"])
                .await;
        }
        place.published(&plain).await;
        let repeated = place.contents().await;
        place.ask::<()>(&["FLUSHALL"]).await;
        place.published(&plain).await;
        assert_eq!(repeated, place.contents().await, "round {round}");
    }
    assert!(killed > 3, "{killed} were killed");
}

#[tokio::test]
async fn a_turn_is_over_by_itself_and_who_slept_through_it_writes_nothing() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    place.write(WriteKind::Upsert, &rows(0..20_000, "a")).await;
    place
        .ask::<()>(&[
            "SET",
            "millrace:turn:sales.orders",
            "a dead one",
            "PX",
            "700",
        ])
        .await;
    let started = std::time::Instant::now();
    let (publish, again) = (place.publish.clone(), input.clone());
    let task = tokio::spawn(async move { publish.run(&again, Deadline::NONE, &Unobserved).await });
    while place
        .ask::<u64>(&["ZCARD", "millrace:rows:sales.orders"])
        .await
        == 0
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(600));
    place
        .ask::<()>(&["SET", "millrace:turn:sales.orders", "somebody else"])
        .await;
    let failure = task.await.unwrap().unwrap_err();
    assert_eq!(failure.name, FailureName::Transient);
    assert!(failure.message.contains("lost its turn"), "{failure}");
    let written = place.documents().await.len();
    assert!(written < 20_000);
    assert!(place.note().await.published.is_none());
    let turn: String = place.ask(&["GET", "millrace:turn:sales.orders"]).await;
    assert_eq!(turn, "somebody else");
}

#[tokio::test]
async fn what_takes_too_long_for_a_lambda_is_handed_over() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    place.write(WriteKind::Upsert, &rows(0..20_000, "a")).await;
    let deadline = Deadline::after(Duration::from_millis(5_050));
    let output = place
        .publish
        .run(&input, deadline, &Unobserved)
        .await
        .unwrap();
    assert_eq!(output.next, Next::Task);
    let started = std::time::Instant::now();
    assert_eq!(place.published(&output.input).await["rows"], 20_000);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "the turn was given back"
    );
}

#[tokio::test]
async fn a_redis_that_is_away_is_a_passing_trouble() {
    let mut place = Place::new().await;
    let input = place.input("upsert", "key: \"order:{id}\"").await;
    place.write(WriteKind::Upsert, &rows([1], "a")).await;
    place.published(&input).await;
    place.server.kill().unwrap();
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::Transient, "{failure}");
    // It comes back with nothing in it.
    place.server.start_again().await.unwrap();
    assert_eq!(place.published(&input).await["rows"], 1);
}
