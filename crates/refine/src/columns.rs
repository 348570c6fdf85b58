//! What a query answers, as a Delta table holds it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use millrace_lake::cast;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an element of a list is called in Delta.
const ELEMENT: &str = "element";

/// The columns of the table that a query's answer becomes, or what is wrong with them.
pub(crate) fn of(answer: &Schema) -> Result<SchemaRef, String> {
    let mut names = BTreeSet::new();
    let mut fields = Vec::new();
    for field in answer.fields() {
        let name = field.name();
        if !is_plain(name) {
            return Err(format!(
                "the column `{name}` has no name that SQL takes without quotes; give it one: `… AS total`"
            ));
        }
        if !names.insert(name) {
            return Err(format!(
                "two columns are called `{name}`; give one of them another name: `… AS other_{name}`"
            ));
        }
        let kind = held(field.data_type()).ok_or_else(|| {
            format!(
                "the column `{name}` is {}, which a table does not hold; cast it: `CAST({name} AS text)`",
                field.data_type()
            )
        })?;
        fields.push(Field::new(name, kind, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows with those columns. A value that its column's type does not hold is an error, and not a null.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns
        .map(|(field, column)| cast(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// The columns of a table with those that rows bring which it is given; or what is wrong with these.
pub(crate) fn union(table: &Schema, rows: &Schema) -> Result<SchemaRef, String> {
    let mut fields: Vec<Arc<Field>> = table.fields().iter().cloned().collect();
    for field in rows.fields() {
        match table.field_with_name(field.name()) {
            Err(_) => fields.push(field.clone()),
            Ok(known) if known.data_type() == field.data_type() => {}
            Ok(known) => {
                return Err(format!(
                    "the column `{}` is {} in the table and {} in the answer; cast it, or write `replace`",
                    field.name(),
                    known.data_type(),
                    field.data_type()
                ));
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// As which type a table holds values of that one; none where it does not.
fn held(kind: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match kind {
        T::Boolean => T::Boolean,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
            T::Int64
        }
        T::Float16 | T::Float32 | T::Float64 => T::Float64,
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Date32 | T::Date64 => T::Date32,
        T::Timestamp(..) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale)
            if *precision <= 38 && *scale >= 0 =>
        {
            T::Decimal128(*precision, *scale)
        }
        T::Dictionary(_, values) => held(values)?,
        T::List(element) | T::LargeList(element) => {
            let element = Field::new(ELEMENT, held(element.data_type())?, true);
            T::List(Arc::new(element))
        }
        T::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let kind = held(field.data_type())?;
                Some(Arc::new(Field::new(field.name(), kind, true)))
            });
            T::Struct(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn is_plain(name: &str) -> bool {
    let plain =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringViewArray, UInt64Array};
    use arrow::datatypes::Int64Type;

    fn schema(fields: Vec<(&str, DataType)>) -> Schema {
        let fields = fields.into_iter();
        Schema::new(
            fields
                .map(|(name, kind)| Field::new(name, kind, false))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn types_become_those_that_tables_have() {
        let answer = schema(vec![
            ("n", DataType::UInt64),
            ("t", DataType::Utf8View),
            ("at", DataType::Timestamp(TimeUnit::Nanosecond, None)),
            (
                "d",
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            ),
            ("ids", DataType::new_list(DataType::Int32, false)),
        ]);
        let kinds: Vec<DataType> = of(&answer)
            .unwrap()
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let element = Field::new(ELEMENT, DataType::Int64, true);
        assert_eq!(
            kinds,
            [
                DataType::Int64,
                DataType::Utf8,
                moment,
                DataType::Utf8,
                DataType::List(Arc::new(element)),
            ]
        );
    }

    #[test]
    fn what_no_table_holds_is_told() {
        for (name, kind, told) in [
            ("count(*)", DataType::Int64, "AS total"),
            ("Id", DataType::Int64, "without quotes"),
            (
                "took",
                DataType::Duration(TimeUnit::Second),
                "CAST(took AS text)",
            ),
            ("nothing", DataType::Null, "CAST(nothing AS text)"),
        ] {
            let message = of(&schema(vec![(name, kind)])).unwrap_err();
            assert!(message.contains(told), "{message}");
        }
        let twice = schema(vec![("id", DataType::Int64), ("id", DataType::Int64)]);
        assert!(of(&twice).unwrap_err().contains("other_id"));
    }

    #[test]
    fn a_number_too_great_is_an_error() {
        let answer = schema(vec![("n", DataType::UInt64), ("t", DataType::Utf8View)]);
        let batch = |number| {
            let numbers = Arc::new(UInt64Array::from(vec![number]));
            let texts = Arc::new(StringViewArray::from(vec!["text"]));
            RecordBatch::try_new(Arc::new(answer.clone()), vec![numbers, texts]).unwrap()
        };
        let wanted = of(&answer).unwrap();
        let row = conform(&batch(7), &wanted).unwrap();
        assert_eq!(row.column(0).as_primitive::<Int64Type>().value(0), 7);
        assert!(conform(&batch(u64::MAX), &wanted).is_err());
    }

    #[test]
    fn a_table_that_grows_gets_columns_and_keeps_types() {
        let table = schema(vec![("id", DataType::Int64)]);
        let wider = schema(vec![("id", DataType::Int64), ("n", DataType::Int64)]);
        assert_eq!(union(&table, &wider).unwrap().fields().len(), 2);
        assert_eq!(union(&wider, &table).unwrap().fields().len(), 2);
        let other = schema(vec![("id", DataType::Utf8)]);
        assert!(union(&table, &other).unwrap_err().contains("Int64"));
    }
}
