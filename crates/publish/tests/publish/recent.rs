//! Tables of which the store keeps the recent rows alone.

use crate::support::Place;
use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use millrace_lake::WriteKind;
use millrace_model::FailureName;
use millrace_model::ledger::RunId;
use millrace_model::recent::RecentRows;
use millrace_model::step::{Counts, Next, StepInput};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// When the first run starts: a midnight.
const START: i64 = 20_000 * DAY;

/// Rows by their ids, each with its moment in seconds and its count.
type Rows = BTreeMap<i64, (Option<i64>, i64)>;

fn batch(rows: &Rows) -> RecordBatch {
    let moments = rows
        .values()
        .map(|(at, _)| at.map(|seconds| seconds * MICROS));
    let moments = TimestampMicrosecondArray::from_iter(moments).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 3] = [
        (
            "id",
            Arc::new(Int64Array::from_iter_values(rows.keys().copied())),
        ),
        ("at", Arc::new(moments)),
        (
            "count",
            Arc::new(Int64Array::from_iter_values(
                rows.values().map(|(_, count)| *count),
            )),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

impl Place {
    /// Commits a file of these rows in the place of the files of those names, and says what it is called.
    async fn commit(&mut self, kind: WriteKind, rows: &Rows, removed: &[String]) -> String {
        self.shop.commit(kind, &batch(rows), removed).await
    }

    async fn recent_rows(&self) -> Rows {
        let sql = "SELECT id, extract(epoch FROM at)::bigint, count FROM sales.orders";
        let rows = self.client.query(sql, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| (row.get(0), (row.get(1), row.get(2)));
        rows.iter().map(row).collect()
    }

    async fn noted(&self) -> (i64, RecentRows) {
        let sql = "SELECT version, recent::text FROM millrace.published WHERE relation = 'orders'";
        let row = self.client.query_one(sql, &[]).await.unwrap();
        let recent: String = row.get(1);
        (row.get(0), serde_json::from_str(&recent).unwrap())
    }

    async fn published_at(&self, input: &StepInput, seconds: i64) -> Counts {
        let input = StepInput {
            run: RunId::new("shop", seconds, 7),
            ..input.clone()
        };
        self.published(&input).await
    }
}

fn kept(rows: &Rows, from: i64) -> Rows {
    let recent = rows
        .iter()
        .filter(|(_, (at, _))| at.is_some_and(|at| at >= from));
    recent.map(|(id, row)| (*id, *row)).collect()
}

fn rows(rows: &[(i64, Option<i64>, i64)]) -> Rows {
    let row = |(id, at, count): &(i64, Option<i64>, i64)| (*id, (*at, *count));
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn rows_leave_the_store_as_they_grow_old() {
    let mut place = Place::new().await;
    let input = place
        .input_of("upsert", ", recent: { by: at, keep: 1d }", &[])
        .await;
    let first = rows(&[
        (1, Some(START - DAY), 1),
        (2, Some(START - DAY - 1), 2),
        (3, None, 3),
        (4, Some(START), 4),
    ]);
    let file = place.commit(WriteKind::Upsert, &first, &[]).await;
    let counts = place.published_at(&input, START).await;
    assert_eq!((counts["rows"], counts["rows_inserted"]), (2, 2));
    assert_eq!(place.recent_rows().await, kept(&first, START - DAY));
    let (version, noted) = place.noted().await;
    assert_eq!(
        (version, noted.by.as_str(), noted.from.as_second()),
        (0, "at", START - DAY)
    );
    assert_eq!(
        (noted.keep, noted.key, noted.undated),
        (86_400_000, vec!["id".to_owned()], true)
    );

    // Nothing was written since, and yet a second later one row is too old.
    let counts = place.published_at(&input, START + 1).await;
    assert_eq!((counts["rows"], counts["rows_deleted"]), (0, 1));
    assert_eq!(place.recent_rows().await, kept(&first, START - DAY + 1));

    // A run that started before it takes nothing back, nor does the same one once more.
    for seconds in [START - DAY, START + 1] {
        let counts = place.published_at(&input, seconds).await;
        assert_eq!((counts["rows"], counts["rows_deleted"]), (0, 0));
        assert_eq!(
            place.noted().await.1.from.as_second(),
            START - DAY + 1,
            "{seconds}"
        );
    }

    // Rows that move to either side, and one that says no more how old it is.
    let moved = rows(&[
        (1, Some(START), 1),
        (2, Some(START - DAY - 1), 2),
        (3, Some(START), 3),
        (4, None, 4),
        (5, Some(START - 3 * DAY), 5),
    ]);
    place.commit(WriteKind::Upsert, &moved, &[file]).await;
    let counts = place.published_at(&input, START + 2).await;
    assert_eq!((counts["rows"], counts["rows_deleted"]), (5, 1));
    assert_eq!(place.recent_rows().await, kept(&moved, START - DAY + 2));

    // What is to be kept for longer is fetched; what is to be kept for less goes.
    for (keep, from) in [("2d", START + 3 - 2 * DAY), ("3h", START + 3 - 3 * 3600)] {
        let recent = format!(", recent: {{ by: at, keep: {keep} }}");
        let input = place.input_of("upsert", &recent, &[]).await;
        place.published_at(&input, START + 3).await;
        assert_eq!(place.recent_rows().await, kept(&moved, from), "{keep}");
        assert_eq!(place.noted().await.1.from.as_second(), from);
    }

    // Without `recent`, all rows are there, and no note says otherwise.
    let all = place.input("upsert", &[]).await;
    place.published_at(&all, START + 4).await;
    assert_eq!(place.recent_rows().await, moved);
    let sql = "SELECT count(*) FROM millrace.published WHERE recent IS NOT NULL";
    let noted: i64 = place.client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(noted, 0);
}

#[tokio::test]
async fn appended_and_replaced_rows_are_recent_too() {
    for (write, kind) in [
        ("append", WriteKind::Append),
        ("replace", WriteKind::Replace),
    ] {
        let mut place = Place::new().await;
        let input = place
            .input_of(write, ", recent: { by: at, keep: 1d }", &[])
            .await;
        let old = rows(&[(1, Some(START - 2 * DAY), 1)]);
        let mixed = rows(&[(2, Some(START), 2), (3, Some(START - 2 * DAY), 3)]);
        let first = place.commit(kind, &old, &[]).await;
        place.published_at(&input, START).await;
        assert!(place.recent_rows().await.is_empty());
        assert!(!place.noted().await.1.undated, "each row says its age");
        let removed = if write == "replace" {
            vec![first]
        } else {
            Vec::new()
        };
        place.commit(kind, &mixed, &removed).await;
        place.published_at(&input, START).await;
        assert_eq!(
            place.recent_rows().await,
            kept(&mixed, START - DAY),
            "{write}"
        );
    }
}

#[tokio::test]
async fn days_are_kept_from_a_midnight_on() {
    let mut place = Place::new().await;
    let input = place
        .input_of("upsert", ", recent: { by: day, keep: 36h }", &[])
        .await;
    let days: Vec<i32> = (19_990..20_002).collect();
    let columns: [(&str, ArrayRef); 2] = [
        (
            "id",
            Arc::new(Int64Array::from_iter_values(
                days.iter().copied().map(i64::from),
            )),
        ),
        ("day", Arc::new(Date32Array::from(days))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    place.write(WriteKind::Upsert, &batch).await;
    // Midday less 36 hours is a midnight; a second later is still that day.
    for seconds in [START + DAY / 2, START + DAY / 2 + 1] {
        place.published_at(&input, seconds).await;
        let sql = "SELECT min(id), count(*) FROM sales.orders";
        let row = place.client.query_one(sql, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (19_999, 3));
        assert_eq!(place.noted().await.1.from.as_second(), START - DAY);
    }
}

#[tokio::test]
async fn a_column_that_says_no_age_is_named() {
    let mut place = Place::new().await;
    place
        .commit(WriteKind::Upsert, &rows(&[(1, None, 1)]), &[])
        .await;
    for (by, expected) in [
        (
            "count",
            "sales.orders: `recent.by` names the column `count` of the type bigint: rows are as old as a `timestamp` or \
             a `date` says",
        ),
        (
            "when",
            "sales.orders: `recent.by` names the column `when`, which the table does not have",
        ),
    ] {
        let recent = format!(", recent: {{ by: {by}, keep: 1d }}");
        let input = place.input_of("upsert", &recent, &[]).await;
        let failure = place.run(&input).await.unwrap_err();
        assert_eq!(failure.name, FailureName::BadDefinition);
        assert_eq!(failure.message, expected);
    }
}

#[tokio::test]
async fn a_store_that_was_set_up_before_there_was_a_boundary_gets_room_for_one() {
    let mut place = Place::new().await;
    let owner = millrace_postgres::connect(&place.owner, "test")
        .await
        .unwrap();
    let older = "ALTER TABLE millrace.published DROP COLUMN recent";
    owner.batch_execute(older).await.unwrap();
    let input = place
        .input_of("upsert", ", recent: { by: at, keep: 1d }", &[])
        .await;
    let all = rows(&[(1, Some(START), 1), (2, Some(0), 2)]);
    place.commit(WriteKind::Upsert, &all, &[]).await;
    place.published_at(&input, START).await;
    assert_eq!(place.noted().await.1.from.as_second(), START - DAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_is_killed_moves_no_boundary() {
    let mut place = Place::new().await;
    let input = place
        .input_of("upsert", ", recent: { by: at, keep: 1d }", &[])
        .await;
    let many: Rows = (0..100_000)
        .map(|id| (id, (Some(START - DAY + id), 1)))
        .collect();
    let file = place.commit(WriteKind::Upsert, &many, &[]).await;
    place.published_at(&input, START).await;
    let changed: Rows = many.iter().map(|(id, (at, _))| (*id, (*at, 2))).collect();
    place.commit(WriteKind::Upsert, &changed, &[file]).await;
    let later = StepInput {
        run: RunId::new("shop", START + 50_000, 7),
        ..input
    };
    let state = "SELECT count(*), min(count), max(count), (SELECT (recent ->> 'from')::timestamptz = to_timestamp($1::float8)
                 FROM millrace.published WHERE relation = 'orders') FROM sales.orders";
    let mut killed = 0;
    for milliseconds in [1, 5, 20, 60, 120, 200, 300] {
        if tokio::time::timeout(Duration::from_millis(milliseconds), place.run(&later))
            .await
            .is_ok()
        {
            break;
        }
        let old = (START - DAY) as f64;
        let row = place.client.query_one(state, &[&old]).await.unwrap();
        let found: (i64, i64, i64, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
        // A commit that was on its way may arrive after its sender's death: then all is there, and never a part.
        if found == (50_000, 2, 2, false) {
            break;
        }
        killed += 1;
        assert_eq!(found, (100_000, 1, 1, true));
    }
    assert!(killed > 0);
    let output = place.run(&later).await.unwrap();
    assert_eq!(output.next, Next::Done);
    assert_eq!(
        place.recent_rows().await,
        kept(&changed, START - DAY + 50_000)
    );
}

/// What happens to the table between two runs, and how long the second one waits.
#[derive(Clone, Debug)]
struct Step {
    /// Rows of one of the two files: their ids, how many hours before the run, and their counts.
    changed: Vec<(u8, Option<i64>, i64)>,
    odd: bool,
    /// Whether all is written anew without being changed.
    compacts: bool,
    wait: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0u8..20, prop::option::weighted(0.9, -48i64..3), 0i64..4);
    let step = (
        prop::collection::vec(row, 0..8),
        any::<bool>(),
        prop::bool::weighted(0.2),
        0i64..30,
    );
    let step = step.prop_map(|(changed, odd, compacts, wait)| Step {
        changed,
        odd,
        compacts,
        wait,
    });
    prop::collection::vec(step, 1..6)
}

#[test]
fn whatever_changes_the_store_has_what_is_recent() {
    let cases = if std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long") {
        200
    } else {
        12
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = std::cell::RefCell::new(runtime.block_on(Place::new()));
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let seconds = std::cell::Cell::new(START);
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let mut place = place.borrow_mut();
            runtime.block_on(follow(&mut place, &steps, &seconds));
            Ok(())
        })
        .unwrap();
}

/// The rows of the table's two files, of even and of odd ids, under their names.
type Halves = [(Rows, Vec<String>); 2];

async fn follow(place: &mut Place, steps: &[Step], seconds: &std::cell::Cell<i64>) {
    let input = place
        .input_of("upsert", ", recent: { by: at, keep: 24h }", &[])
        .await;
    let mut halves = Halves::default();
    // What an earlier case left goes.
    let left = place.shop.files().await;
    let first = place
        .commit(WriteKind::Replace, &rows(&[(0, None, 0)]), &left)
        .await;
    halves[0] = (rows(&[(0, None, 0)]), vec![first]);
    for step in steps {
        seconds.set(seconds.get() + step.wait * 3600 + 1);
        let now = seconds.get();
        if step.compacts {
            for (rows, files) in &mut halves {
                if !rows.is_empty() {
                    *files = vec![place.commit(WriteKind::Compact, rows, files).await];
                }
            }
        }
        let (rows, files) = &mut halves[usize::from(step.odd)];
        for (id, hours, count) in &step.changed {
            let id = i64::from(*id) * 2 + i64::from(step.odd);
            rows.insert(id, (hours.map(|hours| now + hours * 3600), *count));
        }
        if !rows.is_empty() {
            *files = vec![place.commit(WriteKind::Upsert, rows, files).await];
        }
        place.published_at(&input, now).await;
        let all: Rows = halves.iter().flat_map(|(rows, _)| rows.clone()).collect();
        let from = place.noted().await.1.from.as_second();
        assert_eq!(from, now - DAY);
        assert_eq!(place.recent_rows().await, kept(&all, from));
    }
}
