//! Personal data does not come into the lake.

use crate::auth::server::{Answer, Place, granted, serve};
use millrace_model::definition::FieldPath;
use millrace_model::definition::personal_data::{PersonalData, Treatment};
use millrace_model::definition::{SecretRef, pipeline::Paginate};
use serde_json::{Value, json};

/// What must be seen nowhere: it is in all that is about people here.
const HIDDEN: &str = "hidden";

fn place(url: &str) -> Place {
    let mut place = Place::new(url, "none", r#"{"key": "hunter2"}"#);
    let key = SecretRef {
        name: "millrace/source".into(),
        field: None,
    };
    let fields = [
        ("email", Treatment::Hash),
        ("phones", Treatment::Mask),
        ("address.street", Treatment::Drop),
    ];
    place.world.resource.paginate = Paginate::None;
    place.world.resource.personal_data = Some(PersonalData {
        key: Some(key),
        fields: fields
            .map(|(path, treatment)| (FieldPath(path.into()), treatment))
            .into(),
    });
    place
}

#[tokio::test]
async fn it_is_hashed_masked_or_dropped_before_anything_is_stored() {
    let source = serve(|_| {
        granted(json!({ "items": [{
            "id": "a",
            "email": "ann@hidden.example",
            "phones": ["hidden-1", null],
            "address": [{ "street": "hidden lane", "city": "Ulm" }],
        }] }))
    })
    .await;
    let place = place(&source.url);
    place.run(1).await.unwrap();
    let pulled = place.world.pulled(1).await;
    let body: Value = serde_json::from_slice(&pulled.pages[0].1).unwrap();
    let record = &body["items"][0];
    assert_eq!(record["phones"], json!(["***", null]));
    assert_eq!(record["address"], json!([{ "city": "Ulm" }]));
    // printf ann@hidden.example | openssl dgst -sha256 -hmac hunter2
    let hash = "09f961e7d36f1fc2e2acf0c07f0238034888b776f3fd3673214ee52db66163e3";
    assert_eq!(record["email"], hash);
    assert_nothing_hidden(&place).await;
}

#[tokio::test]
async fn nor_does_it_by_way_of_an_answer_that_is_an_error() {
    for status in [400, 404, 422] {
        let source = serve(move |_| Answer(status, Vec::new(), json!({ "wrong": "hidden" }))).await;
        let place = place(&source.url);
        let failure = place.run(1).await.unwrap_err();
        assert!(failure.message.contains("personal data"), "{failure}");
        assert!(!failure.message.contains(HIDDEN), "{failure}");
        assert_nothing_hidden(&place).await;
    }
}

async fn assert_nothing_hidden(place: &Place) {
    let objects = &place.world.objects;
    for entry in objects.list("", None, 1000).await.unwrap() {
        let bytes = objects.get(&entry.key).await.unwrap().unwrap().bytes;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(body) = zstd::decode_all(&*bytes) {
            text.push_str(&String::from_utf8_lossy(&body));
        }
        assert!(!text.contains(HIDDEN), "{}: {text}", entry.key);
    }
}
