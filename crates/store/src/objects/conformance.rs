//! What every implementation of `Objects` must do, as assertions that run against any of them.

use super::{ErrorKind, Objects};
use bytes::Bytes;
use futures::future::join_all;

/// Runs the whole suite. What it writes lies under `conformance/`, which must be empty, and is removed.
pub async fn run(objects: &dyn Objects) {
    reads_what_was_written(objects).await;
    creates_once(objects).await;
    replaces_what_was_read(objects).await;
    deletes(objects).await;
    forgets_what_was_there_before(objects).await;
    lists_in_byte_order(objects).await;
    refuses_keys(objects).await;
    one_of_many_creates(&[objects], "conformance").await;
    no_update_is_lost(&[objects], "conformance").await;
    for entry in objects
        .list("conformance/", None, 1000)
        .await
        .expect("a list")
    {
        objects.delete(&entry.key).await.expect("a delete");
    }
    let forgotten = objects.forget_earlier("conformance/").await;
    forgotten.expect("nothing is left of it");
}

async fn forgets_what_was_there_before(objects: &dyn Objects) {
    let keys = ["kept", "gone", "beside"].map(|name| format!("conformance/forget/{name}"));
    let [kept, gone, beside] = &keys;
    for key in &keys {
        for text in ["first", "second", "third"] {
            objects.put(key, Bytes::from(text)).await.expect("a put");
        }
    }
    objects.delete(gone).await.expect("a delete");
    let has_versions = !objects.earlier(kept, 9).await.expect("a list").is_empty();
    let prefixes = ["conformance/forget/kept", "conformance/forget/gone"];
    let mut removed = Vec::new();
    for prefix in prefixes.into_iter().chain(prefixes) {
        removed.push(objects.forget_earlier(prefix).await.expect("forgotten"));
    }
    let expected = if has_versions { [2, 3, 0, 0] } else { [0; 4] };
    assert_eq!(removed, expected);
    let object = objects.get(kept).await.expect("an answer");
    assert_eq!(object.expect("the object").bytes[..], b"third"[..]);
    assert!(objects.get(gone).await.expect("an answer").is_none());
    assert!(objects.earlier(gone, 9).await.expect("a list").is_empty());
    let others = objects.earlier(beside, 9).await.expect("a list").len();
    assert_eq!(others, if has_versions { 2 } else { 0 });
}

async fn reads_what_was_written(objects: &dyn Objects) {
    let key = "conformance/read/ünïcode 1%20+&.txt";
    assert!(objects.get(key).await.expect("an answer").is_none());
    let missing = objects
        .get_range(key, 0..1)
        .await
        .expect_err("nothing to read");
    assert_eq!(missing.kind, ErrorKind::NotFound);

    let version = objects
        .put(key, Bytes::from_static(b"0123456789"))
        .await
        .expect("a put");
    let object = objects
        .get(key)
        .await
        .expect("an answer")
        .expect("the object");
    assert_eq!(
        (&object.bytes[..], &object.version),
        (&b"0123456789"[..], &version)
    );
    for (range, expected) in [(2..5, "234"), (0..10, "0123456789"), (8..20, "89")] {
        let bytes = objects
            .get_range(key, range.clone())
            .await
            .expect("a range");
        assert_eq!(bytes, expected.as_bytes(), "{range:?}");
    }
    for range in [10..12, 3..3] {
        let refused = objects
            .get_range(key, range.clone())
            .await
            .expect_err("no such bytes");
        assert_eq!(refused.kind, ErrorKind::Malformed, "{range:?}");
    }

    let second = objects
        .put(key, Bytes::from_static(b"other"))
        .await
        .expect("a put over it");
    assert_ne!(version, second);
    objects
        .put(key, Bytes::new())
        .await
        .expect("an empty object");
    let empty = objects
        .get(key)
        .await
        .expect("an answer")
        .expect("the object");
    assert!(empty.bytes.is_empty());

    let earlier = objects
        .earlier(key, 2)
        .await
        .expect("what was there before");
    let kept: [&[u8]; 2] = [b"other", b"0123456789"];
    assert!(
        earlier.is_empty() || earlier == kept,
        "all versions or none: {earlier:?}"
    );
}

async fn creates_once(objects: &dyn Objects) {
    let key = "conformance/create";
    let version = objects
        .create(key, Bytes::from_static(b"first"))
        .await
        .expect("a create");
    let refused = objects
        .create(key, Bytes::from_static(b"second"))
        .await
        .expect_err("it exists");
    assert_eq!(refused.kind, ErrorKind::Exists);
    assert_eq!(refused.key, key);
    let object = objects
        .get(key)
        .await
        .expect("an answer")
        .expect("the object");
    assert_eq!(
        (&object.bytes[..], object.version),
        (&b"first"[..], version)
    );
    objects.delete(key).await.expect("a delete");
    objects
        .create(key, Bytes::from_static(b"third"))
        .await
        .expect("a create after a delete");
}

async fn replaces_what_was_read(objects: &dyn Objects) {
    let key = "conformance/replace";
    let first = objects
        .create(key, Bytes::from_static(b"1"))
        .await
        .expect("a create");
    let second = objects
        .replace(key, Bytes::from_static(b"2"), &first)
        .await
        .expect("a replace");
    let refused = objects
        .replace(key, Bytes::from_static(b"3"), &first)
        .await
        .expect_err("it is older");
    assert_eq!(refused.kind, ErrorKind::Changed);
    let object = objects
        .get(key)
        .await
        .expect("an answer")
        .expect("the object");
    assert_eq!((&object.bytes[..], &object.version), (&b"2"[..], &second));
    objects.delete(key).await.expect("a delete");
    let refused = objects
        .replace(key, Bytes::from_static(b"4"), &second)
        .await
        .expect_err("it is gone");
    assert_eq!(refused.kind, ErrorKind::Changed);
    assert!(objects.get(key).await.expect("an answer").is_none());
}

async fn deletes(objects: &dyn Objects) {
    let key = "conformance/delete";
    objects
        .put(key, Bytes::from_static(b"1"))
        .await
        .expect("a put");
    objects.delete(key).await.expect("a delete");
    objects.delete(key).await.expect("a second delete");
    assert!(objects.get(key).await.expect("an answer").is_none());
}

async fn lists_in_byte_order(objects: &dyn Objects) {
    let ordered = [
        "conformance/list/a-b/1",
        "conformance/list/a.json",
        "conformance/list/a/1",
        "conformance/list/a/10",
        "conformance/list/a/2",
        "conformance/list/a0",
        "conformance/list/ä",
    ];
    for key in ordered.iter().rev() {
        objects
            .put(key, Bytes::from(key.to_string()))
            .await
            .expect("a put");
    }
    let list = async |prefix: &str, after: Option<&str>, limit: usize| {
        let entries = objects.list(prefix, after, limit).await.expect("a list");
        entries
            .into_iter()
            .map(|entry| entry.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(list("conformance/list/", None, 100).await, ordered);
    assert_eq!(list("conformance/list/", None, 3).await, ordered[..3]);
    assert_eq!(
        list("conformance/list/", Some(ordered[2]), 2).await,
        ordered[3..5]
    );
    assert_eq!(
        list("conformance/list/", Some("conformance/list/a/11"), 9).await,
        ordered[4..]
    );
    assert_eq!(list("conformance/list/a/", None, 100).await, ordered[2..5]);
    assert_eq!(list("conformance/list/a/1", None, 100).await, ordered[2..4]);
    assert!(
        list("conformance/list/", Some(ordered[6]), 100)
            .await
            .is_empty()
    );
    assert!(
        list("conformance/list/nothing/", None, 100)
            .await
            .is_empty()
    );
    assert!(list("conformance/list/", None, 0).await.is_empty());

    let entries = objects.list(ordered[3], None, 1).await.expect("a list");
    let object = objects
        .get(ordered[3])
        .await
        .expect("an answer")
        .expect("the object");
    assert_eq!(
        (entries[0].size, &entries[0].version),
        (ordered[3].len() as u64, &object.version)
    );
}

async fn refuses_keys(objects: &dyn Objects) {
    let long = "x".repeat(1025);
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "./a",
        "a\\b",
        long.as_str(),
    ] {
        let refused = objects.put(key, Bytes::new()).await.expect_err("not a key");
        assert_eq!(refused.kind, ErrorKind::InvalidKey, "{key}");
        let refused = objects.get(key).await.expect_err("not a key");
        assert_eq!(refused.kind, ErrorKind::InvalidKey, "{key}");
    }
}

/// Of many creates at once exactly one succeeds, and what it wrote is what lies there.
pub async fn one_of_many_creates<O: Objects + ?Sized>(objects: &[&O], prefix: &str) {
    for round in 0..5 {
        let key = format!("{prefix}/race/{round}");
        let tries = (0..16).map(|number| {
            let (key, objects) = (&key, objects[number % objects.len()]);
            async move {
                (
                    number,
                    objects.create(key, Bytes::from(number.to_string())).await,
                )
            }
        });
        let mut winners = Vec::new();
        for (number, outcome) in join_all(tries).await {
            match outcome {
                Ok(_) => winners.push(number),
                Err(refused) => assert_eq!(refused.kind, ErrorKind::Exists),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let object = objects[0]
            .get(&key)
            .await
            .expect("an answer")
            .expect("the object");
        assert_eq!(object.bytes, winners[0].to_string());
    }
}

/// Of many who add to a document at once, none overwrites another.
pub async fn no_update_is_lost<O: Objects + ?Sized>(objects: &[&O], prefix: &str) {
    let key = format!("{prefix}/counter.json");
    let additions = (0..8).map(|number| {
        let (key, objects) = (&key, objects[number % objects.len()]);
        async move {
            for _ in 0..4 {
                loop {
                    let there = objects.get(key).await.expect("an answer");
                    let outcome = match there {
                        None => objects.create(key, Bytes::from_static(b"1")).await,
                        Some(there) => {
                            let count: u32 = String::from_utf8_lossy(&there.bytes)
                                .parse()
                                .expect("a number");
                            let next = Bytes::from((count + 1).to_string());
                            objects.replace(key, next, &there.version).await
                        }
                    };
                    match outcome.map_err(|refused| refused.kind) {
                        Ok(_) => break,
                        Err(ErrorKind::Exists | ErrorKind::Changed) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
    });
    join_all(additions).await;
    let object = objects[0]
        .get(&key)
        .await
        .expect("an answer")
        .expect("the counter");
    assert_eq!(object.bytes, "32");
}
