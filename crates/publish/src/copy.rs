//! Arrow → PostgreSQL's binary COPY, batch by batch: memory depends on the batch, not on the table.

use crate::column::{Column, PgType};
use crate::nested;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use bytes::{BufMut, Bytes, BytesMut};

/// How much is collected before it is sent.
const CHUNK: usize = 256 * 1024;
/// From 1970, where Arrow counts from, to 2000, where PostgreSQL does.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;

/// What every binary COPY begins with: the signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// A value that PostgreSQL has no room for, or a batch that is not as its table is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the column `{column}` {problem}")]
pub struct Unfit {
    /// The column.
    pub column: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The rows of a batch in chunks. The columns are the batch's, in their order.
pub fn encode(batch: &RecordBatch, columns: &[Column]) -> Result<Vec<Bytes>, Unfit> {
    let fields: Vec<(&ArrayRef, &Column)> = batch.columns().iter().zip(columns).collect();
    let mut chunks = Vec::new();
    let mut chunk = BytesMut::with_capacity(CHUNK);
    for row in 0..batch.num_rows() {
        chunk.put_i16(fields.len() as i16);
        for (array, column) in &fields {
            if array.is_null(row) {
                chunk.put_i32(-1);
            } else {
                let unfit = |problem: &str| Unfit {
                    column: column.name.clone(),
                    problem: problem.to_owned(),
                };
                value(array, row, column.kind, &mut chunk).map_err(unfit)?;
            }
        }
        if chunk.len() >= CHUNK {
            chunks.push(chunk.split().freeze());
            chunk.reserve(CHUNK);
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk.freeze());
    }
    Ok(chunks)
}

fn value(
    array: &ArrayRef,
    row: usize,
    kind: PgType,
    out: &mut BytesMut,
) -> Result<(), &'static str> {
    match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>().value(row), out)?,
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row), out)?,
        DataType::Utf8View => text(array.as_string_view().value(row), out)?,
        DataType::Int8 => bigint(array.as_primitive::<Int8Type>().value(row).into(), out),
        DataType::Int16 => bigint(array.as_primitive::<Int16Type>().value(row).into(), out),
        DataType::Int32 => bigint(array.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int64 => bigint(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => double(array.as_primitive::<Float32Type>().value(row).into(), out),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Boolean => {
            out.put_i32(1);
            out.put_u8(u8::from(array.as_boolean().value(row)));
        }
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row)) - EPOCH_DAYS;
            out.put_i32(4);
            out.put_i32(
                i32::try_from(days).map_err(|_| "holds a date that PostgreSQL has no room for")?,
            );
        }
        DataType::Timestamp(_, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let micros = micros
                .checked_sub(EPOCH_MICROS)
                .ok_or("holds a moment that PostgreSQL has no room for")?;
            out.put_i32(8);
            out.put_i64(micros);
        }
        DataType::Decimal128(_, scale) => {
            let scale = u8::try_from(*scale).map_err(|_| "has a negative scale")?;
            numeric(
                array.as_primitive::<Decimal128Type>().value(row),
                scale,
                out,
            );
        }
        DataType::Binary => bytes(array.as_binary::<i32>().value(row), out)?,
        DataType::Struct(_) | DataType::List(_) => {
            // What `jsonb` is sent as begins with the version of its form.
            let mut json = String::from("\u{1}");
            nested::write(array, row, &mut json)?;
            bytes(json.as_bytes(), out)?;
        }
        _ => {
            debug_assert!(false, "{kind} is made of types that are known");
            return Err("is of a type that cannot be published");
        }
    }
    Ok(())
}

fn bytes(value: &[u8], out: &mut BytesMut) -> Result<(), &'static str> {
    out.put_i32(i32::try_from(value.len()).map_err(|_| "holds a value of more than 2 GiB")?);
    out.put_slice(value);
    Ok(())
}

/// Text. PostgreSQL's has no character of code 0, which JSON's may have: it becomes U+FFFD, the sign for what cannot be
/// shown.
fn text(value: &str, out: &mut BytesMut) -> Result<(), &'static str> {
    if value.contains('\0') {
        return bytes(value.replace('\0', "\u{fffd}").as_bytes(), out);
    }
    bytes(value.as_bytes(), out)
}

fn bigint(value: i64, out: &mut BytesMut) {
    out.put_i32(8);
    out.put_i64(value);
}

fn double(value: f64, out: &mut BytesMut) {
    out.put_i32(8);
    out.put_f64(value);
}

/// A decimal number: digits of base 10 000 on both sides of the point, without zeros at either end.
fn numeric(value: i128, scale: u8, out: &mut BytesMut) {
    const NEGATIVE: u16 = 0x4000;
    let mut rest = value.unsigned_abs();
    // Least first. The last one behind the point may have fewer than four digits of its own.
    let mut groups: Vec<u16> = Vec::with_capacity(12);
    let odd = u32::from(scale % 4);
    if odd > 0 {
        let part = 10u128.pow(odd);
        groups.push((rest % part) as u16 * 10u16.pow(4 - odd));
        rest /= part;
    }
    while rest > 0 {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let behind = i16::from(scale.div_ceil(4));
    let weight = groups.len() as i16 - 1 - behind;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    let digits = groups.get(zeros..).unwrap_or_default();
    // Groups were only pushed while there was something left, so none at the other end is zero, but for 0.000x.
    let leading = digits.iter().rev().take_while(|group| **group == 0).count();
    let digits = &digits[..digits.len() - leading];
    let weight = if digits.is_empty() {
        0
    } else {
        weight - leading as i16
    };
    out.put_i32(8 + 2 * digits.len() as i32);
    out.put_i16(digits.len() as i16);
    out.put_i16(weight);
    out.put_u16(if value < 0 { NEGATIVE } else { 0 });
    out.put_u16(u16::from(scale));
    for digit in digits.iter().rev() {
        out.put_u16(*digit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_fields_with_their_lengths() {
        use arrow::array::{Int64Array, StringArray};
        use arrow::datatypes::{Field, Schema};
        use std::sync::Arc;
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
        ]);
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec![Some("x\0"), None]));
        let columns = Column::all(&schema, &|_| false).unwrap();
        let batch = RecordBatch::try_new(Arc::new(schema), vec![a, b]).unwrap();
        let [chunk] = encode(&batch, &columns).unwrap().try_into().unwrap();
        let expected = [
            &[0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 4][..],
            "x\u{fffd}".as_bytes(),
            &[0, 2, 255, 255, 255, 255, 255, 255, 255, 255],
        ];
        assert_eq!(chunk, expected.concat());
    }

    #[test]
    fn a_large_batch_comes_in_chunks() {
        use arrow::array::StringArray;
        use arrow::datatypes::{Field, Schema};
        use std::sync::Arc;
        let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
        let columns = Column::all(&schema, &|_| false).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000); 2000]));
        let batch = RecordBatch::try_new(Arc::new(schema), vec![text]).unwrap();
        let chunks = encode(&batch, &columns).unwrap();
        assert!(chunks.len() > 5 && chunks.iter().all(|chunk| chunk.len() < CHUNK + 2000));
        assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), 2000 * 1006);
    }
}
