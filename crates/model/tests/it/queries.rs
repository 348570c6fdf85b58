//! What is told of an endpoint's SQL without a database.

use millrace_model::query::Query;

fn parse(sql: &str) -> Query {
    Query::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn refusal(sql: &str) -> String {
    match Query::parse(sql) {
        Ok(_) => panic!("{sql} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// `schema.table(column, column desc)` for each index.
fn indexes(sql: &str) -> Vec<String> {
    let column = |(name, descending): &(String, bool)| {
        format!("{name}{}", if *descending { " desc" } else { "" })
    };
    parse(sql)
        .indexes()
        .iter()
        .map(|need| {
            let columns: Vec<String> = need.columns.iter().map(column).collect();
            format!("{}.{}({})", need.schema, need.relation, columns.join(", "))
        })
        .collect()
}

#[test]
fn the_design_s_query() {
    let query = parse(
        "SELECT id, magnitude, occurred_at, place FROM seismology.quakes WHERE magnitude >= :min_magnitude ORDER BY occurred_at DESC",
    );
    assert_eq!(
        query.sql(),
        "SELECT id, magnitude, occurred_at, place FROM seismology.quakes WHERE magnitude >= $1 ORDER BY occurred_at DESC"
    );
    assert_eq!(query.parameters(), ["min_magnitude"]);
    assert_eq!(
        query.relations(),
        [("seismology".to_owned(), "quakes".to_owned())]
    );
    assert_eq!(
        query.order_by().unwrap(),
        [("occurred_at".to_owned(), true)]
    );
    assert_eq!(
        query.output_columns().unwrap(),
        ["id", "magnitude", "occurred_at", "place"]
    );
    assert_eq!(
        indexes(
            "SELECT id FROM seismology.quakes WHERE magnitude >= :min_magnitude ORDER BY occurred_at DESC"
        ),
        [
            "seismology.quakes(magnitude)",
            "seismology.quakes(occurred_at desc)"
        ]
    );
}

#[test]
fn a_name_is_bound_wherever_it_is_one_and_nowhere_else() {
    for (sql, bound) in [
        (
            "SELECT a FROM s.t WHERE a = :x AND b = :y AND c = :x",
            "SELECT a FROM s.t WHERE a = $1 AND b = $2 AND c = $1",
        ),
        ("SELECT ':x' AS a", "SELECT ':x' AS a"),
        ("SELECT 'it''s :x' AS a", "SELECT 'it''s :x' AS a"),
        (r"SELECT E'\':x' AS a", r"SELECT E'\':x' AS a"),
        (
            r"SELECT '\' AS a, :x::int AS b",
            r"SELECT '\' AS a, $1::int AS b",
        ),
        (r#"SELECT ":x" FROM s.t"#, r#"SELECT ":x" FROM s.t"#),
        ("SELECT $$:x$$ AS a", "SELECT $$:x$$ AS a"),
        ("SELECT $q$ $$ :x $q$ AS a", "SELECT $q$ $$ :x $q$ AS a"),
        ("SELECT a::text FROM s.t", "SELECT a::text FROM s.t"),
        ("SELECT a -- :x\nFROM s.t", "SELECT a  FROM s.t"),
        ("SELECT a /* :x /* :y */ */ FROM s.t", "SELECT a   FROM s.t"),
        ("SELECT a FROM s.t;\n-- done", "SELECT a FROM s.t"),
        ("  SELECT a FROM s.t ; ", "SELECT a FROM s.t"),
    ] {
        assert_eq!(parse(sql).sql(), bound);
    }
}

#[test]
fn all_that_does_more_than_read_is_refused() {
    for (sql, part) in [
        ("DELETE FROM s.t", "one SELECT"),
        ("SELECT a FROM s.t; DROP TABLE s.t", "several statements"),
        ("SELECT a INTO s.u FROM s.t", "INTO"),
        ("SELECT a FROM s.t FOR UPDATE", "FOR UPDATE"),
        (
            "WITH gone AS (DELETE FROM s.t RETURNING a) SELECT a FROM gone",
            "DELETE",
        ),
        (
            "WITH more AS (INSERT INTO s.t VALUES (1) RETURNING a) SELECT a FROM more",
            "INSERT",
        ),
        ("TABLE s.t", "TABLE"),
        ("SELECT pg_sleep(100)", "the function `pg_sleep`"),
        (
            "SELECT a FROM s.t WHERE a = current_setting('x')",
            "the function `current_setting`",
        ),
        ("SELECT other.f(a) AS b FROM s.t", "named with its schema"),
        ("SELECT a FROM pg_ls_dir('/')", "this function in FROM"),
        ("SELECT a FROM quakes", "`<schema>.quakes`"),
        (
            "SELECT a FROM s.t WHERE a IN (SELECT b FROM u)",
            "`<schema>.u`",
        ),
        ("SELECT a FROM s.t WHERE a = $1", "`:name`, not `$1`"),
        ("SELECT 'a FROM s.t", "has no end"),
        ("SELECT a /* FROM s.t", "has no end"),
        ("SELECT 1 + 1 FROM s.t", "has no name"),
        (
            "SELECT a, b AS a FROM s.t",
            "two output columns are called `a`",
        ),
        ("SELEKT a FROM s.t", "this is not PostgreSQL's SQL"),
        (" ; ", "the query is empty"),
    ] {
        let message = refusal(sql);
        assert!(message.contains(part), "{sql}: {message}");
    }
}

#[test]
fn every_table_that_is_read_is_told() {
    let relations = |sql: &str| -> Vec<String> {
        parse(sql)
            .relations()
            .iter()
            .map(|(schema, table)| format!("{schema}.{table}"))
            .collect()
    };
    assert_eq!(
        relations(
            "WITH big AS (SELECT id FROM s.quakes) SELECT b.id, p.name FROM big b JOIN s.places p ON p.id = b.id"
        ),
        ["s.places", "s.quakes"]
    );
    assert_eq!(
        relations(
            "SELECT a FROM s.t WHERE EXISTS (SELECT 1 FROM s.u) UNION ALL SELECT b FROM (SELECT c AS b FROM s.v) w"
        ),
        ["s.t", "s.u", "s.v"]
    );
    assert_eq!(
        relations(
            "SELECT (SELECT max(b) FROM S.U) AS a, CASE WHEN a IN (SELECT c FROM s.v) THEN 1 END AS d FROM s.t"
        ),
        ["s.t", "s.u", "s.v"]
    );
    assert_eq!(
        relations("SELECT sum(a) OVER (PARTITION BY (SELECT max(b) FROM s.u)) AS total FROM s.t"),
        ["s.t", "s.u"]
    );
    // A name that WITH gives shadows nothing outside of its own query.
    assert!(
        refusal(
            "SELECT a FROM (WITH u AS (SELECT b FROM s.t) SELECT b AS a FROM u) x JOIN u ON true"
        )
        .contains('u')
    );
}

#[test]
fn indexes_follow_the_parameters_and_the_order() {
    for (sql, expected) in [
        ("SELECT a FROM s.t", vec![]),
        ("SELECT a FROM s.t WHERE id = :id", vec!["s.t(id)"]),
        ("SELECT a FROM s.t WHERE :id = id", vec!["s.t(id)"]),
        (
            "SELECT a FROM s.t WHERE place = :place AND at >= :since",
            vec!["s.t(place, at)"],
        ),
        (
            "SELECT a FROM s.t WHERE place = :place ORDER BY at DESC, id",
            vec!["s.t(place, at desc, id)"],
        ),
        (
            "SELECT a FROM s.t WHERE at BETWEEN :from AND :to",
            vec!["s.t(at)"],
        ),
        (
            "SELECT a FROM s.t WHERE (:p IS NULL OR place = :p)",
            vec!["s.t(place)"],
        ),
        (
            "SELECT a FROM s.t WHERE (place = :p OR :p::text IS NULL) AND m >= :m",
            vec!["s.t(place, m)"],
        ),
        (
            "SELECT a FROM s.t WHERE m >= COALESCE(:m, 5)",
            vec!["s.t(m)"],
        ),
        (
            "SELECT a FROM s.t WHERE place = ANY(:places)",
            vec!["s.t(place)"],
        ),
        ("SELECT a FROM s.t WHERE lower(place) = :p", vec![]),
        ("SELECT a FROM s.t WHERE place = 'here'", vec![]),
        ("SELECT a FROM s.t WHERE place = :p OR m = :m", vec![]),
        (
            "SELECT at AS happened FROM s.t ORDER BY happened DESC",
            vec!["s.t(at desc)"],
        ),
        ("SELECT at FROM s.t ORDER BY 1", vec!["s.t(at)"]),
        ("SELECT at FROM s.t ORDER BY at DESC NULLS LAST", vec![]),
        (
            "SELECT max(at) AS at FROM s.t GROUP BY place ORDER BY at",
            vec![],
        ),
        (
            "SELECT q.a FROM s.q q JOIN s.p p ON p.id = q.place WHERE p.name = :name AND q.m > :m ORDER BY q.a",
            vec!["s.p(name)", "s.q(m)"],
        ),
        (
            "WITH x AS (SELECT id FROM s.t WHERE m = :m) SELECT id FROM x ORDER BY id",
            vec!["s.t(m)"],
        ),
    ] {
        assert_eq!(indexes(sql), expected, "{sql}");
    }
}

#[test]
fn the_order_is_told_where_it_is_of_output_columns() {
    let order = |sql: &str| parse(sql).order_by().map(<[_]>::to_vec);
    let by = |name: &str, descending: bool| Some(vec![(name.to_owned(), descending)]);
    assert_eq!(order("SELECT a FROM s.t"), Some(vec![]));
    assert_eq!(order("SELECT a, b FROM s.t ORDER BY b"), by("b", false));
    assert_eq!(
        order("SELECT a AS x FROM s.t ORDER BY x DESC"),
        by("x", true)
    );
    assert_eq!(order("SELECT t.a FROM s.t t ORDER BY t.a"), by("a", false));
    assert_eq!(order("SELECT a, b FROM s.t ORDER BY 2"), by("b", false));
    assert_eq!(order("SELECT * FROM s.t ORDER BY b"), by("b", false));
    assert_eq!(order("SELECT a FROM s.t ORDER BY b"), None);
    assert_eq!(order("SELECT a FROM s.t ORDER BY lower(a)"), None);
    assert_eq!(order("SELECT a FROM s.t ORDER BY a NULLS FIRST"), None);
}

#[test]
fn a_query_that_is_too_large_or_too_deep_is_refused() {
    assert!(refusal(&format!("SELECT '{}' AS a", "x".repeat(20_000))).contains("16384"));
    assert!(refusal(&format!("SELECT {}1 AS a", "1+".repeat(5_000))).contains("4000 words"));
    assert!(refusal(&format!("SELECT {}1 AS a", "1+".repeat(1_500))).contains("too deep"));
    assert!(
        Query::parse(&format!(
            "SELECT {}1{} AS a",
            "(".repeat(1_900),
            ")".repeat(1_900)
        ))
        .is_err()
    );
}

#[test]
fn a_query_is_sorted_otherwise_and_needs_other_indexes_then() {
    let text = "SELECT id, place AS town FROM s.q WHERE kind = :kind ORDER BY id";
    let query = Query::parse(text).unwrap();
    let sorted = query.sorted_by("town", true).unwrap();
    assert_eq!(
        sorted.sql(),
        "SELECT id, place AS town FROM s.q WHERE kind = $1 ORDER BY \"town\" DESC"
    );
    assert_eq!(sorted.parameters(), ["kind"]);
    let columns = [("kind".to_owned(), false), ("place".to_owned(), true)];
    assert_eq!(sorted.indexes()[0].columns, columns);
    assert!(
        query.sorted_by("place", false).is_err(),
        "no column of the answer"
    );
    for chooses in [
        "SELECT id FROM s.q ORDER BY id LIMIT 5",
        "SELECT DISTINCT ON (id) id FROM s.q ORDER BY id",
    ] {
        assert!(
            Query::parse(chooses)
                .unwrap()
                .sorted_by("id", false)
                .is_err()
        );
    }
}

#[test]
fn an_index_of_recent_rows_is_there_wherever_others_would_come() {
    let query =
        Query::parse("SELECT id FROM s.t WHERE a = :a ORDER BY at DESC NULLS LAST, id").unwrap();
    let columns = |query: &Query| -> Vec<String> {
        let needs = query.indexes().iter();
        let names = needs
            .flat_map(|need| &need.columns)
            .map(|(name, _)| name.clone());
        names.collect()
    };
    assert_eq!(columns(&query), ["a"]);
    assert_eq!(columns(&query.of_recent().unwrap()), ["a", "at", "id"]);
}

fn united(sql: &str) -> Result<millrace_model::query::United, String> {
    let query = Query::parse(sql).map_err(|error| error.to_string())?;
    let key = ["name".to_owned(), "id".to_owned()];
    query.united("at", &key).map_err(|error| error.to_string())
}

#[test]
fn halves_are_put_in_an_order_that_tells_all_rows_apart() {
    for (sql, order) in [
        (
            "SELECT id, name, at FROM s.t ORDER BY at DESC",
            r#"SELECT id, name, at FROM s.t ORDER BY at DESC, "name" DESC, "id" DESC"#,
        ),
        (
            "SELECT upper(name) AS name, at AS moment FROM s.t AS q ORDER BY moment, q.id",
            r#"SELECT upper(name) AS name, at AS moment FROM s.t AS q ORDER BY moment, q.id, q."name" ASC"#,
        ),
        (
            "SELECT * FROM s.t ORDER BY at NULLS FIRST, id DESC",
            r#"SELECT * FROM s.t ORDER BY at NULLS FIRST, id DESC, "name" DESC"#,
        ),
        (
            "SELECT size FROM s.t WHERE name = :name AND (id) = :id",
            r#"SELECT size FROM s.t WHERE name = $1 AND (id) = $2 ORDER BY "t"."at" DESC NULLS LAST, "t"."name" DESC, "t"."id" DESC"#,
        ),
    ] {
        assert_eq!(united(sql).unwrap().query.sql(), order);
    }
}

#[test]
fn what_parameters_say_of_the_age_of_rows_is_known() {
    let sql = "SELECT id FROM s.t WHERE size > :size AND (:since IS NULL OR :since <= at) AND at < :until \
               AND (:x IS NULL OR at >= :until) ORDER BY at DESC NULLS LAST";
    let found = united(sql).unwrap();
    assert_eq!((found.since, found.bounds), (vec![1], vec![1, 2]));
    assert!(
        found.direction.descending
            && !found.direction.nulls_first
            && !found.is_dated
            && !found.is_one
    );
    let found =
        united("SELECT id FROM s.t WHERE at BETWEEN :a AND :b AND at IS NOT NULL ORDER BY at");
    let found = found.unwrap();
    assert_eq!((found.since, found.bounds), (vec![0], vec![0, 1]));
    assert!(!found.direction.descending && !found.direction.nulls_first && found.is_dated);
    // Of several rows of a list, some may be older.
    let listed = "SELECT id FROM s.t WHERE name = :name AND id = ANY(:ids) ORDER BY at";
    assert!(!united(listed).unwrap().is_one);
    assert!(
        united("SELECT id FROM s.t WHERE name = :a AND id = 7")
            .unwrap()
            .is_one
    );
}

#[test]
fn what_is_said_of_all_rows_together_has_no_halves() {
    for (sql, what) in [
        ("SELECT count(*) AS n FROM s.t", "the function `count`"),
        (
            "SELECT id FROM s.t ORDER BY at LIMIT 5",
            "LIMIT, OFFSET or FETCH",
        ),
        ("SELECT DISTINCT at FROM s.t ORDER BY at", "DISTINCT"),
        (
            "SELECT at FROM s.t GROUP BY at ORDER BY at",
            "GROUP BY or HAVING",
        ),
        (
            "SELECT at FROM s.t UNION SELECT at FROM s.t",
            "UNION, INTERSECT, EXCEPT or VALUES",
        ),
        (
            "SELECT id FROM s.t WHERE at = (SELECT max(at) AS at FROM s.t) ORDER BY at",
            "a query within the query",
        ),
        (
            "WITH x AS (SELECT 1 AS a) SELECT id FROM s.t ORDER BY at",
            "a query within the query",
        ),
        (
            "SELECT id, row_number() OVER (ORDER BY id) AS n FROM s.t ORDER BY at",
            "a window function",
        ),
    ] {
        let error = united(sql).unwrap_err();
        let expected = format!("{what} says something of all rows together; ");
        assert!(error.starts_with(&expected), "{sql}: {error}");
    }
    for sql in [
        "SELECT a.id FROM s.t AS a JOIN s.u AS b ON a.id = b.id ORDER BY a.at",
        "SELECT a.id FROM s.t AS a, s.u AS b ORDER BY a.at",
        "SELECT x.id FROM s.t AS x(id, at) ORDER BY at",
    ] {
        let error = united(sql).unwrap_err();
        assert!(
            error.starts_with("a route with `older` reads one table"),
            "{sql}: {error}"
        );
    }
    for sql in [
        "SELECT id FROM s.t",
        "SELECT id FROM s.t ORDER BY id, at",
        "SELECT id FROM s.t ORDER BY at, lower(name)",
        "SELECT id, at FROM s.t ORDER BY 2",
        "SELECT id, size AS at FROM s.t ORDER BY at",
        "SELECT id FROM s.t WHERE name = :name",
    ] {
        let error = united(sql).unwrap_err();
        assert!(
            error.starts_with("a route with `older` is ordered by `at` first"),
            "{sql}: {error}"
        );
    }
}
