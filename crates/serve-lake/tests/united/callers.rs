//! Who asks: claims choose rows in both halves, and masks hide columns in both.

use crate::forms::{self, ARROW, CSV, NDJSON, PARQUET};
use crate::place::{Place, START};
use crate::rows::orders;
use millrace_store::secrets::Caller;
use serde_json::{Value, json};

const KEYS: &str = "    auth: { secret_path: aws::secret/consumers }\n";

async fn place() -> Place {
    let own = "SELECT id, name, at, weight FROM sales.orders WHERE name = :name ORDER BY at DESC NULLS LAST";
    let claimed = format!("    params: [{{ name: name, type: string, claim: shop }}]\n{KEYS}");
    let all = "SELECT id, name, at, weight, price FROM sales.orders ORDER BY at DESC NULLS LAST";
    let masked = format!("    mask: {{ weight: scales, price: prices }}\n{KEYS}");
    let starred = "SELECT * FROM sales.orders ORDER BY at NULLS FIRST";
    let starred = (starred, format!("    mask: {{ weight: scales }}\n{KEYS}"));
    let place = Place::with(&[
        ("own", own, &claimed),
        ("masked", all, &masked),
        ("starred", starred.0, &starred.1),
    ])
    .await;
    place.put(&orders()).await;
    place.published_at(START).await;
    place
}

fn caller(name: &str, scopes: &[&str], claims: Value) -> Caller {
    let Value::Object(claims) = claims else {
        panic!("{claims} are no claims")
    };
    Caller {
        name: name.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        claims,
    }
}

#[tokio::test]
async fn a_claim_chooses_rows_in_both_halves() {
    let place = place().await;
    for shop in ["a", "B", "é"] {
        let ada = caller("ada", &[], json!({ "shop": shop }));
        let found = place.all_of("/both/own?limit=2", Some(&ada)).await;
        // Three that are recent, two that are older, and one without a moment.
        assert_eq!(found.len(), 6, "{shop}");
        assert!(found.iter().all(|row| row["name"] == shop), "{found:?}");
        let expected = place.all_of("/lake/own?limit=1000", Some(&ada)).await;
        assert_eq!(found, expected, "{shop}");
    }
    let nobody = caller("bob", &[], json!({}));
    let answer = place.ask("/both/own", &[], Some(&nobody)).await;
    assert_eq!(answer.status(), 403);
    // Nobody says it instead, and a cursor is for whom it was made.
    let ada = caller("ada", &[], json!({ "shop": "a" }));
    let said = place.ask("/both/own?name=z", &[], Some(&ada)).await;
    assert_eq!(said.status(), 400);
    let answer = place.ask("/both/own?limit=1", &[], Some(&ada)).await;
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let next = format!(
        "/both/own?limit=1&cursor={}",
        body["page"]["next"].as_str().unwrap()
    );
    let other = caller("ada", &[], json!({ "shop": "z" }));
    assert_eq!(place.ask(&next, &[], Some(&other)).await.status(), 400);
    assert_eq!(place.ask(&next, &[], Some(&ada)).await.status(), 200);
}

#[tokio::test]
async fn masked_columns_are_null_in_both_halves() {
    let place = place().await;
    let all = caller("all", &["scales", "prices"], json!({}));
    let open = place.all_of("/both/masked?limit=7", Some(&all)).await;
    assert_eq!(
        open,
        place.all_of("/lake/masked?limit=1000", Some(&all)).await
    );
    assert!(open.iter().all(|row| row["weight"].is_number()), "{open:?}");
    for (scopes, hidden) in [
        (&["prices"][..], &["weight"][..]),
        (&["scales"], &["price"]),
        (&[], &["weight", "price"]),
    ] {
        let some = caller("some", scopes, json!({}));
        let mut expected = open.clone();
        for row in &mut expected {
            for column in hidden {
                row[*column] = Value::Null;
            }
        }
        let found = place.all_of("/both/masked?limit=7", Some(&some)).await;
        assert_eq!(found, expected, "{scopes:?}");
        for form in [CSV, NDJSON, ARROW, PARQUET] {
            let accept = [("accept", form)];
            let answer = place
                .ask("/both/masked?limit=1000", &accept, Some(&some))
                .await;
            let (rows, _) = forms::read(form, answer.body());
            for column in hidden {
                assert_eq!(rows.len(), expected.len());
                assert!(
                    rows.iter().all(|row| row[*column].is_null()),
                    "{form}: {rows:?}"
                );
            }
        }
    }
    let none = caller("none", &[], json!({}));
    let starred = place.all_of("/both/starred?limit=5", Some(&none)).await;
    assert_eq!(
        starred,
        place.all_of("/lake/starred?limit=1000", Some(&none)).await
    );
    assert_eq!(starred.len(), open.len());
    assert!(starred.iter().all(|row| row["weight"].is_null()));
}
