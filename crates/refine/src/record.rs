//! A row as a record: a JSON object.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_json::LineDelimitedWriter;

/// The rows, each as a JSON object on one line. A column that is null is not in it.
pub(crate) fn records(rows: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    #[test]
    fn a_row_is_an_object_without_its_nulls() {
        let sums = Decimal128Array::from(vec![Some(1250), None]);
        let columns: [(&str, ArrayRef); 5] = [
            ("id", Arc::new(Int64Array::from(vec![i64::MAX, 2]))),
            (
                "name",
                Arc::new(StringArray::from(vec![Some("two\nlines"), None])),
            ),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from(vec![1, 0]).with_timezone("UTC")),
            ),
            (
                "sum",
                Arc::new(sums.with_precision_and_scale(20, 2).unwrap()),
            ),
        ];
        let columns = columns.map(|(name, column)| (name, column, true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        assert_eq!(
            records(&rows).unwrap(),
            [
                r#"{"id":9223372036854775807,"name":"two\nlines","day":"1970-01-02","at":"1970-01-01T00:00:00.000001Z","sum":12.50}"#,
                r#"{"id":2,"day":"1970-01-03","at":"1970-01-01T00:00:00Z"}"#,
            ]
        );
    }
}
