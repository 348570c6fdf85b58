//! How things look in a terminal: rows as a table, and a little colour where somebody sees it.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{ContentArrangement, Table, presets};
use std::io::IsTerminal;

/// How many columns of a wide table are shown, and how many characters of a cell: more would not fit a terminal.
const COLUMNS: usize = 5;
const CHARACTERS: usize = 28;

/// Rows under their columns' names.
pub fn rows(columns: &[String], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| shortened(&cell)));
    }
    table.to_string()
}

/// The rows of record batches: the columns of `first`, then as many others as fit.
pub fn batches(batches: &[RecordBatch], first: &[String]) -> anyhow::Result<String> {
    let Some(batch) = batches.first() else {
        return Ok("  no rows".into());
    };
    let schema = batch.schema();
    let named = first.iter().filter_map(|name| schema.index_of(name).ok());
    let mut shown: Vec<usize> = named.collect();
    let others: Vec<usize> = (0..batch.num_columns())
        .filter(|column| !shown.contains(column))
        .collect();
    shown.extend(others);
    let more = shown.len().saturating_sub(COLUMNS);
    shown.truncate(COLUMNS);
    let mut columns: Vec<String> = shown
        .iter()
        .map(|column| schema.field(*column).name().clone())
        .collect();
    if more > 0 {
        columns.push(format!("+ {more} columns"));
    }
    let options = FormatOptions::default();
    let mut lines = Vec::new();
    for batch in batches {
        let cells: Vec<ArrayFormatter<'_>> = shown
            .iter()
            .map(|column| ArrayFormatter::try_new(batch.column(*column).as_ref(), &options))
            .collect::<Result<_, _>>()?;
        lines.extend((0..batch.num_rows()).map(|row| {
            cells
                .iter()
                .map(|cell| cell.value(row).to_string())
                .collect()
        }));
    }
    Ok(rows(&columns, lines))
}

fn shortened(cell: &str) -> String {
    if cell.chars().count() <= CHARACTERS {
        return cell.to_owned();
    }
    cell.chars().take(CHARACTERS - 1).chain(['…']).collect()
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that suits them.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// For what went well.
pub fn green(text: &str) -> String {
    colored(text, "32")
}

/// For what did not.
pub fn red(text: &str) -> String {
    colored(text, "31")
}

/// For what stands out.
pub fn bold(text: &str) -> String {
    colored(text, "1")
}

fn colored(text: &str, code: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_suits_them() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(90_000_000), "90.0 MB");
        assert_eq!(bytes(2_500_000_000), "2.50 GB");
    }
}
