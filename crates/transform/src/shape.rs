//! The shape of a table's records: which field becomes which column of which table. It grows with the records that it
//! decodes.
//!
//! An object or a list that is kept as one value is gathered as a table of its own is, a row for each object and each
//! element, and put together when the batch is complete: such a table is called a part of the column that it becomes.

mod growth;
mod part;
mod table;

pub(crate) use self::table::Rows;

use self::part::{Form, Part};
use self::table::TableShape;
use crate::column::{Origin, Token, type_name};
use arrow::datatypes::{Field, SchemaRef};
use arrow::error::ArrowError;
use indexmap::IndexMap;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{
    self, ColumnType, Contract, Nesting, OnChange, OnList, OnObject,
};
use millrace_records::json::{Cursor, DEPTH, Malformed};
use std::collections::{BTreeMap, HashMap};

/// What becomes of a resource's records: a root table, and one for each list in them.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The tables, each behind its parent, and among them the parts of columns that are kept as structs and lists.
    tables: Vec<TableShape>,
    nodes: Vec<Node>,
    declared: IndexMap<FieldPath, pipeline::Column>,
    nesting: Nesting,
    /// The columns of the tables that are there already, by the table's name.
    existing: HashMap<String, SchemaRef>,
    contract: Contract,
    /// The batch's records that the contract keeps out.
    broken: Vec<Broken>,
    /// The fields that the contract kept out, whole or with their records, and why.
    spared: BTreeMap<String, String>,
    /// Whether a struct or a list that files hold has got a field since.
    outgrown: bool,
}

/// How many fields that were kept out are told of.
const TOLD: usize = 50;

/// A record that the contract keeps out.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// The root's row.
    pub(crate) row: usize,
    /// The field.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// A field, or an element of a list.
#[derive(Debug)]
struct Node {
    table: usize,
    /// Its path from the record, lists left out.
    path: String,
    /// Its path within its table.
    local: String,
    reading: Reading,
    scalar: Option<usize>,
    fields: Vec<(Box<str>, usize)>,
    by_name: HashMap<Box<str>, usize>,
    list: Option<(usize, usize)>,
    part: Option<Part>,
}

/// How a field's values are read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Whatever it is becomes text.
    text: bool,
    /// A value that is no list is a list of one.
    lone: bool,
    objects: OnObject,
    lists: OnList,
}

/// Why a record does not become rows.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not JSON.
    Malformed(Malformed),
    /// A value does not fit its column.
    Unfit {
        /// The field.
        path: String,
        /// The column, with its table.
        column: String,
        /// The column's type.
        kind: ColumnType,
        /// Where the type comes from.
        origin: Origin,
    },
    /// The definition, the table and the record cannot all be right.
    Definition(String),
    /// An object or a list where the column holds something else, or the other way round.
    Unlike {
        /// The field.
        path: String,
        /// The column, with its table.
        column: String,
        /// What the column holds.
        holds: &'static str,
    },
    /// The contract says no.
    Frozen(String),
    /// An array could not be made.
    Arrow(ArrowError),
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<ArrowError> for Refusal {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

impl Shape {
    /// The shape before the first record.
    pub(crate) fn new(table: &pipeline::Table, existing: HashMap<String, SchemaRef>) -> Self {
        let root = TableShape::root(&table.name, existing.get(&table.name).cloned());
        let reading = Reading {
            text: false,
            lone: false,
            objects: OnObject::Flatten,
            lists: table.nesting.lists,
        };
        Self {
            contract: table.contract,
            broken: Vec::new(),
            spared: BTreeMap::new(),
            tables: vec![root],
            nodes: vec![Node::new(0, String::new(), String::new(), reading)],
            declared: table.columns.clone(),
            nesting: table.nesting.clone(),
            existing,
            outgrown: false,
        }
    }

    /// The tables' names, each behind its parent's.
    pub(crate) fn names(&self) -> Vec<String> {
        let tables = self.tables.iter().filter(|table| table.part.is_none());
        tables.map(|table| table.name.clone()).collect()
    }

    /// The parent of each of the tables; none for the root.
    pub(crate) fn parents(&self) -> Vec<Option<usize>> {
        let tables = || (0..self.tables.len()).filter(|table| self.tables[*table].part.is_none());
        let place = |of: usize| tables().position(|table| table == of);
        tables()
            .map(|table| self.tables[table].parent.and_then(place))
            .collect()
    }

    /// The root's columns, as they are known so far.
    pub(crate) fn root_fields(&self) -> Vec<Field> {
        self.fields_of(0)
    }

    /// How many records the batch has so far.
    pub(crate) fn rows(&self) -> usize {
        self.tables[0].rows
    }

    /// Decodes one record.
    pub(crate) fn decode(&mut self, text: &str) -> Result<(), Refusal> {
        let row = self.tables[0].rows;
        let mut cursor = Cursor::new(text, 0);
        self.value(&mut cursor, 0, row, 0)?;
        if cursor.peek().is_ok() {
            return Err(Malformed::new(cursor.at, "something stands behind its end").into());
        }
        self.tables[0].rows += 1;
        Ok(())
    }

    /// Takes the wider types that values asked for. Where there were any, the batch is gone and has to be decoded again;
    /// the answer says whether it was so, and whether files hold the narrower type already.
    pub(crate) fn widen(&mut self) -> Result<Option<Written>, Refusal> {
        let mut widened = None;
        for column in self.tables.iter_mut().flat_map(|table| &mut table.columns) {
            if column.widen()? {
                let before = widened.is_some_and(|Written(written)| written);
                widened = Some(Written(before || column.written));
            }
        }
        if std::mem::take(&mut self.outgrown) {
            widened = Some(Written(true));
        }
        if widened.is_some() {
            self.clear();
        }
        Ok(widened)
    }

    /// Forgets the rows of the batch.
    pub(crate) fn clear(&mut self) {
        self.broken.clear();
        for table in &mut self.tables {
            table.finish();
            table.present.clear();
        }
    }

    /// The batch's records that the contract keeps out.
    pub(crate) fn take_broken(&mut self) -> Vec<Broken> {
        std::mem::take(&mut self.broken)
    }

    /// The rows of the batch, table by table; none are left.
    pub(crate) fn finish(&mut self) -> Result<Vec<Rows>, ArrowError> {
        (0..self.tables.len())
            .filter(|table| self.tables[*table].part.is_none())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|table| self.finish_table(table))
            .collect()
    }

    /// Notes that files hold values of all columns that there are so far, or that none does.
    pub(crate) fn set_written(&mut self, written: bool) {
        for table in &mut self.tables {
            table.written = written;
            for column in &mut table.columns {
                column.written = written;
            }
        }
    }

    fn value(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        if depth > DEPTH {
            return Err(Malformed::new(cursor.at, "it is nested too deep").into());
        }
        let first = cursor.peek()?;
        let reading = self.nodes[node].reading;
        if reading.text {
            return self.whole(cursor, node, row, first);
        }
        if reading.lone && !matches!(first, b'[' | b'n') {
            return self.list_of_one(cursor, node, row, depth);
        }
        match first {
            b'{' => match reading.objects {
                OnObject::Flatten => self.object(cursor, node, row, depth),
                OnObject::Keep => self.kept_object(cursor, node, row, depth),
                OnObject::Json => self.whole(cursor, node, row, first),
            },
            b'[' => match reading.lists {
                OnList::Table => self.list(cursor, node, row, depth),
                OnList::Keep => self.kept_list(cursor, node, row, depth),
                OnList::Json => self.whole(cursor, node, row, first),
            },
            b'"' => {
                let quoted = cursor.quoted()?;
                match quoted.plain() {
                    Some(text) => self.set(node, row, Token::Text(text)),
                    None => self.set(node, row, Token::Text(&quoted.text())),
                }
            }
            b't' => {
                cursor.word("true")?;
                self.set(node, row, Token::Bool(true))
            }
            b'f' => {
                cursor.word("false")?;
                self.set(node, row, Token::Bool(false))
            }
            b'n' => {
                cursor.word("null")?;
                Ok(())
            }
            _ => {
                let (text, whole) = cursor.number()?;
                self.set(node, row, Token::Number(text, whole))
            }
        }
    }

    /// A value that becomes text as a whole: verbatim in a `json` column, and where a `string` column meets an object or a
    /// list.
    fn whole(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        first: u8,
    ) -> Result<(), Refusal> {
        let json = self.declared_kind(node) == Some(ColumnType::Json);
        if first == b'"' && !json {
            let text = cursor.quoted()?.text();
            return self.set(node, row, Token::Text(&text));
        }
        let span = cursor.skip()?;
        if first == b'n' {
            return Ok(());
        }
        self.set(node, row, Token::Json(&cursor.text[span]))
    }

    fn object(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        cursor.expect(b'{')?;
        if cursor.peek()? == b'}' {
            return Ok(cursor.expect(b'}')?);
        }
        // Records have their fields in the same order, mostly, so that the next one is guessed before it is looked up.
        let mut guess = 0;
        loop {
            cursor.peek()?;
            let name = cursor.quoted()?;
            let field = match name.plain() {
                Some(name) => self.field(node, name, &mut guess),
                None => self.field(node, &name.text(), &mut guess),
            };
            cursor.expect(b':')?;
            self.value(cursor, field, row, depth + 1)?;
            if !cursor.another(b'}')? {
                return Ok(());
            }
        }
    }

    fn list(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        let (table, item) = match self.nodes[node].list {
            Some(list) => list,
            None => match self.add_list(node)? {
                Some(list) => list,
                None => return Ok(cursor.skip().map(drop)?),
            },
        };
        cursor.expect(b'[')?;
        if cursor.peek()? == b']' {
            return Ok(cursor.expect(b']')?);
        }
        let mut position = 0;
        loop {
            let rows = &mut self.tables[table];
            let child = rows.rows;
            rows.rows += 1;
            rows.parents.push(row as u32);
            rows.positions.push(position);
            self.value(cursor, item, child, depth + 1)?;
            position += 1;
            if !cursor.another(b']')? {
                return Ok(());
            }
        }
    }

    #[inline]
    fn set(&mut self, node: usize, row: usize, token: Token<'_>) -> Result<(), Refusal> {
        let column = match self.nodes[node].scalar {
            Some(column) => column,
            None => match self.add_scalar(node, token)? {
                Some(column) => column,
                None => return Ok(()),
            },
        };
        let table = &mut self.tables[self.nodes[node].table];
        if table.columns[column].set(row, token).is_ok() {
            return Ok(());
        }
        self.unfit(self.nodes[node].table, column)
    }

    /// A value that its column's type does not hold: null, or worse, by the contract.
    fn unfit(&mut self, table: usize, column: usize) -> Result<(), Refusal> {
        let name = &self.tables[table].name;
        let column = &self.tables[table].columns[column];
        let (path, kind) = (column.path.clone(), column.kind);
        match self.contract.types {
            OnChange::DiscardColumn => {
                self.spare(&path, &format!("a value is no {}", type_name(kind)));
                Ok(())
            }
            OnChange::DiscardRow => {
                let reason = format!("its value is no {}", type_name(kind));
                self.keep_out(path, reason);
                Ok(())
            }
            OnChange::Evolve | OnChange::Freeze => Err(Refusal::Unfit {
                path,
                column: format!("{name}.{}", column.name),
                kind,
                origin: column.origin,
            }),
        }
    }

    /// Leaves out a record that could not be decoded to its end.
    pub(crate) fn leave_out(&mut self, reason: String) {
        self.keep_out(String::new(), reason);
        self.tables[0].rows += 1;
    }

    /// Keeps the record out that is being decoded.
    fn keep_out(&mut self, path: String, reason: String) {
        let row = self.tables[0].rows;
        if !path.is_empty() {
            self.spare(&path, &reason);
        }
        self.broken.push(Broken { row, path, reason });
    }

    /// Notes that a field was kept out.
    fn spare(&mut self, path: &str, reason: &str) {
        if self.spared.len() < TOLD && !self.spared.contains_key(path) {
            self.spared.insert(path.to_owned(), reason.to_owned());
        }
    }

    /// The fields that the contract kept out, and why.
    pub(crate) fn spared(&self) -> &BTreeMap<String, String> {
        &self.spared
    }

    #[inline]
    fn field(&mut self, node: usize, name: &str, guess: &mut usize) -> usize {
        let of = &self.nodes[node];
        if let Some((guessed, field)) = of.fields.get(*guess)
            && &**guessed == name
        {
            *guess += 1;
            return *field;
        }
        if let Some(position) = of.by_name.get(name) {
            *guess = position + 1;
            return of.fields[*position].1;
        }
        *guess = of.fields.len() + 1;
        self.add_field(node, name)
    }
}

/// Whether files hold values of a type that was found too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written(pub(crate) bool);

impl Node {
    fn new(table: usize, path: String, local: String, reading: Reading) -> Self {
        Self {
            table,
            path,
            local,
            reading,
            scalar: None,
            fields: Vec::new(),
            by_name: HashMap::new(),
            list: None,
            part: None,
        }
    }
}
