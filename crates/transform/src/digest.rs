//! What tells one content of a row from another: the same in every build, since some of it is kept in tables.

use crate::plan::{CURRENT, VALID_FROM, VALID_TO};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;

/// Each row's content.
pub(crate) fn root_digests(root: &RecordBatch) -> Result<Vec<u128>, ArrowError> {
    let schema = root.schema();
    let fields = schema.fields().iter().map(AsRef::as_ref);
    digests(fields.zip(root.columns()), root.num_rows())
}

/// A digest of each row's content: of the columns that have a value, whatever their order. Validity is no content.
pub(crate) fn digests<'a>(
    columns: impl Iterator<Item = (&'a Field, &'a ArrayRef)>,
    rows: usize,
) -> Result<Vec<u128>, ArrowError> {
    let mut digests = vec![0_u128; rows];
    for (field, column) in columns {
        if [VALID_FROM, VALID_TO, CURRENT].contains(&field.name().as_str()) {
            continue;
        }
        add(&mut digests, field, column)?;
    }
    Ok(digests)
}

fn add(digests: &mut [u128], field: &Field, column: &ArrayRef) -> Result<(), ArrowError> {
    let name = fnv(FNV_OFFSET, field.name().as_bytes());
    match column.data_type() {
        DataType::Struct(_) | DataType::List(_) => {
            let contents = kept(column)?;
            for (digest, content) in digests.iter_mut().zip(contents) {
                if content != 0 {
                    *digest = digest.wrapping_add(fnv(name, &content.to_le_bytes()));
                }
            }
        }
        _ => each_value(column, |row, value| {
            digests[row] = digests[row].wrapping_add(fnv(name, value));
        })?,
    }
    Ok(())
}

/// The content of each value, which may be a struct or a list. A list without elements and a struct without values have
/// none: as long as nothing is known of what is in them, tables do not keep them.
fn kept(column: &ArrayRef) -> Result<Vec<u128>, ArrowError> {
    let mut contents = vec![0_u128; column.len()];
    match column.data_type() {
        DataType::Struct(fields) => {
            for (field, column) in fields.iter().zip(column.as_struct().columns()) {
                add(&mut contents, field, column)?;
            }
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let elements = kept(lists.values())?;
            for (row, content) in contents.iter_mut().enumerate() {
                let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
                for element in &elements[from as usize..to as usize] {
                    *content = fnv(content.wrapping_add(1), &element.to_le_bytes());
                }
            }
        }
        _ => each_value(column, |row, value| {
            contents[row] = fnv(FNV_OFFSET, value);
        })?,
    }
    for (row, content) in contents.iter_mut().enumerate() {
        if column.is_null(row) {
            *content = 0;
        }
    }
    Ok(contents)
}

/// The bytes of each value that is there.
fn each_value(column: &ArrayRef, mut take: impl FnMut(usize, &[u8])) -> Result<(), ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let values = converter.convert_columns(std::slice::from_ref(column))?;
    for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
        take(row, values.row(row).as_ref());
    }
    Ok(())
}

/// FNV-1a of 128 bits.
fn fnv(start: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}
