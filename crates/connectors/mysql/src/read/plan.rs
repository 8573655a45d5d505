//! A scan as splits: the SQL of each, and what a reader must know besides.

use super::pushdown::date_column_sql;
use super::snapshot::{self, Snapshot};
use super::stream::Source;
use crate::catalog;
use crate::dialect::MYSQL;
use crate::pool::{Pool, Session};
use crate::types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{Error, LogicalType, RelationKind, Result, ScanRequest, TypePolicy};

/// A table smaller than this (by the server's estimate) is read sooner by one connection than cut up.
const MIN_ROWS_PER_SPLIT: u64 = 20_000;

/// What a split carries besides its SQL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    columns: Vec<PayloadColumn>,
    pub(crate) types: TypePolicy,
    pub(crate) relation: String,
    /// Number of the snapshot, and of the connection in it.
    pub(crate) snapshot: Option<(u64, usize)>,
}
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PayloadColumn {
    name: String,
    /// As Arrow prints and reads it.
    arrow: String,
    nullable: bool,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logical: Option<String>,
}

impl Payload {
    pub(crate) fn new(schema: &Schema, types: TypePolicy, relation: String, snapshot: Option<(u64, usize)>) -> Self {
        let columns = schema.fields().iter().map(|f| PayloadColumn {
            name: f.name().clone(),
            arrow: f.data_type().to_string(),
            nullable: f.is_nullable(),
            source: f.metadata().get(SOURCE_TYPE_KEY).cloned().unwrap_or_default(),
            logical: LogicalType::of(f).map(|l| l.as_str().to_string()),
        });
        Self { columns: columns.collect(), types, relation, snapshot }
    }
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        let fields = self.columns.iter().map(|c| {
            let t = if c.arrow == types::vector().to_string() {
                types::vector()
            } else {
                c.arrow
                    .parse::<DataType>()
                    .map_err(|e| Error::internal(format!("a split's type `{}` cannot be read: {e}", c.arrow)))?
            };
            let f = match c.source.as_str() {
                // Computed, by a query.
                "" => Field::new(&c.name, t, c.nullable),
                source => types::field(&c.name, t, c.nullable, source),
            };
            Ok(match c.logical.as_deref() {
                Some("json") => LogicalType::Json.mark(f),
                Some("uuid") => LogicalType::Uuid.mark(f),
                _ => f,
            })
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?)))
    }
}

/// The SELECT of a whole scan, to which a range condition may be added.
pub(crate) struct Select {
    columns: Vec<String>,
    relation: String,
    conditions: Vec<String>,
    limit: Option<u64>,
}
impl Select {
    pub(crate) fn new(r: &ScanRequest) -> Result<Self> {
        let column = |name: &str| {
            let sql = MYSQL.ident(name);
            let t = r.table.schema.field_with_name(name).map(|f| f.data_type());
            match (r.types, t) {
                (TypePolicy::Lossy, Ok(t)) => date_column_sql(&sql, t),
                _ => sql,
            }
        };
        let conditions = r
            .predicates
            .iter()
            .map(|p| {
                MYSQL
                    .predicate(p, &column)
                    .ok_or_else(|| Error::internal("a predicate was sent that cannot be written in SQL"))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            columns: r.column_names().iter().map(|c| MYSQL.ident(c)).collect(),
            relation: MYSQL.relation(&r.table.relation),
            conditions,
            limit: r.limit,
        })
    }
    pub(crate) fn sql(&self, range: Option<&str>) -> String {
        let mut conditions = self.conditions.clone();
        conditions.extend(range.map(Into::into));
        MYSQL.select(&self.columns, &self.relation, &conditions, self.limit)
    }
}

/// How many splits would be worth it; 1 where the table can't be cut.
pub(crate) fn wanted(r: &ScanRequest) -> usize {
    let t = &r.table;
    if r.parallelism < 2 || r.limit.is_some() || t.kind != RelationKind::Table || range_column(r).is_none() {
        return 1;
    }
    let by_size = t.row_estimate.unwrap_or(0) / MIN_ROWS_PER_SPLIT;
    r.parallelism.min(usize::try_from(by_size).unwrap_or(usize::MAX)).max(1)
}
/// The first column of the primary key, if it is an integer.
fn range_column(r: &ScanRequest) -> Option<&str> {
    let name = r.table.primary_key.first()?;
    r.table.schema.field_with_name(name).ok()?.data_type().is_integer().then_some(name.as_str())
}

/// Snapshots of `n` connections and the range of each; `None`: one split must do. Blocks.
pub(crate) fn cut(pool: &Pool, r: &ScanRequest, n: usize) -> Result<Option<(Vec<Session>, Vec<String>)>> {
    let Some(column) = range_column(r).map(|c| MYSQL.ident(c)) else { return Ok(None) };
    let table = MYSQL.relation(&r.table.relation);
    let mut first = pool.take()?;
    // Other engines have no snapshots.
    let transactional = catalog::storage_engine(&mut first, &r.table.relation)?.eq_ignore_ascii_case("InnoDB");
    pool.put(first);
    if !transactional {
        return Ok(None);
    }
    let Some(mut sessions) = snapshot::open(pool, &table, n)? else { return Ok(None) };
    let sql = format!("SELECT MIN({column}), MAX({column}) FROM {table}");
    let Some(s) = sessions.first_mut() else { return Ok(None) };
    let ends: Vec<Option<i128>> =
        s.texts(&sql).map_err(|e| e.sql(&sql))?.into_iter().flatten().map(|v| v.and_then(|t| t.parse().ok())).collect();
    let [Some(low), Some(high)] = ends[..] else { return Ok(None) };
    let conditions = ranges(&column, low, high, n);
    sessions.truncate(conditions.len());
    Ok(Some((sessions, conditions)))
}

/// Conditions that cut `low..=high` into at most `n` equal parts. The first takes everything below, the last everything
/// above: together they hold for every row.
fn ranges(column: &str, low: i128, high: i128, n: usize) -> Vec<String> {
    let width = high - low + 1;
    let n = i128::try_from(n).unwrap_or(1).min(width).max(1);
    // The cuts between neighbours.
    let cuts: Vec<i128> = (1..n).map(|i| low + width * i / n).collect();
    if cuts.is_empty() {
        return vec!["TRUE".into()];
    }
    (0..=cuts.len())
        .map(|i| {
            let from = i.checked_sub(1).map(|i| format!("{column} >= {}", cuts[i]));
            let to = cuts.get(i).map(|c| format!("{column} < {c}"));
            [from, to].into_iter().flatten().collect::<Vec<_>>().join(" AND ")
        })
        .collect()
}

/// A connection of a snapshot.
pub(crate) struct FromSnapshot {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) index: usize,
}
impl Source for FromSnapshot {
    fn take(&self, _: &Pool) -> Result<Session> {
        self.snapshot.take(self.index)
    }
    fn put(&self, _: &Pool, session: Session) {
        self.snapshot.put(self.index, session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn a_payload_carries_every_type() {
        use DataType as D;
        let us = TimeUnit::Microsecond;
        let all = [
            D::Boolean,
            D::Int8,
            D::Int16,
            D::Int32,
            D::Int64,
            D::UInt8,
            D::UInt16,
            D::UInt32,
            D::UInt64,
            D::Float32,
            D::Float64,
            D::Utf8,
            D::Binary,
            D::Date32,
            D::Time64(us),
            D::Timestamp(us, None),
            D::Timestamp(us, Some("UTC".into())),
            D::Decimal128(38, 10),
            D::Decimal256(65, 30),
            types::vector(),
        ];
        let mut fields: Vec<Field> = all.into_iter().map(|t| types::field("a \"b\"", t, true, "x")).collect();
        fields.push(LogicalType::Json.mark(types::field("j", D::Utf8, false, "json")));
        let schema = Schema::new(fields);
        let p = Payload::new(&schema, TypePolicy::Lossy, "t".into(), Some((1, 2)));
        let back: Payload = serde_json::from_value(serde_json::to_value(&p).unwrap()).unwrap();
        assert_eq!(*back.schema().unwrap(), schema);
    }

    #[test]
    fn ranges_cover_everything_once() {
        for (low, high, n) in
            [(0, 9, 3), (-5, 5, 4), (7, 7, 4), (1, 2, 8), (i128::from(i64::MIN), i128::from(u64::MAX), 7)]
        {
            let all = ranges("x", low, high, n);
            assert!(all.len() <= n && !all.is_empty());
            let hits = |v: i128| {
                all.iter()
                    .filter(|c| {
                        c.split(" AND ").all(|part| match part.split(' ').collect::<Vec<_>>()[..] {
                            ["x", ">=", n] => v >= n.parse().unwrap(),
                            ["x", "<", n] => v < n.parse().unwrap(),
                            _ => *c == "TRUE",
                        })
                    })
                    .count()
            };
            for v in [low - 1000, low - 1, low, low + 1, (low + high) / 2, high - 1, high, high + 1, high + 1000] {
                assert_eq!(hits(v), 1, "{v} in {all:?}");
            }
        }
    }
}
