use super::{Cell, data_type, member_field};
use crate::column::{Digits, Kind};
use crate::decimal::Decimal;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int32Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use std::sync::Arc;

/// Builds a column.
#[derive(Debug)]
pub(super) enum Builder {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, Digits),
    Text(StringBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
    List(Box<ListBuilder>),
}

#[derive(Debug)]
pub(super) struct ListBuilder {
    kind: Kind,
    members: Builder,
    /// Where each list ends.
    ends: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Builder {
    pub(super) fn new(kind: &Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Int32 => Self::Int32(Int32Builder::new()),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::Float => Self::Float(Float32Builder::new()),
            Kind::Double => Self::Double(Float64Builder::new()),
            Kind::Decimal(Some(digits)) => {
                let builder = Decimal128Builder::new().with_data_type(data_type(kind));
                Self::Decimal(builder, *digits)
            }
            Kind::Decimal(None) | Kind::Text | Kind::Json | Kind::Uuid => {
                Self::Text(StringBuilder::new())
            }
            Kind::Date => Self::Date(Date32Builder::new()),
            Kind::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Kind::LocalTimestamp | Kind::Timestamp => {
                let builder = TimestampMicrosecondBuilder::new().with_data_type(data_type(kind));
                Self::Timestamp(builder)
            }
            Kind::Bytes => Self::Bytes(BinaryBuilder::new()),
            Kind::List(member) => Self::List(Box::new(ListBuilder {
                kind: (**member).clone(),
                members: Self::new(member),
                ends: vec![0],
                valid: NullBufferBuilder::new(0),
            })),
        }
    }

    /// Appends a value, and says how many bytes it takes; none where it is not of the column's kind.
    pub(super) fn push(&mut self, cell: &Cell<'_>) -> Option<usize> {
        match (self, cell) {
            (Self::List(lists), cell) => return lists.push(cell),
            (builder, Cell::Null) => return Some(builder.push_null()),
            (Self::Bool(builder), Cell::Bool(value)) => builder.append_value(*value),
            (Self::Int32(builder), Cell::Int(value)) => {
                builder.append_value(i32::try_from(*value).ok()?);
            }
            (Self::Int64(builder), Cell::Int(value)) => builder.append_value(*value),
            (Self::Float(builder), Cell::Float(value)) => builder.append_value(*value),
            (Self::Double(builder), Cell::Double(value)) => builder.append_value(*value),
            (Self::Decimal(builder, digits), Cell::Decimal(text)) => {
                builder.append_value(Decimal::parse(text)?.scaled(digits.scale)?);
            }
            (Self::Text(builder), Cell::Text(text) | Cell::Decimal(text)) => {
                builder.append_value(text);
                return Some(4 + text.len());
            }
            (Self::Date(builder), Cell::Date(days)) => builder.append_value(*days),
            (Self::Time(builder), Cell::Time(micros)) => builder.append_value(*micros),
            (Self::Timestamp(builder), Cell::Timestamp(micros)) => builder.append_value(*micros),
            (Self::Bytes(builder), Cell::Bytes(bytes)) => {
                builder.append_value(bytes);
                return Some(4 + bytes.len());
            }
            _ => return None,
        }
        Some(8)
    }

    fn push_null(&mut self) -> usize {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::List(lists) => lists.end(false),
        }
        8
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float(mut builder) => Arc::new(builder.finish()),
            Self::Double(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, _) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::List(lists) => Arc::new(lists.finish()),
        }
    }
}

impl ListBuilder {
    fn push(&mut self, cell: &Cell<'_>) -> Option<usize> {
        let mut bytes = 8;
        match cell {
            Cell::Null => self.end(false),
            Cell::List(cells) => {
                for cell in cells {
                    bytes += self.members.push(cell)?;
                }
                let end = self.ends.last()? + i32::try_from(cells.len()).ok()?;
                self.ends.push(end);
                self.valid.append_non_null();
            }
            _ => return None,
        }
        Some(bytes)
    }

    /// Ends a list without a member.
    fn end(&mut self, valid: bool) {
        self.ends.extend(self.ends.last().copied());
        self.valid.append(valid);
    }

    fn finish(mut self) -> ListArray {
        // The ends begin with 0 and only grow.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let valid = self.valid.finish();
        ListArray::new(
            member_field(&self.kind),
            offsets,
            self.members.finish(),
            valid,
        )
    }
}
