//! The forms of answers: each has the rows that JSON has, whichever half they come from.

use crate::place::{Place, START};
use crate::rows::orders;
use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

pub const CSV: &str = "text/csv";
pub const NDJSON: &str = "application/x-ndjson";
pub const ARROW: &str = "application/vnd.apache.arrow.stream";
pub const PARQUET: &str = "application/vnd.apache.parquet";

/// Pages with rows of both halves, those of one half alone, and those without rows.
const PAGES: [&str; 7] = [
    "last?limit=16",
    "last?limit=1000",
    "last?limit=2",
    "last?least=99",
    "chosen?limit=1000&fields=place,at,name,price",
    "chosen?limit=14&sort=-at&fields=weight,tags,id",
    "computed?limit=1000",
];

#[tokio::test]
async fn every_form_has_the_rows_of_both_halves() {
    let columns = "[id, name, at, weight, price, paid, day, tags, place]";
    let fields = format!("    fields: {columns}\n    sort: [at]\n");
    let query = "SELECT * FROM sales.orders ORDER BY at DESC NULLS LAST";
    // Numbers that the two sources count in types of their own.
    let computed = "SELECT id, id / 2.0 AS half, length(name) AS letters FROM sales.orders \
                    ORDER BY at DESC NULLS LAST";
    let place = Place::with(&[("chosen", query, &fields), ("computed", computed, "")]).await;
    place.put(&orders()).await;
    place.published_at(START).await;
    for page in PAGES {
        let (rows, _) = place.page(&format!("/lake/{page}")).await;
        let path = format!("/both/{page}");
        assert_eq!(place.page(&path).await.0, rows, "{path}");
        let names = names(page);
        for form in [CSV, NDJSON, ARROW, PARQUET] {
            let (status, body) = place.get(&path, form).await;
            assert_eq!(status, 200, "{form} {path}: {body:?}");
            let (found, columns) = read(form, &body);
            let expected: Vec<Value> = rows.iter().map(plain).collect();
            assert_eq!(found, expected, "{form} {path}");
            // Lines of JSON have names where there are rows.
            if form != NDJSON {
                assert_eq!(columns, names, "{form} {path}");
            }
        }
    }
}

/// The columns of a page's answer, in their order.
fn names(page: &str) -> Vec<&str> {
    match page.split_once("fields=") {
        Some((_, names)) => names.split(',').collect(),
        None if page.starts_with("computed") => vec!["id", "half", "letters"],
        None => "id name at weight price paid day tags place"
            .split(' ')
            .collect(),
    }
}

/// The rows of a body of that form as [`plain`] has them, and the columns' names.
pub fn read(form: &str, body: &Bytes) -> (Vec<Value>, Vec<String>) {
    match form {
        CSV => lines(std::str::from_utf8(body).unwrap()),
        NDJSON => {
            let lines = std::str::from_utf8(body).unwrap().lines();
            let rows = lines.map(|line| plain(&serde_json::from_str(line).unwrap()));
            (rows.collect(), Vec::new())
        }
        ARROW => {
            let reader = StreamReader::try_new(body.as_ref(), None).unwrap();
            let schema = reader.schema();
            let names = schema.fields().iter().map(|field| field.name().clone());
            let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
            (batches.iter().flat_map(rows).collect(), names.collect())
        }
        _ => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(body.clone()).unwrap();
            let schema = reader.schema().clone();
            let names = schema.fields().iter().map(|field| field.name().clone());
            let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
            (batches.iter().flat_map(rows).collect(), names.collect())
        }
    }
}

/// A row of an answer, its values as what they say: all forms have other digits and blanks.
pub fn plain(row: &Value) -> Value {
    let row = row.as_object().unwrap().iter();
    let values = row.map(|(name, value)| (name.clone(), plain_value(value)));
    Value::Object(values.collect())
}

fn plain_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(plain_value).collect(),
        Value::Object(_) => plain(value),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) => json!(at.to_string()),
            Err(_) => value.clone(),
        },
        other => other.clone(),
    }
}

/// The rows of CSV whose columns are those of the table.
fn lines(text: &str) -> (Vec<Value>, Vec<String>) {
    let mut lines = text.lines();
    let names = fields(lines.next().unwrap());
    let rows = lines.map(|line| {
        let fields = names.iter().zip(fields(line));
        let values = fields.map(|(name, text)| {
            let value = match name.as_str() {
                _ if text.is_empty() => Value::Null,
                "name" | "at" | "day" => json!(text),
                // Numbers, truth and what is nested are written as JSON has them.
                _ => serde_json::from_str(&text).unwrap(),
            };
            (name.clone(), value)
        });
        plain(&Value::Object(values.collect()))
    });
    (rows.collect(), names.clone())
}

/// The fields of a line that breaks in none of them.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().unwrap();
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

fn rows(batch: &RecordBatch) -> Vec<Value> {
    let schema = batch.schema();
    let row = |row: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        let values = columns.map(|(field, column)| {
            let value = value(field.name(), column, row);
            (field.name().clone(), value)
        });
        plain(&Value::Object(values.collect::<Map<_, _>>()))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A value of the type that its column is to have.
fn value(name: &str, column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match (name, column.data_type()) {
        ("id", DataType::Int64) => json!(column.as_primitive::<Int64Type>().value(row)),
        ("letters", DataType::Int32) => json!(column.as_primitive::<Int32Type>().value(row)),
        ("weight", DataType::Float64) => json!(column.as_primitive::<Float64Type>().value(row)),
        ("paid", DataType::Boolean) => json!(column.as_boolean().value(row)),
        ("name", DataType::Utf8) => json!(column.as_string::<i32>().value(row)),
        ("half" | "tags" | "place", DataType::Utf8) => {
            serde_json::from_str(column.as_string::<i32>().value(row)).unwrap()
        }
        ("price", DataType::Decimal128(12, 2)) => {
            let text = column.as_primitive::<Decimal128Type>().value_as_string(row);
            serde_json::from_str(&text).unwrap()
        }
        ("day", DataType::Date32) => {
            let day = column.as_primitive::<Date32Type>().value_as_date(row);
            json!(day.unwrap().to_string())
        }
        ("at", DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            json!(Timestamp::from_microsecond(micros).unwrap().to_string())
        }
        (_, kind) => panic!("{name} is of the type {kind}"),
    }
}
