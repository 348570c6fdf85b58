//! What a query reads. Only forms that are known to hold no more than what is looked at here pass; any other is refused,
//! so that no table is read behind a form that nobody thought of.

use super::{QueryError, functions};
use sqlparser::ast::{
    AccessExpr, Distinct, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, LimitClause, NamedWindowExpr, ObjectName, OrderBy, OrderByExpr, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, Subscript,
    TableFactor, TableWithJoins, WindowFrameBound, WindowSpec, WindowType,
};
use std::collections::{BTreeMap, BTreeSet};

/// How deep expressions and queries may stand in one another.
const MAX_DEPTH: usize = 256;

/// The one query that the text is; `whose` it is, the message says.
pub(super) fn only_select<'s>(
    statements: &'s [Statement],
    whose: &str,
) -> Result<&'s Query, QueryError> {
    match statements {
        [Statement::Query(query)] => Ok(query),
        [_] => Err(QueryError::new(format!(
            "{whose} only reads: its query is one SELECT",
        ))),
        [] => Err(QueryError::new(format!(
            "the query of {whose} is one SELECT, and there is none",
        ))),
        _ => Err(QueryError::new(format!(
            "the query of {whose} is one SELECT, and this is several statements",
        ))),
    }
}

/// What a query reads, and what it calls.
#[derive(Default)]
pub(super) struct Reads {
    /// The tables, schema and table, each with the line on which it is first named.
    pub(super) relations: BTreeMap<(String, String), u64>,
    /// The functions that it calls.
    pub(super) functions: BTreeSet<String>,
    /// Whether one of them looks through a window at other rows.
    pub(super) windows: bool,
    /// How many queries it is, with those within it.
    pub(super) queries: usize,
}

/// The tables that it reads. One that is named without a schema is of the schema `own`, or an error where there is none.
pub(super) fn reads(query: &Query, own: Option<&str>) -> Result<Reads, QueryError> {
    let mut walk = Walk {
        own: own.map(str::to_owned),
        ..Walk::default()
    };
    walk.query(query)?;
    Ok(walk.found)
}

/// An identifier as PostgreSQL understands it: lower case unless it is quoted.
pub(super) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The parts of a dotted name; none where one of them is computed.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect()
}

#[derive(Default)]
struct Walk {
    /// The schema of tables that are named without one.
    own: Option<String>,
    found: Reads,
    /// The names that WITH gives, as far as they are known where the walk is.
    named: Vec<String>,
    depth: usize,
}

type Walked = Result<(), QueryError>;

fn refuse(what: &str) -> Walked {
    Err(QueryError::new(format!(
        "{what} has no place in this query"
    )))
}

impl Walk {
    fn deeper(&mut self, walk: impl FnOnce(&mut Self) -> Walked) -> Walked {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(QueryError::new(
                "the query's parts stand in one another too deep; make it simpler",
            ));
        }
        walk(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn query(&mut self, query: &Query) -> Walked {
        if !query.locks.is_empty() {
            return refuse("FOR UPDATE (or SHARE)");
        }
        let foreign = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if foreign {
            return refuse("a clause that PostgreSQL does not have");
        }
        self.found.queries += 1;
        let outer = self.named.len();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                if with.recursive {
                    self.named.push(folded(&cte.alias.name));
                }
                self.deeper(|walk| walk.query(&cte.query))?;
                self.named.push(folded(&cte.alias.name));
            }
        }
        self.deeper(|walk| walk.set(&query.body))?;
        if let Some(order_by) = &query.order_by {
            self.order_by(order_by)?;
        }
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                self.exprs(limit)?;
                self.exprs(offset.iter().map(|offset| &offset.value))?;
                self.exprs(limit_by)?;
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => return refuse("`LIMIT a, b`"),
        }
        self.exprs(
            query
                .fetch
                .iter()
                .filter_map(|fetch| fetch.quantity.as_ref()),
        )?;
        self.named.truncate(outer);
        Ok(())
    }

    fn set(&mut self, body: &SetExpr) -> Walked {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.deeper(|walk| walk.query(query)),
            SetExpr::SetOperation { left, right, .. } => {
                self.deeper(|walk| walk.set(left))?;
                self.deeper(|walk| walk.set(right))
            }
            SetExpr::Values(values) => values
                .rows
                .iter()
                .try_for_each(|row| self.exprs(&row.content)),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse("INSERT, UPDATE, DELETE or MERGE")
            }
            SetExpr::Table(_) => refuse("TABLE"),
        }
    }

    fn select(&mut self, select: &Select) -> Walked {
        if select.into.is_some() {
            return refuse("INTO");
        }
        let foreign = select.top.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty();
        if foreign {
            return refuse("a clause that PostgreSQL does not have");
        }
        if let Some(Distinct::On(exprs)) = &select.distinct {
            self.exprs(exprs)?;
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr)
                | SelectItem::ExprWithAlias { expr, .. }
                | SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                    self.expr(expr)?;
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {}
                SelectItem::ExprWithAliases { .. } => {
                    return refuse("an expression with several names");
                }
            }
        }
        select
            .from
            .iter()
            .try_for_each(|from| self.table_with_joins(from))?;
        self.exprs(&select.selection)?;
        match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => {
                self.exprs(exprs)?;
            }
            _ => return refuse("this form of GROUP BY"),
        }
        self.exprs(&select.having)?;
        select
            .named_window
            .iter()
            .try_for_each(|window| match &window.1 {
                NamedWindowExpr::NamedWindow(_) => Ok(()),
                NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            })
    }

    fn table_with_joins(&mut self, from: &TableWithJoins) -> Walked {
        self.table(&from.relation)?;
        from.joins.iter().try_for_each(|join| self.join(join))
    }

    fn join(&mut self, join: &Join) -> Walked {
        self.table(&join.relation)?;
        match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint) => match constraint {
                JoinConstraint::On(expr) => self.expr(expr),
                JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => Ok(()),
            },
            _ => refuse("this kind of join"),
        }
    }

    fn table(&mut self, table: &TableFactor) -> Walked {
        match table {
            TableFactor::Table {
                name,
                args: None,
                sample: None,
                json_path: None,
                version: None,
                ..
            } => self.relation(name),
            TableFactor::Table {
                name,
                args: Some(args),
                ..
            } => {
                table_function(name)?;
                self.args(&args.args)
            }
            TableFactor::Function { name, args, .. } => {
                table_function(name)?;
                self.args(args)
            }
            TableFactor::UNNEST { array_exprs, .. } => self.exprs(array_exprs),
            TableFactor::Derived {
                subquery,
                sample: None,
                ..
            } => self.deeper(|walk| walk.query(subquery)),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.deeper(|walk| walk.table_with_joins(table_with_joins)),
            _ => refuse("this form of FROM"),
        }
    }

    fn relation(&mut self, name: &ObjectName) -> Walked {
        let line = || {
            let first = name.0.first().and_then(|part| part.as_ident());
            first.map_or(0, |ident| ident.span.start.line)
        };
        match (parts(name).as_deref(), &self.own) {
            (Some([name]), _) if self.named.contains(name) => Ok(()),
            (Some([table]), Some(own)) => {
                let relation = (own.clone(), table.clone());
                self.found.relations.entry(relation).or_insert_with(line);
                Ok(())
            }
            (Some([name]), None) => Err(QueryError::new(format!(
                "the table `{name}` is named without its schema; write `<schema>.{name}`, as `publish` names it"
            ))),
            (Some([schema, table]), _) => {
                let relation = (schema.clone(), table.clone());
                self.found.relations.entry(relation).or_insert_with(line);
                Ok(())
            }
            _ => refuse("a table name of more than a schema and a table"),
        }
    }

    fn order_by(&mut self, order_by: &OrderBy) -> Walked {
        match &order_by.kind {
            OrderByKind::Expressions(exprs) if order_by.interpolate.is_none() => self.sorts(exprs),
            _ => refuse("this form of ORDER BY"),
        }
    }

    fn sorts(&mut self, sorts: &[OrderByExpr]) -> Walked {
        if sorts.iter().any(|sort| sort.with_fill.is_some()) {
            return refuse("this form of ORDER BY");
        }
        self.exprs(sorts.iter().map(|sort| &sort.expr))
    }

    fn window(&mut self, spec: &WindowSpec) -> Walked {
        self.exprs(&spec.partition_by)?;
        self.sorts(&spec.order_by)?;
        let frame = spec.window_frame.iter();
        let bounds = frame.flat_map(|frame| [Some(&frame.start_bound), frame.end_bound.as_ref()]);
        bounds.flatten().try_for_each(|bound| match bound {
            WindowFrameBound::CurrentRow => Ok(()),
            WindowFrameBound::Preceding(rows) | WindowFrameBound::Following(rows) => {
                self.exprs(rows.as_deref())
            }
        })
    }

    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Walked {
        exprs.into_iter().try_for_each(|expr| self.expr(expr))
    }

    fn expr(&mut self, expr: &Expr) -> Walked {
        self.deeper(|walk| walk.expr_within(expr))
    }

    fn expr_within(&mut self, expr: &Expr) -> Walked {
        match expr {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::TypedString(_) => Ok(()),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expr(root)?;
                access_chain
                    .iter()
                    .try_for_each(|access| self.access(access))
            }
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::Extract { expr: inner, .. }
            | Expr::Ceil { expr: inner, .. }
            | Expr::Floor { expr: inner, .. }
            | Expr::Collate { expr: inner, .. } => self.expr(inner),
            Expr::IsDistinctFrom(left, right)
            | Expr::IsNotDistinctFrom(left, right)
            | Expr::BinaryOp { left, right, .. }
            | Expr::AnyOp { left, right, .. }
            | Expr::AllOp { left, right, .. }
            | Expr::AtTimeZone {
                timestamp: left,
                time_zone: right,
            }
            | Expr::Position {
                expr: left,
                r#in: right,
            }
            | Expr::Like {
                expr: left,
                pattern: right,
                ..
            }
            | Expr::ILike {
                expr: left,
                pattern: right,
                ..
            }
            | Expr::SimilarTo {
                expr: left,
                pattern: right,
                ..
            } => {
                self.expr(left)?;
                self.expr(right)
            }
            Expr::InList { expr, list, .. } => {
                self.expr(expr)?;
                self.exprs(list)
            }
            Expr::InSubquery { expr, subquery, .. } => {
                self.expr(expr)?;
                self.query(subquery)
            }
            Expr::Between {
                expr, low, high, ..
            } => {
                self.expr(expr)?;
                self.expr(low)?;
                self.expr(high)
            }
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                self.expr(expr)?;
                self.exprs(substring_from.as_deref())?;
                self.exprs(substring_for.as_deref())
            }
            Expr::Trim {
                expr,
                trim_what,
                trim_characters,
                ..
            } => {
                self.expr(expr)?;
                self.exprs(trim_what.as_deref())?;
                self.exprs(trim_characters.iter().flatten())
            }
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                self.exprs([expr, overlay_what, overlay_from].map(AsRef::as_ref))?;
                self.exprs(overlay_for.as_deref())
            }
            Expr::Function(function) => self.function(function),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                self.exprs(operand.as_deref())?;
                self.exprs(
                    conditions
                        .iter()
                        .flat_map(|when| [&when.condition, &when.result]),
                )?;
                self.exprs(else_result.as_deref())
            }
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.exprs(sets.iter().flatten())
            }
            Expr::Tuple(exprs) => self.exprs(exprs),
            Expr::Array(array) => self.exprs(&array.elem),
            Expr::Interval(interval) => self.expr(&interval.value),
            other => refuse(&format!("`{}`", shortened(&other.to_string()))),
        }
    }

    fn access(&mut self, access: &AccessExpr) -> Walked {
        match access {
            AccessExpr::Dot(expr) | AccessExpr::Subscript(Subscript::Index { index: expr }) => {
                self.expr(expr)
            }
            AccessExpr::Subscript(Subscript::Slice {
                lower_bound,
                upper_bound,
                stride,
            }) => self.exprs([lower_bound, upper_bound, stride].into_iter().flatten()),
        }
    }

    fn function(&mut self, function: &sqlparser::ast::Function) -> Walked {
        let parts = parts(&function.name);
        let Some([name]) = parts.as_deref() else {
            return refuse("a function named with its schema");
        };
        if functions::reaches_beyond_tables(name) {
            return refuse(&format!("the function `{name}`"));
        }
        self.found.functions.insert(name.clone());
        self.found.windows |= function.over.is_some();
        self.arguments(&function.parameters)?;
        self.arguments(&function.args)?;
        self.exprs(function.filter.as_deref())?;
        self.exprs(function.within_group.iter().map(|sort| &sort.expr))?;
        match &function.over {
            None | Some(WindowType::NamedWindow(_)) => Ok(()),
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
        }
    }

    fn arguments(&mut self, arguments: &FunctionArguments) -> Walked {
        match arguments {
            FunctionArguments::None => Ok(()),
            FunctionArguments::Subquery(query) => self.query(query),
            FunctionArguments::List(FunctionArgumentList { args, clauses, .. }) => {
                self.args(args)?;
                clauses.iter().try_for_each(|clause| match clause {
                    FunctionArgumentClause::OrderBy(sorts) => self.sorts(sorts),
                    FunctionArgumentClause::JsonNullClause(_)
                    | FunctionArgumentClause::IgnoreOrRespectNulls(_) => Ok(()),
                    _ => refuse("a clause that PostgreSQL does not have"),
                })
            }
        }
    }

    fn args(&mut self, args: &[FunctionArg]) -> Walked {
        args.iter().try_for_each(|arg| match arg {
            FunctionArg::Unnamed(arg)
            | FunctionArg::Named { arg, .. }
            | FunctionArg::ExprNamed { arg, .. } => match arg {
                FunctionArgExpr::Expr(expr) => self.expr(expr),
                FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_) => Ok(()),
                FunctionArgExpr::WildcardWithOptions(_) => {
                    refuse("a clause that PostgreSQL does not have")
                }
            },
        })
    }
}

fn table_function(name: &ObjectName) -> Walked {
    match parts(name).as_deref() {
        Some([name]) if functions::is_table(name) => Ok(()),
        _ => refuse("this function in FROM"),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
