//! Whole answers as files: both halves of one version are in them, whatever is published meanwhile.

use crate::forms::{self, CSV, NDJSON, PARQUET};
use crate::place::{Place, START};
use crate::rows::{MICROS, NAMES, Orders, orders};
use millrace_store::secrets::Caller;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How many rows each name has: those before the boundary are more than a page of a file.
const EACH: i64 = 900;

/// What is told of an export.
async fn told(place: &Place, path: &str, caller: Option<&Caller>) -> Value {
    let answer = place.ask(path, &[], caller).await;
    let mut body: Value = serde_json::from_slice(answer.body()).unwrap();
    body["data"][0].take()
}

/// The rows of the one file of an export.
async fn exported(place: &Place, path: &str, form: &str, caller: Option<&Caller>) -> Vec<Value> {
    let headers = [("accept", form), ("prefer", "respond-async")];
    let answer = place.ask(path, &headers, caller).await;
    assert_eq!(answer.status(), 202, "{answer:?}");
    let location = answer.headers()["location"].to_str().unwrap();
    let begun = Instant::now();
    let over = loop {
        let told = told(place, location, caller).await;
        if told["status"] == "done" || told["status"] == "failed" {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(over["status"], "done", "{over}");
    let [file] = over["files"].as_array().unwrap().as_slice() else {
        panic!("there are other files: {over}")
    };
    let answer = place.ask(file["url"].as_str().unwrap(), &[], caller).await;
    let (rows, _) = forms::read(form, answer.body());
    assert_eq!(json!(rows.len()), file["rows"]);
    rows
}

/// Rows on both sides of the boundary and without a moment, all of which say which version they are of.
fn version(number: i64) -> Orders {
    let rows = NAMES.iter().flat_map(|name| {
        (0..EACH).map(move |id| {
            let hours = (id % 9 != 0).then_some(id % 48 - 44);
            let at = hours.map(|hours| (START + hours * 3600) * MICROS);
            ((*name, id), (at, number))
        })
    });
    rows.collect()
}

#[tokio::test]
async fn a_file_is_of_one_version_whatever_is_published_meanwhile() {
    let columns = "SELECT id, name, weight FROM sales.orders ORDER BY";
    let (up, down) = (
        format!("{columns} at"),
        format!("{columns} at DESC NULLS LAST"),
    );
    let export = "    export: true\n";
    let place = Place::with(&[("rising", &up, export), ("falling", &down, export)]).await;
    place.put(&version(0)).await;
    place.published_at(START).await;
    let one_version = |rows: &[Value]| {
        let weights: BTreeSet<String> = rows.iter().map(|row| row["weight"].to_string()).collect();
        assert_eq!(
            (rows.len(), weights.len()),
            (NAMES.len() * EACH as usize, 1)
        );
        rows[0]["weight"].as_f64().unwrap() * 2.0
    };
    // What was asked for just now is known, and is not what is there when the file is made.
    for (number, route) in [(1, "/both/rising"), (2, "/both/falling")] {
        place.put(&version(number)).await;
        place.page(&format!("{route}?limit=1")).await;
        place.published_at(START + number).await;
        let rows = exported(&place, route, CSV, None).await;
        assert!((one_version(&rows) - number as f64).abs() < 0.1, "{route}");
    }
    for (number, route) in [
        (3, "/both/rising"),
        (4, "/both/falling"),
        (5, "/both/rising"),
    ] {
        place.put(&version(number)).await;
        let published = place.published_at(START + number);
        let (rows, ()) = tokio::join!(exported(&place, route, NDJSON, None), published);
        let found = one_version(&rows);
        assert!(
            [number - 1, number]
                .map(|number| number as f64)
                .contains(&found)
        );
    }
}

#[tokio::test]
async fn a_file_has_what_its_caller_may_see() {
    let query = "SELECT id, name, at, weight FROM sales.orders WHERE name = :name ORDER BY at DESC NULLS LAST";
    let more = "    params: [{ name: name, type: string, claim: shop }]
    mask: { weight: scales }
    export: true
    fields: [id, weight, at]
    auth: { secret_path: aws::secret/consumers }\n";
    let place = Place::with(&[("own", query, more)]).await;
    place.put(&orders()).await;
    place.published_at(START).await;
    for scopes in [&[][..], &["scales".to_owned()]] {
        let ada = Caller {
            name: "ada".to_owned(),
            scopes: scopes.to_vec(),
            claims: Map::from_iter([("shop".to_owned(), json!("é"))]),
        };
        let path = "own?fields=weight,at,id";
        let expected = place
            .all_of(&format!("/lake/{path}&limit=1000"), Some(&ada))
            .await;
        assert_eq!(expected.len(), 6);
        let masked = expected.iter().all(|row| row["weight"].is_null());
        assert_eq!(masked, scopes.is_empty());
        let expected: Vec<Value> = expected.iter().map(forms::plain).collect();
        for form in [CSV, NDJSON, PARQUET] {
            let rows = exported(&place, &format!("/both/{path}"), form, Some(&ada)).await;
            assert_eq!(rows, expected, "{form}");
        }
    }
}
