//! A shop, and a store of its own to publish it into.

use crate::shop::Shop;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millrace_lake::WriteKind;
use millrace_model::Failure;
use millrace_model::definition::parse;
use millrace_model::step::{Counts, Deadline, Next, StepInput, StepOutput, Unobserved};
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, connect};
use millrace_publish::Publish;
use millrace_store::secrets::LocalSecrets;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres::Client;

pub struct Place {
    pub publish: Publish,
    pub shop: Shop,
    pub owner: Credentials,
    pub reader: Credentials,
    pub client: Client,
    _server: PrivateServer,
}

pub fn schema(extra: &[&str]) -> SchemaRef {
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ];
    fields.extend(
        extra
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true)),
    );
    Arc::new(Schema::new(fields))
}

pub fn rows(schema: &SchemaRef, rows: &[(i64, &str)]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.iter().map(|(_, name)| *name),
    ));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(
        rows.iter().map(|(id, _)| *id),
    ))];
    columns.resize(schema.fields().len(), names);
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

impl Place {
    pub async fn new() -> Self {
        let server = PrivateServer::start(
            &Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres"),
            None,
        )
        .await
        .unwrap();
        let (owner, reader) = server.fresh_store("publish").await.unwrap();
        let client = connect(&reader, "test").await.unwrap();
        let shop = Shop::new();
        let variable = (LocalSecrets::variable("millrace/owner"), owner.to_secret());
        let secrets = Arc::new(LocalSecrets::new(None, [variable]));
        let publish = Publish::new(
            shop.objects.clone(),
            shop.lake.clone(),
            secrets,
            "millrace/owner".to_owned(),
        );
        Self {
            publish,
            shop,
            owner,
            reader,
            client,
            _server: server,
        }
    }

    pub async fn write(&mut self, kind: WriteKind, batch: &RecordBatch) {
        self.shop.write(kind, batch).await;
    }

    /// The input of a publish of `orders`, which is written so and read by these queries.
    pub async fn input(&self, write: &str, queries: &[&str]) -> StepInput {
        self.input_of(write, "", queries).await
    }

    /// The same, where the store keeps rows that `recent` says.
    pub async fn input_of(&self, write: &str, recent: &str, queries: &[&str]) -> StepInput {
        let pipeline = format!(
            "pipeline: shop\ndescription: It's a \"shop\".\nresources:\n  - {{ name: orders, connection: shop, path: /orders, \
             records: items, key: [id] }}\ntables:\n  - name: orders\n    from: orders\n    write: {write}\n    key: [id]\n    \
             columns: {{ more: {{ type: json }} }}\npublish:\n  - {{ table: orders, to: operational_store, as: sales.orders{recent} }}\n  \
             - {{ table: orders, to: operational_store, as: sales.copies }}\n  \
             - {{ table: orders, to: operational_store, as: sales.others }}\n"
        );
        let endpoints = queries.iter().enumerate().map(|(at, query)| {
            let query = serde_json::to_string(query).unwrap();
            let text = format!(
                "metadata: {{ name: e{at}, description: d }}\nroutes:\n  /e{at}:\n    datasource: operational_store\n    \
                 query: {query}\n    params: [{{ name: x, type: string }}]\n"
            );
            parse::endpoint(&format!("endpoints/e{at}.yaml"), &text).unwrap()
        });
        let endpoints = endpoints.collect();
        self.shop.input("sales.orders", &pipeline, endpoints).await
    }

    pub async fn run(&self, input: &StepInput) -> Result<StepOutput, Failure> {
        self.publish.run(input, Deadline::NONE, &Unobserved).await
    }

    pub async fn published(&self, input: &StepInput) -> Counts {
        let output = self.run(input).await.unwrap();
        assert_eq!(output.next, Next::Done);
        output.counts
    }

    /// What the reader sees.
    pub async fn rows(&self) -> Vec<(i64, String)> {
        let rows = self
            .client
            .query("SELECT id, name FROM sales.orders ORDER BY id, name", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub async fn indexes(&self) -> Vec<String> {
        let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'sales'";
        let rows = self.client.query(sql, &[]).await.unwrap();
        let columns = |text: String| text[text.find('(').unwrap()..].to_owned();
        let mut indexes: Vec<String> = rows.iter().map(|row| columns(row.get(0))).collect();
        indexes.sort();
        indexes
    }
}

pub fn owned(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter()
        .map(|(id, name)| (*id, (*name).to_owned()))
        .collect()
}
