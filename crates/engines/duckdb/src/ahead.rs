//! Small tables are read before the query starts, and their keys sent to the sources of the large ones they are joined to.
//!
//! DuckDB tells a table function nothing of its joins, so the links come from the same planner as the filters. What was read
//! ahead is kept for DuckDB: a small table is read once. Nothing here is needed for the answer: where anything is unsure, the
//! tables are read as ever.

use crate::table::{Kept, Table};
use arrow::array::ArrayRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xdb_core::engine::RuntimeFilter;
use xdb_core::{Predicate, Pushdown, Result, TypePolicy};
use xdb_federation::{KeyFilter, KeyLink, key_filter, selectivity};

/// More rows than this are not kept.
pub(crate) const MOST_ROWS: usize = 50_000;
/// Nor more bytes of Arrow data.
pub(crate) const MOST_BYTES: usize = 32 << 20;
/// A table of fewer rows is read as fast as a list of keys is sent.
const LARGE_ROWS: u64 = 10_000;
/// How many times the rows of the small table the large one must have.
const TIMES: u64 = 4;

/// A table, by its position in the session, and the columns DuckDB wants of it in one place of its plan.
pub(crate) type Place = (usize, Vec<usize>);

/// A [`KeyLink`] with positions: of the tables in the session, of the columns in their tables.
struct Link {
    small: usize,
    small_column: usize,
    large: usize,
    large_column: usize,
}

type Tables = [(String, Arc<Table>)];

fn resolve(tables: &Tables, places: &[Place], links: Vec<KeyLink>) -> Vec<Link> {
    let find = |(name, column): &([String; 3], String)| {
        let at = tables.iter().position(|(_, t)| t.input.federated_name() == *name)?;
        let schema = &tables.get(at)?.1.input.table.schema;
        Some((at, schema.index_of(column).ok()?))
    };
    let resolved = links.iter().filter_map(|l| {
        let ((small, small_column), (large, large_column)) = (find(&l.small)?, find(&l.large)?);
        // DuckDB's own plan reads it in no more places: fewer where it keeps a common table expression's rows.
        let n = places.iter().filter(|(at, _)| *at == large).count();
        (1..=l.places).contains(&n).then_some(Link { small, small_column, large, large_column })
    });
    let table = |at: usize| tables.get(at).map(|(_, t)| t);
    resolved
        .filter(|l| {
            let there = places.iter().any(|(at, columns)| *at == l.small && columns.contains(&l.small_column));
            // Under `types: lossy` a source may filter by what it holds, not by what it is read as.
            let exact = table(l.large).is_some_and(|t| t.input.pushdown.is_on() && t.input.types == TypePolicy::Exact);
            there && exact && table(l.small).is_some_and(|t| t.input.pushdown.is_on())
        })
        .collect()
}

/// Rows expected of tables with their filters, and how many filters that was with.
#[derive(Default)]
struct Estimates(BTreeMap<usize, (usize, Option<u64>)>);

impl Estimates {
    /// Those of all tables in `links`. Where the guess is that a filtered table is large, its server is asked.
    async fn update(&mut self, tables: &Tables, links: &[Link]) {
        let all: BTreeSet<usize> = links.iter().flat_map(|l| [l.small, l.large]).collect();
        for at in all {
            let Some((_, table)) = tables.get(at) else { continue };
            let (sent, _) = table.predicates();
            if self.0.get(&at).is_some_and(|(filters, _)| *filters == sent.len()) {
                continue;
            }
            let share: f64 = sent.iter().map(selectivity).product();
            let mut rows = table.input.table.row_estimate.map(|n| (n as f64 * share).ceil() as u64);
            let is_small = links.iter().any(|l| l.small == at);
            if is_small && !sent.is_empty() && rows.is_none_or(|n| n > MOST_ROWS as u64) {
                rows = table.server_estimate().await.or(rows);
            }
            self.0.insert(at, (sent.len(), rows));
        }
    }

    fn of(&self, table: usize) -> Option<u64> {
        self.0.get(&table).and_then(|(_, rows)| *rows)
    }

    /// Whether the small table of a link is small, and the large one large.
    fn is_worth(&self, l: &Link) -> bool {
        let Some(few) = self.of(l.small).filter(|n| *n <= MOST_ROWS as u64) else { return false };
        self.of(l.large).is_none_or(|many| many >= LARGE_ROWS && many >= few.saturating_mul(TIMES))
    }
}

/// Which filters a run would try, for `explain`: large tables and the filters on them.
pub(crate) async fn expectations(
    tables: &Tables,
    places: &[Place],
    links: Vec<KeyLink>,
) -> Vec<(usize, RuntimeFilter)> {
    let links = resolve(tables, places, links);
    let mut estimates = Estimates::default();
    estimates.update(tables, &links).await;
    let worth = links.iter().filter(|l| estimates.is_worth(l));
    worth.map(|l| (l.large, describe(tables, l))).collect()
}

fn describe(tables: &Tables, l: &Link) -> RuntimeFilter {
    let name = |at: usize, column: usize| {
        let field = tables.get(at).and_then(|(_, t)| t.input.table.schema.fields().get(column).cloned());
        field.map(|f| f.name().clone()).unwrap_or_default()
    };
    RuntimeFilter {
        column: name(l.large, l.large_column),
        from: format!("keys {}", name(l.small, l.small_column)),
        outcome: None,
        sent: false,
    }
}

/// Reads what is small, smallest first, each filtered by the keys of those before it, and sets the large ones' filters.
pub(crate) async fn read(tables: &Tables, places: &[Place], links: Vec<KeyLink>) -> Result<()> {
    let links = resolve(tables, places, links);
    let mut tried = BTreeSet::new();
    let mut estimates = Estimates::default();
    loop {
        estimates.update(tables, &links).await;
        let worth = links.iter().filter(|l| !tried.contains(&l.small) && !tried.contains(&l.large));
        let next = worth.filter(|l| estimates.is_worth(l)).filter_map(|l| {
            let (_, t) = tables.get(l.small)?;
            Some((estimates.of(l.small)?, l.small, t))
        });
        let Some((_, small, table)) = next.min_by_key(|(rows, at, _)| (*rows, *at)) else { return Ok(()) };
        tried.insert(small);
        let wanted: BTreeSet<usize> =
            places.iter().filter(|(at, _)| *at == small).flat_map(|(_, c)| c.iter().copied()).collect();
        let Some(kept) = table.read_ahead(wanted.into_iter().collect()).await? else { continue };
        for l in links.iter().filter(|l| l.small == small && !tried.contains(&l.large)) {
            let Some((_, large)) = tables.get(l.large) else { continue };
            tell(large, l, &kept, describe(tables, l));
        }
    }
}

/// Sets the filter that the keys in `kept` make of the large table's column.
fn tell(large: &Table, l: &Link, kept: &Kept, mut filter: RuntimeFilter) {
    let Some(at) = kept.columns.iter().position(|c| *c == l.small_column) else { return };
    let keys: Vec<ArrayRef> = kept.batches.iter().filter_map(|b| b.columns().get(at).cloned()).collect();
    let info = &large.input.table;
    let Some(field) = info.schema.fields().get(l.large_column) else { return };
    let mut chosen: Option<Predicate> = None;
    let mut nothing = false;
    match key_filter(&keys, field) {
        KeyFilter::Nothing => {
            nothing = true;
            filter.outcome = Some("no row can match".into());
        }
        KeyFilter::No(why) => filter.outcome = Some(why),
        KeyFilter::OneOf(all) => {
            for (p, text) in all {
                let answer =
                    large.input.connector.extract().and_then(|e| e.pushdown(info, std::slice::from_ref(&p)).pop());
                match answer {
                    Some(Pushdown::Exact | Pushdown::Inexact) => {
                        chosen = Some(p);
                        filter.outcome = Some(text);
                        break;
                    }
                    Some(Pushdown::No(why)) => {
                        filter.outcome.get_or_insert(why);
                    }
                    None => {}
                }
            }
        }
    }
    filter.sent = nothing || chosen.is_some();
    large.limit_to(chosen, nothing, filter);
}
