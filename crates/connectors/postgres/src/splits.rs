//! How a table is cut: ranges of physical pages (ctid) of each heap that holds its rows.
//!
//! A range scan over ctid reads only its pages (TID Range Scan, since version 14; older servers read all of them for each
//! split, so they get one split a heap). A row stays in its place for the life of a snapshot, so that ranges in one
//! snapshot return each row once.

use crate::catalog::{cell, number};
use crate::pool::Conn;
use crate::sql;
use xdb_core::{Relation, Result};

/// Fewer pages (of 8 KiB) than this aren't worth a connection.
const MIN_PAGES: u64 = 1024;

/// One split: some pages of some heaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) pieces: Vec<Piece>,
}

/// Pages `from..to` of one heap; `to` is `None` for the last piece, since the table may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Ready SQL; `None` where it is the relation itself.
    pub(crate) heap: Option<String>,
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
}

/// A heap with its present size.
#[derive(Clone, Debug)]
pub(crate) struct Heap {
    pub(crate) sql: Option<String>,
    pub(crate) pages: u64,
}

/// The heaps of `rel`, and whether the server scans ranges of ctids. Empty where it can't be cut: a view, a foreign table, or
/// a tree with a foreign table in it.
pub(crate) async fn heaps(conn: &mut Conn, rel: &Relation) -> Result<(Vec<Heap>, bool)> {
    let rows = conn
        .rows(&format!(
            "WITH RECURSIVE tree(oid, top) AS (SELECT c.oid, true FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {} \
             UNION ALL SELECT i.inhrelid, false FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
             SELECT n.nspname, c.relname, c.relkind, top, \
             CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int END, \
             current_setting('server_version_num')::int, a.amname \
             FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam \
             ORDER BY c.oid",
            sql::text(rel.schema.as_deref().unwrap_or_default()),
            sql::text(&rel.name)
        ))
        .await?;
    let ranges = rows.first().and_then(|r| number::<u32>(r, 5)).unwrap_or(0) >= 140_000;
    // Other table access methods (columnar ones) may not have pages in this sense.
    let plain = |r: &Vec<Option<String>>| match cell(r, 2) {
        "p" => true,
        "r" | "m" => matches!(cell(r, 6), "heap" | ""),
        _ => false,
    };
    if !rows.iter().all(plain) {
        return Ok((vec![], ranges));
    }
    let alone = rows.len() == 1;
    let heap = |r: &Vec<Option<String>>| Heap {
        sql: (!alone).then(|| sql::relation(&Relation::new(None, Some(cell(r, 0)), cell(r, 1)))),
        pages: number(r, 4).unwrap_or(0),
    };
    // A table that inherits twice from one parent is in the tree twice, but its rows count once.
    let mut seen = std::collections::BTreeSet::new();
    let rows = rows.iter().filter(|r| cell(r, 2) != "p" && seen.insert((cell(r, 0), cell(r, 1))));
    Ok((rows.map(heap).collect(), ranges))
}

/// How many parts [`cut`] would make of a relation of `bytes`, if it can be cut: a guess, made without asking the server.
/// `None` for a size of nothing, which a partitioned table reports of itself whatever its partitions hold.
pub(crate) fn expected(bytes: u64, n: usize) -> Option<usize> {
    const PAGE: u64 = 8192;
    (bytes > 0).then(|| usize::try_from(bytes / PAGE / MIN_PAGES).unwrap_or(usize::MAX).clamp(1, n.max(1)))
}

/// At most `n` parts of about equal size. Empty heaps are kept: they may have got rows since they were measured.
pub(crate) fn cut(heaps: &[Heap], ranges: bool, n: usize) -> Vec<Part> {
    let total: u64 = heaps.iter().map(|h| h.pages).sum();
    let n = (total / MIN_PAGES).clamp(1, n.max(1) as u64);
    let goal = total.div_ceil(n).max(1);
    let mut parts = vec![Part { pieces: vec![] }];
    let mut room = goal;
    for h in heaps {
        let mut from = 0;
        loop {
            let left = h.pages - from;
            if room == 0 && (parts.len() as u64) < n {
                parts.push(Part { pieces: vec![] });
                room = goal;
            }
            let last = parts.len() as u64 == n;
            // Without range scans a heap is whole; and no piece is so small that it costs more than it saves.
            let take = if !ranges || last || left <= room + room / 8 { left } else { room };
            let to = (take < left).then_some(from + take);
            if let Some(p) = parts.last_mut() {
                p.pieces.push(Piece { heap: h.sql.clone(), from, to });
            }
            room = room.saturating_sub(take);
            match to {
                Some(t) => from = t,
                None => break,
            }
        }
    }
    parts.retain(|p| !p.pieces.is_empty());
    parts
}

impl Piece {
    /// The condition on ctid, if it isn't the whole heap.
    pub(crate) fn condition(&self) -> Option<String> {
        let from = (self.from > 0).then(|| format!("ctid >= '({},0)'::tid", self.from));
        let to = self.to.map(|t| format!("ctid < '({t},0)'::tid"));
        match (from, to) {
            (None, None) => None,
            (Some(a), Some(b)) => Some(format!("{a} AND {b}")),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(name: Option<&str>, pages: u64) -> Heap {
        Heap { sql: name.map(Into::into), pages }
    }

    /// Each heap is covered once, from its first page to an open end.
    fn check(heaps: &[Heap], parts: &[Part]) {
        for h in heaps {
            let mut at = Some(0);
            for p in parts.iter().flat_map(|p| &p.pieces).filter(|p| p.heap == h.sql) {
                assert_eq!(Some(p.from), at, "{parts:?}");
                at = p.to;
            }
            assert_eq!(at, None, "{h:?} must end open: {parts:?}");
        }
    }

    #[test]
    fn a_table_is_cut_into_even_ranges() {
        let h = [heap(None, 10_000)];
        let parts = cut(&h, true, 4);
        assert_eq!(parts.len(), 4);
        check(&h, &parts);
        assert_eq!(parts[1].pieces[0].condition().unwrap(), "ctid >= '(2500,0)'::tid AND ctid < '(5000,0)'::tid");
        assert_eq!(parts[3].pieces[0].condition().unwrap(), "ctid >= '(7500,0)'::tid");
    }
    #[test]
    fn what_is_expected_is_what_is_cut() {
        for pages in [1, 1500, 2048, 3000, 100_000] {
            for n in [1, 2, 4, 16] {
                assert_eq!(expected(pages * 8192, n), Some(cut(&[heap(None, pages)], true, n).len()), "{pages} {n}");
            }
        }
        assert_eq!(expected(0, 4), None);
    }
    #[test]
    fn small_tables_and_old_servers_are_not() {
        for (pages, ranges, n) in [(0, true, 8), (1500, true, 8), (100_000, false, 8), (100_000, true, 1)] {
            let h = [heap(None, pages)];
            let parts = cut(&h, ranges, n);
            assert_eq!(parts.len(), 1);
            assert_eq!(parts[0].pieces, [Piece { heap: None, from: 0, to: None }]);
        }
    }
    #[test]
    fn partitions_are_shared_out() {
        for sizes in [vec![5000u64, 5000, 10, 0, 40_000], vec![0; 5], vec![3000; 7], vec![100_000, 1], vec![1, 100_000]]
        {
            let names: Vec<String> = (0..sizes.len()).map(|i| format!("p{i}")).collect();
            let h: Vec<Heap> = names.iter().zip(&sizes).map(|(n, s)| heap(Some(n), *s)).collect();
            for n in [1, 2, 3, 4, 16] {
                for ranges in [true, false] {
                    let parts = cut(&h, ranges, n);
                    assert!(parts.len() <= n, "{sizes:?} {n}");
                    check(&h, &parts);
                }
            }
        }
    }
}
