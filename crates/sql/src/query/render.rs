//! Blocks, their sources and joins.
//!
//! Names of derived tables and their columns are taken over where they are plain words, else made up: what comes back is
//! read by position, so that no server's limits on names matter.

use super::expr::Mode;
use super::rules::{Form, Origin, QueryDialect, Refusal, Value};
use arrow::datatypes::{DataType, Field, FieldRef};
use std::collections::HashMap;
use xdb_core::{CompareOp, Literal, Query, QueryExpr, QueryJoin, QueryOrder, QuerySource, TableInfo};

/// A statement, and what its columns are.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub sql: String,
    pub items: Vec<RenderedItem>,
}

#[derive(Clone, Debug)]
pub struct RenderedItem {
    /// What must come back.
    pub field: FieldRef,
    /// The relation's field where the column is one as it stands: it is decoded as in a read of the relation. Else the
    /// canonical type of the Arrow type is.
    pub origin: Option<Field>,
}

/// The statement for `query`, or the rule that forbids it.
pub fn render(query: &Query, dialect: &dyn QueryDialect) -> Result<Rendered, Refusal> {
    let mut walker = Walker { dialect, made_up: 0 };
    let block = walker.block(query, Emit::Output)?;
    let items = query
        .items
        .iter()
        .zip(block.columns)
        .map(|(i, c)| RenderedItem { field: i.field.clone(), origin: c.origin.map(|o| o.field().clone()) });
    Ok(Rendered { sql: block.sql, items: items.collect() })
}

/// What a block's select list is for.
#[derive(Clone, Copy, PartialEq)]
enum Emit {
    /// The decoder.
    Output,
    /// The block around it: relations' columns stay what they are.
    Inner,
    /// A union's: every input has the same types.
    Canonical,
}

struct BlockSql<'q> {
    sql: String,
    columns: Vec<Derived<'q>>,
}

/// A column of a derived table.
pub(super) struct Derived<'q> {
    name: &'q str,
    /// Quoted.
    sql: String,
    ty: DataType,
    origin: Option<Origin<'q>>,
    chars: Option<u32>,
}

pub(super) enum Source<'q> {
    Table { alias: String, table: &'q TableInfo },
    Derived { alias: String, columns: Vec<Derived<'q>> },
}

/// What the columns of a block may refer to, by alias.
pub(super) type Scope<'q> = HashMap<&'q str, Source<'q>>;

pub(super) struct Walker<'d> {
    pub(super) dialect: &'d dyn QueryDialect,
    made_up: usize,
}

/// A source, and conditions on its rows that stand elsewhere: semi joins.
struct From {
    sql: String,
    conditions: Vec<String>,
    is_join: bool,
}

impl<'d> Walker<'d> {
    fn block<'q>(&mut self, q: &'q Query, emit: Emit) -> Result<BlockSql<'q>, Refusal> {
        if emit != Emit::Output && q.limit.is_some() && !self.dialect.syntax().inner_limits {
            return Err("a LIMIT below another operator".into());
        }
        let mut scope = Scope::new();
        let from = self.source(&q.from, &mut scope)?;
        let mut conditions = from.conditions;
        for f in &q.filter {
            conditions.push(self.condition(f, &scope, Mode::Rows)?);
        }
        let keys = q.groups.as_deref().map(|g| self.keys(g, &scope)).transpose()?;
        let mode = match &keys {
            Some(keys) => Mode::Groups(keys),
            None => Mode::Rows,
        };
        let mut columns = Vec::with_capacity(q.items.len());
        let mut list = Vec::with_capacity(q.items.len());
        for (i, item) in q.items.iter().enumerate() {
            let value = self.expr(&item.expr, &scope, mode)?;
            if value.ty != *item.field.data_type() {
                return Err(format!("`{}` is wanted as another type than it has", item.field.name()));
            }
            let (sql, origin) = match emit {
                Emit::Output => (self.dialect.output(&value, &item.field)?, value.origin),
                Emit::Inner => (value.sql.clone(), value.origin),
                Emit::Canonical => (self.canonical(&value)?.sql, None),
            };
            let is_column =
                matches!(&item.expr, QueryExpr::Column(c) if c.name == *item.field.name() && value.origin.is_some());
            let name = match plain(item.field.name()) {
                true => Some(item.field.name().clone()),
                // The decoder needs no names.
                false if emit == Emit::Output => None,
                false => Some(format!("c{i}_")),
            };
            let quoted = name.as_deref().map(|n| self.dialect.dialect().ident(n));
            list.push(match &quoted {
                Some(n) if emit != Emit::Output || !is_column => format!("{sql} AS {n}"),
                _ => sql,
            });
            let sql = quoted.unwrap_or_default();
            columns.push(Derived { name: item.field.name(), sql, ty: value.ty, origin, chars: value.chars });
        }
        let mut having = Vec::new();
        for h in &q.having {
            having.push(self.condition(h, &scope, mode)?);
        }
        let order = if q.limit.is_some() { self.order(&q.order, &scope, mode)? } else { vec![] };

        let mut list = if list.is_empty() { self.dialect.syntax().no_columns.to_string() } else { list.join(", ") };
        let mut sql = String::new();
        if !conditions.is_empty() {
            sql += &format!(" WHERE {}", conditions.join(" AND "));
        }
        if let Some(keys) = &keys {
            // Constants make no groups, and may mean a column's position.
            let by: Vec<&str> = keys.iter().map(|k| k.group.as_str()).filter(|g| !g.is_empty()).collect();
            if !by.is_empty() {
                sql += &format!(" GROUP BY {}", by.join(", "));
            } else if !keys.is_empty() {
                return Err("grouping by constants only".into());
            } else {
                // Something must make it one row where no item does.
                let aggregates = q.items.iter().any(|i| has_aggregate(&i.expr));
                if !aggregates && !q.items.is_empty() {
                    return Err("one row of constants".into());
                }
                if !aggregates && list.is_empty() {
                    having.push("count(*) >= 0".into());
                } else if !aggregates {
                    // Any column will do; SQLite wants it here.
                    list = "count(*)".into();
                }
            }
        } else if !having.is_empty() {
            return Err("HAVING without groups".into());
        }
        if !having.is_empty() {
            sql += &format!(" HAVING {}", having.join(" AND "));
        }
        if !order.is_empty() {
            sql += &format!(" ORDER BY {}", order.join(", "));
        }
        if let Some(n) = q.limit {
            sql += &format!(" LIMIT {}", n.min(i64::MAX as u64));
        }
        let space = if list.is_empty() { "" } else { " " };
        let sql = format!("SELECT{space}{list} FROM {}{sql}", from.sql);
        Ok(BlockSql { sql, columns })
    }

    fn keys<'q>(&mut self, groups: &'q [QueryExpr], scope: &Scope<'q>) -> Result<Vec<Key<'q>>, Refusal> {
        let mut keys: Vec<Key<'q>> = Vec::with_capacity(groups.len());
        for expr in groups {
            let mut value = self.expr(expr, scope, Mode::Rows)?;
            let mut group = String::new();
            if value.literal.is_none() {
                if !matches!(expr, QueryExpr::Column(_)) && !self.dialect.syntax().group_by_expressions {
                    return Err("grouping by an expression".into());
                }
                let rules = self.rules(&value);
                group = rules.group.apply(&value.sql)?;
                if rules.group != Form::Same {
                    value = Value::computed(rules.grouped.apply(&value.sql)?, value.ty).with_chars(value.chars);
                }
            }
            keys.push(Key { expr, group, value });
        }
        Ok(keys)
    }

    fn order<'q>(
        &mut self,
        order: &'q [QueryOrder],
        scope: &Scope<'q>,
        mode: Mode<'_, 'q>,
    ) -> Result<Vec<String>, Refusal> {
        let mut out = Vec::new();
        for o in order {
            let v = self.expr(&o.expr, scope, mode)?;
            if v.literal.is_some() {
                continue;
            }
            let key = self.rules(&v).sort.apply(&v.sql)?;
            let direction = if o.descending { " DESC" } else { "" };
            if self.dialect.syntax().nulls_placement {
                let nulls = if o.nulls_first { "FIRST" } else { "LAST" };
                out.push(format!("{key}{direction} NULLS {nulls}"));
            } else {
                out.push(format!("({} IS NULL){}", v.sql, if o.nulls_first { " DESC" } else { "" }));
                out.push(format!("{key}{direction}"));
            }
        }
        Ok(out)
    }

    fn alias(&mut self, alias: &str) -> String {
        let name = if plain(alias) {
            alias.to_string()
        } else {
            self.made_up += 1;
            format!("t{}_", self.made_up)
        };
        self.dialect.dialect().ident(&name)
    }

    fn source<'q>(&mut self, source: &'q QuerySource, scope: &mut Scope<'q>) -> Result<From, Refusal> {
        let plain_from = |sql| From { sql, conditions: vec![], is_join: false };
        match source {
            QuerySource::Table { table, alias } => {
                let sql_alias = self.alias(alias);
                let sql = format!("{} AS {sql_alias}", self.dialect.relation(table)?);
                scope.insert(alias, Source::Table { alias: sql_alias, table });
                Ok(plain_from(sql))
            }
            QuerySource::Query { query, alias } => {
                let block = self.block(query, Emit::Inner)?;
                let sql_alias = self.alias(alias);
                let sql = format!("({}) AS {sql_alias}", block.sql);
                scope.insert(alias, Source::Derived { alias: sql_alias, columns: block.columns });
                Ok(plain_from(sql))
            }
            QuerySource::Union { inputs, alias } => {
                let mut columns: Option<Vec<Derived<'q>>> = None;
                let mut all = Vec::new();
                for q in inputs {
                    let block = self.block(q, Emit::Canonical)?;
                    all.push(if q.limit.is_some() {
                        format!("SELECT * FROM ({}) AS {}", block.sql, self.alias(""))
                    } else {
                        block.sql
                    });
                    let Some(columns) = &mut columns else {
                        columns = Some(block.columns);
                        continue;
                    };
                    let same = |(a, b): (&Derived<'_>, &Derived<'_>)| a.name == b.name && a.ty == b.ty;
                    if columns.len() != block.columns.len() || !columns.iter().zip(&block.columns).all(same) {
                        return Err("a union of different columns".into());
                    }
                    for (a, b) in columns.iter_mut().zip(block.columns) {
                        a.chars = a.chars.zip(b.chars).map(|(a, b)| a.max(b));
                    }
                }
                let sql_alias = self.alias(alias);
                let sql = format!("({}) AS {sql_alias}", all.join(" UNION ALL "));
                let columns = columns.ok_or("a union of nothing")?;
                scope.insert(alias, Source::Derived { alias: sql_alias, columns });
                Ok(plain_from(sql))
            }
            QuerySource::Join { left, right, kind, on } => {
                let left = self.source(left, scope)?;
                let before: Vec<&str> = scope.keys().copied().collect();
                let right = self.source(right, scope)?;
                let mut conditions = Vec::new();
                for c in on {
                    conditions.push(self.condition(c, scope, Mode::Rows)?);
                }
                if *kind == QueryJoin::Full {
                    self.check_full(on)?;
                }
                if matches!(kind, QueryJoin::Semi | QueryJoin::Anti) {
                    scope.retain(|k, _| before.contains(k));
                }
                self.join(left, right, *kind, conditions)
            }
        }
    }

    fn join(&self, left: From, right: From, kind: QueryJoin, mut on: Vec<String>) -> Result<From, Refusal> {
        // Without parentheses joins nest to the left.
        let right_sql = if right.is_join { format!("({})", right.sql) } else { right.sql };
        let mut conditions = left.conditions;
        let word = match kind {
            QueryJoin::Semi | QueryJoin::Anti => {
                on.extend(right.conditions);
                let not = if kind == QueryJoin::Anti { "NOT " } else { "" };
                let filter = if on.is_empty() { String::new() } else { format!(" WHERE {}", on.join(" AND ")) };
                conditions.push(format!("{not}EXISTS (SELECT 1 FROM {right_sql}{filter})"));
                return Ok(From { sql: left.sql, conditions, is_join: left.is_join });
            }
            QueryJoin::Inner => {
                conditions.extend(right.conditions);
                if on.is_empty() { "CROSS JOIN" } else { "JOIN" }
            }
            // A condition on the right rows decides which of them match; one on the left rows, which of them stay.
            QueryJoin::Left => {
                on.extend(right.conditions);
                "LEFT JOIN"
            }
            QueryJoin::Full => {
                if !conditions.is_empty() || !right.conditions.is_empty() {
                    return Err("a semi join below a full join".into());
                }
                "FULL JOIN"
            }
        };
        if on.is_empty() && kind == QueryJoin::Left {
            on.push(self.dialect.literal(&Literal::Bool(true), &DataType::Boolean)?);
        }
        let on = if on.is_empty() { String::new() } else { format!(" ON {}", on.join(" AND ")) };
        Ok(From { sql: format!("{} {word} {right_sql}{on}", left.sql), conditions, is_join: true })
    }

    /// Servers join fully only on what they can hash or merge.
    fn check_full(&self, on: &[QueryExpr]) -> Result<(), Refusal> {
        if !self.dialect.syntax().full_join {
            return Err("there is no FULL JOIN there".into());
        }
        let column = |e: &QueryExpr| matches!(e, QueryExpr::Column(_));
        let plain = |e: &QueryExpr| matches!(e, QueryExpr::Compare { op: CompareOp::Eq, left, right } if column(left) && column(right));
        if on.is_empty() || !on.iter().all(plain) {
            return Err("a FULL JOIN on more than equal columns".into());
        }
        Ok(())
    }

    /// The column of an alias in scope.
    pub(super) fn column<'q>(
        &self,
        scope: &Scope<'q>,
        source: &str,
        name: &str,
        ty: &DataType,
    ) -> Result<Value<'q>, Refusal> {
        let no = || format!("`{source}`.`{name}` is not there");
        let (alias, column, has, origin, chars) = match scope.get(source).ok_or_else(no)? {
            Source::Table { alias, table } => {
                let index = table.schema.index_of(name).map_err(|_| no())?;
                let column = self.dialect.dialect().ident(name);
                let origin = Origin { table, index };
                (alias, column, table.schema.field(index).data_type(), Some(origin), self.dialect.max_chars(&origin))
            }
            Source::Derived { alias, columns } => {
                let c = columns.iter().find(|c| c.name == name).ok_or_else(no)?;
                (alias, c.sql.clone(), &c.ty, c.origin, c.chars)
            }
        };
        if has != ty {
            return Err(format!("`{source}`.`{name}` is of another type"));
        }
        Ok(Value { sql: format!("{alias}.{column}"), ty: ty.clone(), origin, literal: None, chars })
    }
}

/// What a block groups by.
pub(super) struct Key<'q> {
    pub(super) expr: &'q QueryExpr,
    /// What GROUP BY names; empty for a constant.
    group: String,
    /// What stands for it in the block's other parts.
    pub(super) value: Value<'q>,
}

/// Names that every server takes and keeps apart; not ones that are made up here.
fn plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 30
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.ends_with('_')
}

fn has_aggregate(e: &QueryExpr) -> bool {
    match e {
        QueryExpr::Aggregate(_) => true,
        QueryExpr::Column(_) | QueryExpr::Literal { .. } => false,
        QueryExpr::Compare { left, right, .. } | QueryExpr::Arithmetic { left, right, .. } => {
            has_aggregate(left) || has_aggregate(right)
        }
        QueryExpr::And(es) | QueryExpr::Or(es) => es.iter().any(has_aggregate),
        QueryExpr::Not(e)
        | QueryExpr::IsNull { expr: e, .. }
        | QueryExpr::Like { expr: e, .. }
        | QueryExpr::Cast { expr: e, .. }
        | QueryExpr::DatePart { expr: e, .. }
        | QueryExpr::Substring { expr: e, .. } => has_aggregate(e),
        QueryExpr::In { expr, list, .. } => has_aggregate(expr) || list.iter().any(has_aggregate),
        QueryExpr::Case { branches, otherwise, .. } => {
            branches.iter().any(|(c, v)| has_aggregate(c) || has_aggregate(v))
                || otherwise.as_deref().is_some_and(has_aggregate)
        }
    }
}
