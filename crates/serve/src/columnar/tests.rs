use super::*;
use crate::column::Digits;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{Array, RecordBatchReader};
use arrow_ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn columns() -> Vec<(Kind, [Cell<'static>; 2])> {
    let digits = Some(Digits {
        precision: 12,
        scale: 2,
    });
    let list = || Kind::List(Box::new(Kind::Int32));
    vec![
        (Kind::Bool, [Cell::Bool(true), Cell::Null]),
        (Kind::Int32, [Cell::Int(-7), Cell::Null]),
        (Kind::Int64, [Cell::Int(i64::MIN), Cell::Null]),
        (Kind::Float, [Cell::Float(0.5), Cell::Null]),
        (Kind::Double, [Cell::Double(f64::INFINITY), Cell::Null]),
        (
            Kind::Decimal(digits),
            [Cell::Decimal("-12.5".into()), Cell::Null],
        ),
        (
            Kind::Decimal(None),
            [Cell::Decimal("1e99".into()), Cell::Null],
        ),
        (Kind::Text, [Cell::Text("ü".into()), Cell::Null]),
        (Kind::Json, [Cell::Text("{}".into()), Cell::Null]),
        (Kind::Date, [Cell::Date(-1), Cell::Null]),
        (Kind::Time, [Cell::Time(1), Cell::Null]),
        (Kind::LocalTimestamp, [Cell::Timestamp(-1), Cell::Null]),
        (Kind::Timestamp, [Cell::Timestamp(1), Cell::Null]),
        (Kind::Uuid, [Cell::Text("67e55044".into()), Cell::Null]),
        (Kind::Bytes, [Cell::Bytes(vec![0xff].into()), Cell::Null]),
        (
            list(),
            [Cell::List(vec![Cell::Int(1), Cell::Null]), Cell::Null],
        ),
        (
            list(),
            [Cell::List(Vec::new()), Cell::List(vec![Cell::Int(2)])],
        ),
    ]
}

fn written(format: Format) -> Vec<u8> {
    let kinds = columns();
    let named: Vec<Column> = kinds
        .iter()
        .enumerate()
        .map(|(at, (kind, _))| Column::new(&format!("c{at}"), kind.clone()))
        .collect();
    let mut page = Columns::new(named.iter());
    for row in 0..2 {
        for (at, (_, cells)) in kinds.iter().enumerate() {
            page.push(at, &cells[row]);
        }
    }
    assert!(page.bytes() > 17 * 8);
    file(format, &page.finish().unwrap()).unwrap()
}

fn check(batch: &RecordBatch) {
    let kinds = columns();
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, kinds.len()));
    for (at, (kind, cells)) in kinds.iter().enumerate() {
        let column = batch.column(at);
        assert_eq!(*column.data_type(), data_type(kind), "{kind:?}");
        let nulls = cells.iter().filter(|cell| **cell == Cell::Null).count();
        assert_eq!(column.null_count(), nulls, "{kind:?}");
    }
    let decimal = batch.column(5).as_primitive::<Decimal128Type>();
    assert_eq!(decimal.value_as_string(0), "-12.50");
    assert_eq!(batch.column(6).as_string::<i32>().value(0), "1e99");
    let lists = batch.column(15).as_list::<i32>();
    let first = lists.value(0);
    assert_eq!((first.len(), first.null_count()), (2, 1));
    let lists = batch.column(16).as_list::<i32>();
    assert!(lists.value(0).is_empty());
    assert_eq!(lists.value(1).as_primitive::<Int32Type>().values(), &[2]);
}

#[test]
fn a_stream_reads_as_it_was_written() {
    let bytes = written(Format::Arrow);
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let json = reader.schema().field(8).clone();
    assert_eq!(json.metadata()["ARROW:extension:name"], "arrow.json");
    check(&reader.next().unwrap().unwrap());
    assert!(reader.next().is_none());
}

#[test]
fn a_parquet_file_reads_as_it_was_written() {
    let bytes = written(Format::Parquet);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let mut reader = reader.build().unwrap();
    assert_eq!(reader.schema().fields().len(), columns().len());
    check(&reader.next().unwrap().unwrap());
}

#[test]
fn an_answer_without_a_row_has_its_columns() {
    let column = Column::new("c", Kind::Timestamp);
    let page = Columns::new(std::iter::once(&column));
    let bytes = file(Format::Arrow, &page.finish().unwrap()).unwrap();
    let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    assert_eq!(reader.schema().field(0).name(), "c");
}

#[test]
fn a_value_of_another_kind_is_told() {
    for (kind, cell) in [
        (Kind::Int32, Cell::Int(i64::MAX)),
        (Kind::Bool, Cell::Text("true".into())),
        (Kind::List(Box::new(Kind::Int32)), Cell::Int(1)),
    ] {
        let column = Column::new("c", kind);
        let mut page = Columns::new(std::iter::once(&column));
        page.push(0, &cell);
        let told = page.finish().unwrap_err();
        assert!(told.contains("`c` holds what is no"), "{told}");
    }
}
