//! Models: their files and SELECTs, what they read, and the order in which they are made.

use millrace_model::definition::Problem;
use millrace_model::definition::pipeline::TableName;
use millrace_model::definition::set::DefinitionSet;

const CONNECTION: &str = "connection: crm\nbase_url: https://crm.example/api/\n";
const SHOP: &str = "pipeline: shop\nresources:\n  - { name: orders, connection: crm, path: /orders, key: [id] }\ntables:\n  \
                    - { name: orders, from: orders, write: upsert }\n";
const CRM: &str = "pipeline: crm\nresources:\n  - { name: people, connection: crm, path: /people, key: [id] }\ntables:\n  - \
                   { name: people, from: people, write: upsert }\n";

/// The set with those models of `shop` and of `crm`, and files.
fn parse(shop: &str, crm: &str, files: &[(&str, &str)]) -> (DefinitionSet, Vec<String>) {
    let mut all = vec![
        ("connections/crm.yaml".to_owned(), CONNECTION.to_owned()),
        ("pipelines/shop.yaml".to_owned(), format!("{SHOP}{shop}")),
        ("pipelines/crm.yaml".to_owned(), format!("{CRM}{crm}")),
    ];
    let files = files.iter();
    all.extend(files.map(|(file, text)| ((*file).to_owned(), (*text).to_owned())));
    let (set, problems) = DefinitionSet::parse(all);
    (set, problems.iter().map(Problem::to_string).collect())
}

fn problems(shop: &str) -> Vec<String> {
    parse(shop, "", &[]).1
}

#[test]
fn a_model_reads_tables_of_its_own_pipeline_and_of_others() {
    let sql = "SELECT p.name, sum(o.total) AS total\nFROM orders o\nJOIN crm.people p ON p.id = o.person\nGROUP BY p.name\n";
    let models = "models:\n  - { name: by_name, file: by_name.sql, key: [name] }\n";
    let (set, problems) = parse(models, "", &[("models/by_name.sql", sql)]);
    assert_eq!(problems, Vec::<String>::new());
    let model = set.pipelines["shop"].model("by_name").unwrap();
    assert_eq!(model.sql, sql);
    let reads: Vec<String> = model.reads.iter().map(ToString::to_string).collect();
    assert_eq!(reads, ["crm.people", "shop.orders"]);
    let pinned = set.pin("shop").unwrap();
    let back: millrace_model::definition::Pinned =
        serde_json::from_slice(&pinned.to_json()).unwrap();
    assert_eq!(back, pinned);
}

#[test]
fn models_stand_behind_those_that_they_read() {
    let models = "models:\n  - { name: a, query: SELECT * FROM b }\n  - { name: b, query: 'SELECT * FROM c, orders' }\n  - { \
                  name: c, query: SELECT * FROM orders }\n";
    let (set, problems) = parse(models, "", &[]);
    assert_eq!(problems, Vec::<String>::new());
    let names = set.pipelines["shop"].models.iter();
    let names: Vec<&str> = names.map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["c", "b", "a"]);
}

#[test]
fn models_that_do_not_read_one_another_are_of_one_level() {
    let models = "models:\n  - { name: a, query: 'SELECT * FROM c, orders' }\n  - { name: b, query: SELECT * FROM orders }\n  - { \
                  name: c, query: SELECT * FROM orders__lines }\n  - { name: d, query: 'SELECT * FROM a, b' }\n  - { name: e, \
                  query: SELECT * FROM crm.people }\n";
    let (set, problems) = parse(models, "", &[]);
    assert_eq!(problems, Vec::<String>::new());
    let levels = set.pipelines["shop"].levels().into_iter();
    let levels: Vec<Vec<&str>> = levels
        .map(|level| level.iter().map(|model| model.name.as_str()).collect())
        .collect();
    assert_eq!(levels, [vec!["b", "c", "e"], vec!["a"], vec!["d"]]);
}

#[test]
fn what_is_made_of_a_table_is_found_through_models_and_pipelines() {
    let shop = "models:\n  - { name: all, query: 'SELECT * FROM late, crm.far' }\n  - { name: late, query: SELECT * FROM \
                orders__lines }\n  - { name: other, query: SELECT * FROM crm.people }\n";
    let crm = "models:\n  - { name: far, query: SELECT * FROM shop.late }\n";
    let (set, problems) = parse(shop, crm, &[]);
    assert_eq!(problems, Vec::<String>::new());
    let made = |pipeline: &str, table: &str| {
        let table = TableName {
            pipeline: pipeline.to_owned(),
            table: table.to_owned(),
        };
        let models = set.models_of([table]).into_iter();
        let names = models.map(|(pipeline, model)| format!("{}.{}", pipeline.name, model.name));
        names.collect::<Vec<_>>()
    };
    assert_eq!(made("shop", "orders"), ["shop.late", "crm.far", "shop.all"]);
    assert_eq!(made("crm", "people"), ["shop.other"]);
    assert_eq!(made("crm", "orders"), [""; 0]);
}

#[test]
fn a_circle_is_named_once() {
    let shop = "models:\n  - { name: a, query: SELECT * FROM b }\n  - { name: b, query: SELECT * FROM crm.c }\n  - { name: d, \
                query: SELECT * FROM a }\n";
    let crm = "models:\n  - { name: c, query: SELECT * FROM shop.a }\n";
    let (_, problems) = parse(shop, crm, &[]);
    assert_eq!(
        problems,
        [
            "pipelines/crm.yaml:7: models[0]: models read one another in a circle, and none can be made first: crm.c reads \
          shop.a reads shop.b reads crm.c"
        ]
    );
    let own = "models:\n  - { name: a, query: SELECT * FROM a }\n";
    assert!(parse(own, "", &[]).1[0].ends_with("shop.a reads shop.a"));
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let models = "models:\n  - { name: m, file: m.sql }\n";
    for (sql, told) in [
        (
            "SELECT id\nFROM ordrs",
            "models/m.sql:2: `shop` has no table `ordrs`; did you mean `orders`?",
        ),
        (
            "SELECT id\n\nFROM crn.people",
            "models/m.sql:3: there is no pipeline `crn`; did you mean `crm.people`?",
        ),
        (
            "SELECT id FROM orders\nWHERE AND paid",
            "models/m.sql:2: this is not PostgreSQL's SQL",
        ),
        (
            "DELETE FROM orders",
            "models/m.sql: a model only reads: its query is one SELECT",
        ),
    ] {
        let (_, problems) = parse(models, "", &[("models/m.sql", sql)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(told), "{}", problems[0]);
    }
}

#[test]
fn what_is_wrong_in_the_pipeline_is_told_with_its_field() {
    for (model, told) in [
        ("name: m", "models[0]: a model has either a `file`"),
        (
            "name: m, file: m.sql",
            "models[0].file: there is no file models/m.sql; write the SELECT there",
        ),
        ("name: m, file: ../m.sql", "models[0].file: a file is named"),
        (
            "name: orders, query: SELECT 1",
            "models[0].name: a table is called `orders` already",
        ),
        (
            "name: a__b, query: SELECT 1",
            "models[0].name: two underscores",
        ),
        (
            "name: m, query: SELECT 1, write: history",
            "models[0].write: `history` is made of records",
        ),
        (
            "name: m, query: SELECT 1, write: upsert",
            "models[0].write: `upsert` needs to know",
        ),
        (
            "name: m, query: SELECT 1, expect: [{ column: a, is: unique, otherwise: quarantine }]",
            "models[0].expect[0].otherwise: an answer's rows have no order",
        ),
        (
            "name: m, query: SELECT 1, expect: [{ schema: { type: thing } }]",
            "models[0].expect[0].schema.type: a type is one of",
        ),
        (
            "name: m, query: SELECT 1 FROM nowhere",
            "models[0].query: `shop` has no table `nowhere`",
        ),
    ] {
        let found = problems(&format!("models:\n  - {{ {model} }}\n"));
        let told = format!("pipelines/shop.yaml:7: {told}");
        assert!(
            found.iter().any(|found| found.starts_with(&told)),
            "{model}: {found:?}"
        );
    }
    let twice = "concurrency: allow\nmodels:\n  - { name: m, query: SELECT 1, write: append }\n";
    assert!(problems(twice)[0].contains("`concurrency: allow`"));
}

#[test]
fn a_model_can_be_published_and_a_child_read() {
    let models = "models:\n  - { name: m, query: SELECT * FROM orders__lines }\npublish:\n  - { table: m, to: \
                  operational_store, as: sales.lines }\n";
    assert_eq!(problems(models), Vec::<String>::new());
}
