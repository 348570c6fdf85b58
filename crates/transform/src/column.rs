//! One column: its type, and the values that a batch has gathered for it.

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::error::ArrowError;
use millrace_model::definition::pipeline::ColumnType;
use millrace_model::moment;
use std::sync::Arc;

/// A scalar of a record, or what stands for one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    /// A text, unescaped.
    Text(&'a str),
    /// A number's text, and whether it is a whole one.
    Number(&'a str, bool),
    /// True or false.
    Bool(bool),
    /// The JSON text of anything.
    Json(&'a str),
}

/// Where a column's type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The definition.
    Declared,
    /// The table, which has the column already.
    Existing,
    /// The values; it gives way to a wider one.
    Inferred,
}

/// A value that the column's type cannot hold.
#[derive(Debug)]
pub(crate) struct Unfit;

/// One column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The field's path, for messages.
    pub(crate) path: String,
    pub(crate) kind: ColumnType,
    pub(crate) origin: Origin,
    /// Whether a file holds values of it already.
    pub(crate) written: bool,
    /// Whether a column that the table has may take a wider type.
    pub(crate) may_widen: bool,
    /// The type that it has to take before the batch is decoded again.
    wider: Option<ColumnType>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Column {
    pub(crate) fn new(
        name: String,
        path: String,
        kind: ColumnType,
        origin: Origin,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            name,
            path,
            kind,
            origin,
            written: false,
            may_widen: false,
            wider: None,
            values: Values::new(kind)?,
        })
    }

    pub(crate) fn field(&self) -> Field {
        Field::new(&self.name, data_type(self.kind), true)
    }

    /// Sets the value of a row; the rows before it that have none are null. Of several values for one row, which only an
    /// object that names a field twice can have, the first one stays.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, token: Token<'_>) -> Result<(), Unfit> {
        let len = self.values.len();
        if len > row {
            return Ok(());
        }
        if len < row {
            self.values.append_nulls(row - len);
        }
        let lenient = self.origin == Origin::Declared;
        if self.values.append(token, self.kind, lenient) {
            return Ok(());
        }
        let narrow = self.wider.unwrap_or(self.kind);
        self.wider = Some(match self.origin {
            Origin::Inferred => wider(narrow, token),
            Origin::Existing if self.may_widen => widened(narrow, token).ok_or(Unfit)?,
            Origin::Existing | Origin::Declared => return Err(Unfit),
        });
        self.values.append_nulls(1);
        Ok(())
    }

    /// Takes the wider type that a value of the batch asked for; what the batch gathered is gone.
    pub(crate) fn widen(&mut self) -> Result<bool, ArrowError> {
        let Some(kind) = self.wider.take() else {
            return Ok(false);
        };
        self.kind = kind;
        self.values = Values::new(kind)?;
        Ok(true)
    }

    /// The column of so many rows; empty from then on.
    pub(crate) fn finish(&mut self, rows: usize) -> ArrayRef {
        let missing = rows.saturating_sub(self.values.len());
        self.values.append_nulls(missing);
        self.values.finish()
    }
}

impl Values {
    fn new(kind: ColumnType) -> Result<Self, ArrowError> {
        Ok(match kind {
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int => Self::Int(Int64Builder::new()),
            ColumnType::Double => Self::Double(Float64Builder::new()),
            ColumnType::Decimal { precision, scale } => {
                Self::Decimal(Decimal128Builder::new().with_precision_and_scale(precision, scale)?)
            }
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp | ColumnType::TimestampS | ColumnType::TimestampMs => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            ColumnType::String | ColumnType::Json => Self::Text(StringBuilder::new()),
        })
    }

    #[inline]
    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Bool(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Decimal(values) => values.len(),
            Self::Date(values) => values.len(),
            Self::Timestamp(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    fn append_nulls(&mut self, rows: usize) {
        match self {
            Self::Bool(values) => values.append_nulls(rows),
            Self::Int(values) => values.append_nulls(rows),
            Self::Double(values) => values.append_nulls(rows),
            Self::Decimal(values) => values.append_nulls(rows),
            Self::Date(values) => values.append_nulls(rows),
            Self::Timestamp(values) => values.append_nulls(rows),
            Self::Text(values) => values.append_nulls(rows),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Decimal(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Timestamp(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
        }
    }

    /// Appends a value and says `true`, or does neither. `lenient` reads numbers and truth from texts.
    #[inline]
    fn append(&mut self, token: Token<'_>, kind: ColumnType, lenient: bool) -> bool {
        match self {
            Self::Text(values) => {
                match token {
                    Token::Text(text) | Token::Json(text) | Token::Number(text, _) => {
                        values.append_value(text);
                    }
                    Token::Bool(value) => values.append_value(if value { "true" } else { "false" }),
                }
                true
            }
            Self::Int(values) => append(int(token, lenient, kind), |value| {
                values.append_value(value);
            }),
            Self::Double(values) => {
                append(double(token, lenient), |value| values.append_value(value))
            }
            Self::Bool(values) => append(truth(token, lenient), |value| values.append_value(value)),
            Self::Decimal(values) => {
                append(decimal(token, kind), |value| values.append_value(value))
            }
            Self::Date(values) => {
                let days = match token {
                    Token::Text(text) => moment::days(text),
                    _ => None,
                };
                append(days, |value| values.append_value(value))
            }
            Self::Timestamp(values) => {
                append(micros(token, kind), |value| values.append_value(value))
            }
        }
    }
}

#[inline]
fn append<T>(value: Option<T>, append: impl FnOnce(T)) -> bool {
    value.map(append).is_some()
}

#[inline]
fn int(token: Token<'_>, lenient: bool, kind: ColumnType) -> Option<i64> {
    debug_assert_eq!(kind, ColumnType::Int);
    match token {
        Token::Number(text, true) => text.parse().ok(),
        // `1.0` is a whole number where the column is known to hold such; where it is not, it says that it does not.
        Token::Number(text, false) if lenient => whole(text.parse().ok()?),
        Token::Text(text) if lenient => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(value: f64) -> Option<i64> {
    // Beyond 2^53 a double no longer tells whole numbers apart.
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
}

#[inline]
fn double(token: Token<'_>, lenient: bool) -> Option<f64> {
    let value: f64 = match token {
        Token::Number(text, _) => text.parse().ok()?,
        Token::Text(text) if lenient => text.trim().parse().ok()?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}

fn truth(token: Token<'_>, lenient: bool) -> Option<bool> {
    match token {
        Token::Bool(value) => Some(value),
        Token::Text("true") if lenient => Some(true),
        Token::Text("false") if lenient => Some(false),
        _ => None,
    }
}

/// The decimal that a text means, times ten to the scale; none where digits would be lost.
fn decimal(token: Token<'_>, kind: ColumnType) -> Option<i128> {
    let (Token::Text(text) | Token::Number(text, _)) = token else {
        return None;
    };
    let ColumnType::Decimal { precision, scale } = kind else {
        return None;
    };
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut shift = i32::from(scale)
        .checked_add(exponent)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let mut value = 0_i128;
    for digit in integer.bytes().chain(fraction.bytes()) {
        let digit = char::from(digit).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    while shift > 0 && value != 0 {
        value = value.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 && value != 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        shift += 1;
    }
    let fits = value
        < 10_i128
            .checked_pow(u32::from(precision))
            .unwrap_or(i128::MAX);
    fits.then_some(if mantissa.starts_with('-') {
        -value
    } else {
        value
    })
}

/// The moment that a value means, in microseconds since 1970.
fn micros(token: Token<'_>, kind: ColumnType) -> Option<i64> {
    let factor = match kind {
        ColumnType::TimestampS => 1_000_000,
        ColumnType::TimestampMs => 1_000,
        _ => {
            return match token {
                Token::Text(text) => moment::micros(text),
                _ => None,
            };
        }
    };
    let (Token::Number(text, _) | Token::Text(text)) = token else {
        return None;
    };
    if let Ok(value) = text.trim().parse::<i64>() {
        return value.checked_mul(factor);
    }
    let scaled = (text.trim().parse::<f64>().ok()? * factor as f64).round();
    (scaled.abs() < 9e18).then_some(scaled as i64)
}

/// The type that holds what both do.
fn wider(kind: ColumnType, token: Token<'_>) -> ColumnType {
    let other = inferred(token);
    match (kind, other) {
        _ if kind == other => kind,
        (ColumnType::Int | ColumnType::Double, ColumnType::Int | ColumnType::Double) => {
            ColumnType::Double
        }
        _ => ColumnType::String,
    }
}

/// The wider type of a column that a table has, where there is one that holds all its values and this one.
fn widened(kind: ColumnType, token: Token<'_>) -> Option<ColumnType> {
    match (kind, token) {
        (ColumnType::Int | ColumnType::Double, Token::Number(text, false)) => text
            .parse()
            .is_ok_and(f64::is_finite)
            .then_some(ColumnType::Double),
        // The column is about to become a wider one already.
        (ColumnType::Double, Token::Number(..)) => Some(ColumnType::Double),
        (ColumnType::Date | ColumnType::Timestamp, Token::Text(text)) => {
            moment::micros(text).map(|_| ColumnType::Timestamp)
        }
        _ => None,
    }
}

/// Whether a type that is declared holds all values of the one that a table has.
pub(crate) fn widens(existing: &DataType, declared: ColumnType) -> bool {
    match (existing, declared) {
        (DataType::Int64, ColumnType::Double | ColumnType::Decimal { .. })
        | (DataType::Date32, ColumnType::Timestamp)
        | (_, ColumnType::String) => !existing.is_nested(),
        (
            DataType::Decimal128(from_precision, from_scale),
            ColumnType::Decimal { precision, scale },
        ) => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            scale >= *from_scale && whole(precision, scale) >= whole(*from_precision, *from_scale)
        }
        _ => false,
    }
}

/// The type that a value suggests. A whole number beyond 64 bits is kept as text, digit by digit.
pub(crate) fn inferred(token: Token<'_>) -> ColumnType {
    match token {
        Token::Bool(_) => ColumnType::Bool,
        Token::Number(text, true) if text.parse::<i64>().is_ok() => ColumnType::Int,
        Token::Number(text, false) if text.parse().is_ok_and(f64::is_finite) => ColumnType::Double,
        Token::Number(..) | Token::Text(_) | Token::Json(_) => ColumnType::String,
    }
}

/// A type's form in Arrow, and so in Delta.
pub(crate) fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp | ColumnType::TimestampS | ColumnType::TimestampMs => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        ColumnType::String | ColumnType::Json => DataType::Utf8,
    }
}

/// The type of a column that a table has already; none where no column of Millrace's has it.
pub(crate) fn kind_of(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnType::Timestamp,
        DataType::Utf8 => ColumnType::String,
        _ => return None,
    })
}

/// A type's name, as an author writes it.
pub(crate) fn type_name(kind: ColumnType) -> String {
    match kind {
        ColumnType::String => "string".into(),
        ColumnType::Int => "int".into(),
        ColumnType::Double => "double".into(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Bool => "bool".into(),
        ColumnType::Date => "date".into(),
        ColumnType::Timestamp => "timestamp".into(),
        ColumnType::TimestampS => "timestamp_s".into(),
        ColumnType::TimestampMs => "timestamp_ms".into(),
        ColumnType::Json => "json".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let kind = ColumnType::Decimal {
            precision: 5,
            scale: 2,
        };
        for (text, value) in [
            ("12.5", Some(1250)),
            ("-0.01", Some(-1)),
            ("1.250", Some(125)),
            ("1e2", Some(10_000)),
            ("125e-2", Some(125)),
            ("0", Some(0)),
            ("1.255", None),
            ("1000", None),
            ("", None),
            ("1,5", None),
        ] {
            assert_eq!(decimal(Token::Text(text), kind), value, "{text}");
        }
    }

    #[test]
    fn moments_are_read_from_numbers() {
        let ms = |text| micros(Token::Number(text, true), ColumnType::TimestampMs);
        assert_eq!(ms("1700000000123"), Some(1_700_000_000_123_000));
        assert_eq!(ms("1.7e12"), Some(1_700_000_000_000_000));
        assert_eq!(ms("99999999999999999999"), None);
        let s = |text| micros(Token::Number(text, false), ColumnType::TimestampS);
        assert_eq!(s("1700000000.25"), Some(1_700_000_000_250_000));
    }

    #[test]
    fn types_widen_as_little_as_they_can() {
        let int = Token::Number("1", true);
        let double = Token::Number("1.5", false);
        assert_eq!(wider(ColumnType::Int, double), ColumnType::Double);
        assert_eq!(wider(ColumnType::Double, int), ColumnType::Double);
        assert_eq!(wider(ColumnType::Bool, int), ColumnType::String);
        assert_eq!(wider(ColumnType::Int, Token::Text("x")), ColumnType::String);
        assert_eq!(
            inferred(Token::Number("18446744073709551616", true)),
            ColumnType::String
        );
    }
}
