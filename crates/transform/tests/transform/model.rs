//! Tables against plain models in memory: random nested records, runs, steps, duplicates, deletes and write modes, by one
//! writer and by two at once.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{ColumnType, Delete, Keep, WriteMode};
use millrace_model::step::{Deadline, Unobserved};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A record: its key, its moment, its value, how many children it has, and whether it says that its row is gone.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    key: u8,
    at: u8,
    value: Value,
    children: usize,
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    None,
    Int(i8),
    Half(i8),
}

impl Value {
    fn json(self) -> String {
        match self {
            Self::None => "null".to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Half(value) => format!("{value}.5"),
        }
    }

    fn text(self) -> String {
        self.json()
            .parse::<f64>()
            .map_or("-".to_owned(), |value| value.to_string())
    }
}

/// A run's records, page by page.
type Run = Vec<Vec<Record>>;

/// How a table is written, and by which model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Append,
    Replace,
    Upsert,
    UpsertAndDelete,
    UpsertInOrder,
    History,
    HistoryInOrder,
}

const MODES: [Mode; 7] = [
    Mode::Append,
    Mode::Replace,
    Mode::Upsert,
    Mode::UpsertAndDelete,
    Mode::UpsertInOrder,
    Mode::History,
    Mode::HistoryInOrder,
];

impl Mode {
    fn harness(self) -> Harness {
        let write = match self {
            Self::Append => WriteMode::Append,
            Self::Replace => WriteMode::Replace,
            Self::Upsert | Self::UpsertAndDelete | Self::UpsertInOrder => WriteMode::Upsert,
            Self::History | Self::HistoryInOrder => WriteMode::History,
        };
        let mut shop = Harness::new(write, &["id"])
            .column("at", None, Some(ColumnType::Timestamp))
            .keep("bag", Keep::List)
            .keep("box", Keep::Struct);
        if self.in_order() {
            shop.table.order = Some("at".to_owned());
        }
        if self.deletes() {
            shop.table.delete = Some(Delete::Flag("gone".to_owned()));
        }
        shop
    }

    fn in_order(self) -> bool {
        matches!(self, Self::UpsertInOrder | Self::HistoryInOrder)
    }

    fn deletes(self) -> bool {
        matches!(
            self,
            Self::UpsertAndDelete | Self::History | Self::HistoryInOrder
        )
    }

    fn body(self, page: &[Record]) -> String {
        let records: Vec<String> = page.iter().map(|record| self.json(record)).collect();
        format!("[{}]", records.join(","))
    }

    fn json(self, record: &Record) -> String {
        let at = if self.in_order() {
            moment(u32::from(record.at))
        } else {
            String::new()
        };
        let at = if at.is_empty() {
            at
        } else {
            format!(r#","at":"{at}Z""#)
        };
        let gone = if self.deletes() {
            format!(r#","gone":{}"#, record.gone)
        } else {
            String::new()
        };
        let list: Vec<String> = record.elements().map(|n| n.to_string()).collect();
        let value = record.value.json();
        let bag: Vec<String> = record
            .elements()
            .map(|n| format!(r#"{{"n":{n},"x":{value}}}"#))
            .collect();
        // Structs whose fields differ from record to record.
        let field = ["y", "z"][record.children % 2];
        format!(
            r#"{{"id":"k{}","v":{value},"list":[{}],"bag":[{}],"box":{{"{field}":{value}}}{at}{gone}}}"#,
            record.key,
            list.join(","),
            bag.join(",")
        )
    }
}

impl Record {
    /// What its lists have in them.
    fn elements(&self) -> impl Iterator<Item = usize> {
        (0..self.children).map(|child| 10 * self.key as usize + child)
    }

    /// What is kept as one value, as [`plain`] makes it of what is found.
    fn kept(&self) -> String {
        let value = self.value.text();
        let bag: Vec<String> = self
            .elements()
            .map(|n| match self.value {
                Value::None => format!("{{n:{n}}}"),
                _ => format!("{{n:{n},x:{value}}}"),
            })
            .collect();
        let field = ["y", "z"][self.children % 2];
        let inside = match self.value {
            Value::None => String::new(),
            _ => format!("{field}:{value}"),
        };
        format!("[{}]{{{inside}}}", bag.join(","))
    }
}

/// What a table shows of a list and a struct, without fields that have no value and however wide its numbers are. An empty
/// list of a table that knows nothing of its elements yet, and a struct without values, are as good as none.
fn plain(bag: Option<&String>, object: Option<&String>) -> String {
    let bag = bag.map_or("[]", String::as_str);
    let object = object.map_or("{}", String::as_str);
    let mut text = format!("{bag}{object}").replace(' ', "").replace(".0", "");
    for field in ["x:", "y:", "z:"] {
        for end in [",", "}"] {
            text = text.replace(&format!("{field}{end}"), end);
        }
    }
    text.replace(",}", "}").replace("{,", "{")
}

fn moment(minute: u32) -> String {
    format!("2026-01-01T00:{minute:02}:00")
}

/// One version of a row.
#[derive(Clone, Debug)]
struct Version {
    record: Record,
    from: u32,
    to: Option<u32>,
}

/// What a table should hold: versions, of which all but a history's hold for ever.
fn model(mode: Mode, runs: &[Run]) -> Vec<Version> {
    let row = |record: &Record| Version {
        record: record.clone(),
        from: 0,
        to: None,
    };
    let all = runs.iter().flatten().flatten();
    match mode {
        Mode::Append => all.map(row).collect(),
        Mode::Replace => runs
            .last()
            .into_iter()
            .flatten()
            .flatten()
            .map(row)
            .collect(),
        Mode::Upsert | Mode::UpsertAndDelete | Mode::UpsertInOrder => {
            let mut rows: BTreeMap<u8, &Record> = BTreeMap::new();
            for record in all {
                let later = rows
                    .get(&record.key)
                    .is_some_and(|known| known.at > record.at);
                if !(mode == Mode::UpsertInOrder && later) {
                    rows.insert(record.key, record);
                }
            }
            let stays = |record: &&&Record| !(mode.deletes() && record.gone);
            rows.values()
                .filter(stays)
                .map(|record| row(record))
                .collect()
        }
        Mode::History | Mode::HistoryInOrder => {
            let mut rows: BTreeMap<u8, Vec<Version>> = BTreeMap::new();
            for (number, run) in (1_u32..).zip(runs) {
                let mut records: Vec<&Record> = run.iter().flatten().collect();
                let at = |record: &Record| {
                    if mode == Mode::HistoryInOrder {
                        u32::from(record.at)
                    } else {
                        number
                    }
                };
                records.sort_by_key(|record| at(record));
                for record in records {
                    happen(
                        rows.entry(record.key).or_default(),
                        record,
                        at(record),
                        mode,
                    );
                }
            }
            rows.into_values().flatten().collect()
        }
    }
}

fn happen(versions: &mut Vec<Version>, record: &Record, at: u32, mode: Mode) {
    if versions
        .last()
        .is_some_and(|last| at < last.to.unwrap_or(last.from))
    {
        return;
    }
    let same = |last: &Version| {
        let moment = mode != Mode::HistoryInOrder || last.record.at == record.at;
        moment
            && (last.record.value, last.record.children, last.record.gone)
                == (record.value, record.children, record.gone)
    };
    let current = versions.last().is_some_and(|last| last.to.is_none());
    if current {
        let last = versions.len() - 1;
        if same(&versions[last]) && !record.gone {
            return;
        }
        if versions[last].from == at {
            versions.pop();
        } else {
            versions[last].to = Some(at);
        }
    }
    if !record.gone {
        versions.push(Version {
            record: record.clone(),
            from: at,
            to: None,
        });
    }
}

fn record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        1 => Just(Value::None),
        6 => (0..4_i8).prop_map(Value::Int),
        2 => (0..4_i8).prop_map(Value::Half),
    ];
    (
        0..6_u8,
        0..6_u8,
        value,
        0..3_usize,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(key, at, value, children, gone)| Record {
            key,
            at,
            value,
            children,
            gone,
        })
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let page = prop::collection::vec(record(), 0..6);
    prop::collection::vec(prop::collection::vec(page, 1..3), 1..5)
}

/// Transforms, by so many steps at once.
async fn transform(shop: &Harness, writers: usize) {
    let input = shop.pinned().await;
    let steps: Vec<_> = (0..writers)
        .map(|_| {
            let (step, input) = (shop.transform(), input.clone());
            tokio::spawn(async move { step.run(&input, Deadline::NONE, &Unobserved).await })
        })
        .collect();
    for step in steps {
        step.await
            .expect("no panic")
            .expect("transformed, or nothing left to do");
    }
}

async fn compare(mode: Mode, runs: &[Run], steps: &[bool], writers: usize) {
    let mut shop = mode.harness();
    for (index, (run, step)) in runs.iter().zip(steps).enumerate() {
        let bodies: Vec<String> = run.iter().map(|page| mode.body(page)).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        shop.pull(&[&bodies]).await;
        if *step {
            transform(&shop, writers).await;
            check(mode, &shop, &runs[..=index]).await;
        }
    }
    transform(&shop, writers).await;
    check(mode, &shop, runs).await;
}

async fn check(mode: Mode, shop: &Harness, runs: &[Run]) {
    let history = matches!(mode, Mode::History | Mode::HistoryInOrder);
    let (mut rows, mut children) = (Vec::new(), Vec::new());
    for Version { record, from, to } in model(mode, runs) {
        let begin = format!("{}Z", moment(from));
        let mut row = format!("k{} {}", record.key, record.value.text());
        if history {
            let end = to.map_or("-".to_owned(), |to| format!("{}Z", moment(to)));
            row = format!("{row} {begin} {end} {}", to.is_none());
        }
        rows.push(row);
        for child in 0..record.children {
            let parent = if history {
                format!(" {begin}")
            } else {
                String::new()
            };
            children.push(format!(
                "k{}{parent} {child} {}",
                record.key,
                10 * record.key as usize + child
            ));
        }
    }
    rows.sort();
    children.sort();
    let (columns, links): (&[&str], &[&str]) = if history {
        (
            &["id", "v", "valid_from", "valid_to", "current"],
            &["_parent_id", "_parent_valid_from", "_position", "value"],
        )
    } else {
        (&["id", "v"], &["_parent_id", "_position", "value"])
    };
    let number = |row: String| {
        let words = row.split(' ').enumerate();
        let words = words.map(|(place, word)| match (place, word.parse::<f64>()) {
            (1, Ok(number)) => number.to_string(),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let found: Vec<String> = shop
        .values(TABLE, columns)
        .await
        .into_iter()
        .map(number)
        .collect();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, rows, "{mode:?}");
    let mut kept: Vec<String> = model(mode, runs)
        .iter()
        .map(|version| format!("k{} {}", version.record.key, version.record.kept()))
        .collect();
    kept.sort();
    let found = shop.rows(TABLE).await;
    let found = found
        .iter()
        .map(|row| format!("{} {}", row["id"], plain(row.get("bag"), row.get("box"))));
    let mut found: Vec<String> = found.collect();
    found.sort();
    assert_eq!(found, kept, "{mode:?}");
    assert_eq!(
        shop.values("orders__list", links).await,
        children,
        "{mode:?}"
    );
}

fn cases() -> u32 {
    let long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    if long { 2_000 } else { 70 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_equal_their_models(
        mode in 0..MODES.len(),
        runs in runs(),
        steps in prop::collection::vec(any::<bool>(), 5),
        writers in 1..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
        runtime.block_on(compare(MODES[mode], &runs, &steps, writers));
    }
}
