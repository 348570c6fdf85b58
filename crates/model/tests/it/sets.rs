//! What only all definitions together can tell.

use millrace_model::definition::Problem;
use millrace_model::definition::set::DefinitionSet;

const CONNECTION: &str = "connection: crm\nbase_url: https://crm.example/api/\n";
const PIPELINE: &str = "\
pipeline: orders
resources:
  - { name: orders, connection: crm, path: /orders, key: [id] }
tables:
  - { name: orders, from: orders, write: upsert }
publish:
  - { table: orders, to: operational_store, as: sales.orders }
";
const ENDPOINT: &str = "\
metadata: { name: orders }
routes:
  /orders:
    datasource: operational_store
    query: SELECT id FROM sales.orders
";

fn parse(files: &[(&str, &str)]) -> (DefinitionSet, Vec<String>) {
    let files = files
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    let (set, problems) = DefinitionSet::parse(files);
    (set, problems.iter().map(Problem::to_string).collect())
}

fn sound() -> Vec<(&'static str, &'static str)> {
    vec![
        ("connections/crm.yaml", CONNECTION),
        ("pipelines/orders.yaml", PIPELINE),
        ("endpoints/orders.yaml", ENDPOINT),
    ]
}

#[test]
fn a_sound_set_has_no_problems() {
    let (set, problems) = parse(&sound());
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(set.connections["crm"].base_url, "https://crm.example/api");
    assert_eq!(set.pin("orders").unwrap().endpoints.len(), 1);
}

#[test]
fn a_connection_that_is_not_there_is_named_with_the_nearest() {
    let pipeline = PIPELINE.replace("connection: crm", "connection: cmr");
    let mut files = sound();
    files[1].1 = &pipeline;
    let (set, problems) = parse(&files);
    assert_eq!(
        problems,
        [
            "pipelines/orders.yaml:3: resources[0].connection: there is no connection `cmr`; did you mean `crm`?"
        ]
    );
    assert_eq!(
        set.pin("orders").unwrap_err()[0].to_string(),
        "pipelines/orders.yaml: resources[0].connection: there is no connection `cmr`; did you mean `crm`?"
    );
}

#[test]
fn a_table_that_nobody_publishes_is_named_with_the_nearest() {
    let near = ENDPOINT.replace("sales.orders", "sales.order");
    let far = ENDPOINT.replace("sales.orders", "hr.people");
    for (endpoint, problem) in [
        (
            near,
            "no pipeline publishes `sales.order`; did you mean `sales.orders`?",
        ),
        (
            far,
            "no pipeline publishes `hr.people`; published are `sales.orders`",
        ),
    ] {
        let mut files = sound();
        files[2].1 = &endpoint;
        assert_eq!(
            parse(&files).1,
            [format!(
                "endpoints/orders.yaml:5: routes[/orders].query: {problem}"
            )]
        );
    }
}

#[test]
fn a_route_reads_what_is_published_to_its_own_datasource() {
    let endpoint = ENDPOINT.replace("operational_store", "lake");
    let mut files = sound();
    files[2].1 = &endpoint;
    assert_eq!(
        parse(&files).1,
        [
            "endpoints/orders.yaml:5: routes[/orders].query: `sales.orders` is published to `operational_store`, and this \
             route reads `lake`; add it to the pipeline's `publish` with `to: lake`, or change the route's `datasource`"
        ]
    );
    // A name may be published to both; a route over the lake needs no index of the store.
    let both = format!("{PIPELINE}  - {{ table: orders, to: lake, as: sales.orders }}\n");
    files[1].1 = &both;
    let (set, problems) = parse(&files);
    assert_eq!(problems, Vec::<String>::new());
    assert!(set.pin("orders").unwrap().endpoints.is_empty());
    let twice = format!("{both}  - {{ table: orders, to: lake, as: sales.orders }}\n");
    files[1].1 = &twice;
    assert_eq!(
        parse(&files).1,
        [
            "pipelines/orders.yaml:9: publish[2].as: `sales.orders` is there twice; give one of them another name"
        ]
    );
}

#[test]
fn the_store_alone_keeps_recent_rows() {
    let published = |publish: &str| {
        let pipeline = PIPELINE.replace(
            "to: operational_store, as: sales.orders }",
            &format!("to: operational_store, as: sales.orders, {publish} }}"),
        );
        let mut files = sound();
        files[1].1 = &pipeline;
        parse(&files)
    };
    let (set, problems) = published("recent: { by: placed_at, keep: 90d }");
    assert_eq!(problems, Vec::<String>::new());
    let recent = set.pipelines["orders"].publish[0].recent.clone().unwrap();
    assert_eq!(
        (recent.by.as_str(), recent.keep.as_secs()),
        ("placed_at", 90 * 86_400)
    );
    for (publish, problem) in [
        (
            "recent: { by: placed at, keep: 90d }",
            "publish[0].recent.by: a name here is at most 63 of `a-z`, `0-9` and `_`, a letter first",
        ),
        (
            "recent: { by: at, keep: 5m }",
            "publish[0].recent.keep: this lies between 1h and 36500d",
        ),
        (
            "recent: { by: at, keep: 5d, for: 6d }",
            "publish[0].recent.for: unknown field; what may stand here is `by` or `keep`",
        ),
    ] {
        let found = published(publish).1;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0], format!("pipelines/orders.yaml:7: {problem}"));
    }
    let lake = PIPELINE.replace(
        "to: operational_store, as: sales.orders }",
        "to: lake, as: sales.orders, recent: { by: at, keep: 1d } }",
    );
    let endpoint = ENDPOINT.replace("operational_store", "lake");
    let mut files = sound();
    files[1].1 = &lake;
    files[2].1 = &endpoint;
    assert_eq!(
        parse(&files).1,
        [
            "pipelines/orders.yaml:7: publish[0].recent: `recent` goes with `operational_store`: the lake has all rows, and \
             Redis keeps them for their `ttl`; leave it out"
        ]
    );
}

#[test]
fn keys_that_are_looked_up_are_published() {
    let lookup = |key: &str| {
        format!(
            "metadata: {{ name: orders, description: d }}\nroutes:\n  /orders/{{id}}:\n    datasource: redis\n    \
             key: '{key}'\n    params: [{{ name: id, type: string }}]\n"
        )
    };
    let published = |publish: &str| {
        PIPELINE.replace(
            "{ table: orders, to: operational_store, as: sales.orders }",
            publish,
        )
    };
    let table = "{ table: orders, to: redis, as: sales.orders }";
    let keyed =
        "{ table: orders, to: redis, as: sales.orders, key: 'order:{id}', form: hash, ttl: 7d }";
    for (publish, key, problem) in [
        (table, "sales.orders:{id}", None),
        (keyed, "order:{id}", None),
        (
            keyed,
            "orders:{id}",
            Some("no pipeline publishes under `orders:{id}`; did you mean `order:{id}`?"),
        ),
        (
            keyed,
            "person:{id}",
            Some("no pipeline publishes under `person:{id}`; published are `order:{id}`"),
        ),
        (
            "{ table: orders, to: lake, as: sales.orders }",
            "order:{id}",
            Some(
                "no pipeline publishes under `order:{id}`, nor anything else to Redis; add the table to a pipeline's \
                 `publish` with `to: redis` and `key: \"order:{id}\"`",
            ),
        ),
    ] {
        let (pipeline, endpoint) = (published(publish), lookup(key));
        let mut files = sound();
        (files[1].1, files[2].1) = (&pipeline, &endpoint);
        let problem = problem
            .map(|text| format!("endpoints/orders.yaml:5: routes[/orders/{{id}}].key: {text}"));
        let (set, problems) = parse(&files);
        assert_eq!(problems, problem.into_iter().collect::<Vec<_>>());
        if let Some(pipeline) = set.pipelines.get("orders").filter(|_| problems.is_empty()) {
            let step = pipeline.publish[0].step();
            assert_eq!(step, "redis:sales.orders");
            assert_eq!(pipeline.publish_step(&step), Some(&pipeline.publish[0]));
        }
    }
}

#[test]
fn no_key_is_of_two_tables() {
    let second = "  - { table: orders, to: redis, as: sales.others, key: 'order:{id}' }\n";
    let first = "  - { table: orders, to: redis, as: sales.keyed, key: 'order:{id}' }\n";
    let pipeline = format!("{PIPELINE}{first}{second}");
    let mut files = sound();
    files[1].1 = &pipeline;
    assert_eq!(
        parse(&files).1,
        [
            "pipelines/orders.yaml:9: publish[2].key: a key of `order:{id}` could be one of `order:{id}` too, under which \
             pipelines/orders.yaml publishes `sales.keyed`; begin it with another name"
        ]
    );
}

/// What is wrong with a route that unites rows of `sales.orders`, published so.
fn united(publish: &str, route: &str) -> Vec<String> {
    let pipeline = PIPELINE.replace(
        "  - { table: orders, to: operational_store, as: sales.orders }\n",
        publish,
    );
    let endpoint = ENDPOINT.replace(
        "    query: SELECT id FROM sales.orders\n",
        &format!("    older: lake\n    auth: {{ secret_path: aws::secret/keys }}\n{route}\n"),
    );
    let mut files = sound();
    files[1].1 = &pipeline;
    files[2].1 = &endpoint;
    parse(&files).1
}

const STORE: &str = "  - { table: orders, to: operational_store, as: sales.orders, recent: { by: at, keep: 1d } }\n";
const LAKE: &str = "  - { table: orders, to: lake, as: sales.orders }\n";

#[test]
fn two_stores_unite_what_is_published_to_both() {
    let down = "    query: SELECT id, at FROM sales.orders ORDER BY at DESC";
    let both = format!("{STORE}{LAKE}");
    assert_eq!(united(&both, down), Vec::<String>::new());
    let whole = "  - { table: orders, to: operational_store, as: sales.orders }\n";
    for (publish, problem) in [
        (
            format!("{whole}{LAKE}"),
            "the store has all rows of `sales.orders`: leave `older` out, or let the pipeline keep the recent ones there, \
             `recent: { by: <column>, keep: 90d }`",
        ),
        (
            STORE.to_owned(),
            "`sales.orders` is not published to the lake; add `{ table: orders, to: lake, as: sales.orders }` to the \
             pipeline's `publish`",
        ),
    ] {
        assert_eq!(
            united(&publish, down),
            [format!(
                "endpoints/orders.yaml:5: routes[/orders].older: {problem}"
            )]
        );
    }
    let masked = format!("{down}\n    mask: {{ at: ages }}");
    assert_eq!(
        united(&both, &masked),
        [
            "endpoints/orders.yaml:8: routes[/orders].mask: `at` is what the answer is ordered by, or a part of the key: \
             the next page's cursor holds it, and a caller who does not see it could read it there"
        ]
    );
    let sorted = format!("{down}\n    sort: [id]");
    assert_eq!(
        united(&both, &sorted),
        [
            "endpoints/orders.yaml:8: routes[/orders].sort: a route with `older` is ordered by `at` first, which tells \
             recent rows from older ones, and by columns of the table: write `ORDER BY at DESC`"
        ]
    );
    let mut files = sound();
    let endpoint = ENDPOINT.replace("operational_store", "lake\n    older: lake");
    files[2].1 = &endpoint;
    assert_eq!(
        parse(&files).1[0],
        "endpoints/orders.yaml:5: routes[/orders].older: recent rows come from `datasource: operational_store`, and older \
         ones from `older: lake`"
    );
}

#[test]
fn what_a_broken_pipeline_would_publish_is_not_missed_as_well() {
    let pipeline = PIPELINE.replace("write: upsert", "write: upset");
    let mut files = sound();
    files[1].1 = &pipeline;
    assert_eq!(
        parse(&files).1,
        [
            "pipelines/orders.yaml:5: tables[0].write: `replace`, `append`, `upsert` or `history` is expected; did you mean `upsert`?"
        ]
    );
}

#[test]
fn two_routes_that_answer_the_same_requests_are_a_problem() {
    let endpoint = "\
metadata: { name: more }
routes:
  /orders:
    datasource: operational_store
    query: SELECT id FROM sales.orders
";
    let mut files = sound();
    files.push(("endpoints/more.yaml", endpoint));
    assert_eq!(
        parse(&files).1,
        [
            "endpoints/orders.yaml:3: routes[/orders]: endpoints/more.yaml has the route `/orders` already, which answers the same requests"
        ]
    );
}

#[test]
fn a_parameter_at_one_place_of_the_path_has_one_name() {
    let endpoint = "\
metadata: { name: orders }
routes:
  /orders/{id}:
    datasource: operational_store
    query: SELECT id FROM sales.orders WHERE id = :id
    params: [{ name: id, type: int }]
  /orders/{number}/items:
    datasource: operational_store
    query: SELECT id FROM sales.orders WHERE number = :number
    params: [{ name: number, type: int }]
";
    let mut files = sound();
    files[2].1 = endpoint;
    assert_eq!(
        parse(&files).1,
        [
            "endpoints/orders.yaml:7: routes[/orders/{number}/items]: `{number}` is called `{id}` in \
             endpoints/orders.yaml; a parameter at one place of the path has one name"
        ]
    );
}

#[test]
fn two_pipelines_that_publish_the_same_target_are_a_problem() {
    let other = PIPELINE.replace("pipeline: orders", "pipeline: others");
    let mut files = sound();
    files.push(("pipelines/others.yaml", &other));
    assert_eq!(
        parse(&files).1,
        [
            "pipelines/others.yaml:7: publish[0].as: `sales.orders` is published by pipelines/orders.yaml already; take another name"
        ]
    );
}

#[test]
fn a_file_in_no_folder_of_a_kind_is_a_problem() {
    let (_, problems) = parse(&[("pipeline/orders.yaml", PIPELINE)]);
    assert_eq!(
        problems,
        [
            "pipeline/orders.yaml: a definition lies in `connections/`, `pipelines/`, `models/` or `endpoints/`"
        ]
    );
}

#[test]
fn another_base_url_takes_the_place_of_the_real_one() {
    let (set, _) = parse(&sound());
    let set = set.with_base_url("crm", "http://127.0.0.1:8080/").unwrap();
    assert_eq!(
        set.pin("orders").unwrap().connections[0].base_url,
        "http://127.0.0.1:8080"
    );
    let problem = set
        .clone()
        .with_base_url("crm", "ftp://127.0.0.1")
        .unwrap_err()
        .to_string();
    assert_eq!(
        problem,
        "connections/crm.yaml: base_url: the URL begins with `https://` or `http://`"
    );
    let problem = set
        .with_base_url("crn", "http://127.0.0.1")
        .unwrap_err()
        .to_string();
    assert_eq!(
        problem,
        "connections/crn.yaml: there is no such connection; did you mean `crm`?"
    );
}

#[test]
fn the_version_follows_the_definition() {
    let (set, _) = parse(&sound());
    let version = set.pin("orders").unwrap().version();
    assert_eq!(version, set.pin("orders").unwrap().version());
    let moved = set.with_base_url("crm", "http://127.0.0.1:8080").unwrap();
    assert_ne!(version, moved.pin("orders").unwrap().version());
}

#[test]
fn a_pipeline_that_is_not_there_is_named_with_the_nearest() {
    let (set, _) = parse(&sound());
    let problems = set.pin("order").unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "pipelines/order.yaml: there is no such pipeline; did you mean `orders`?"
    );
}
