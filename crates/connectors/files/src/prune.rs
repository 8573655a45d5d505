//! Which row groups of a Parquet file may hold rows that pass, by their statistics.
//!
//! Only ever errs on the side of reading too much: a missing, inexact or outdated statistic means "may hold".

use crate::filter::scalar;
use crate::parquet::{Footer, plain};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, UInt64Array};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::collections::HashMap;
use xdb_core::{CompareOp, Literal, Predicate};

/// One row group's bounds for one column, all row groups together.
struct Bounds {
    min: ArrayRef,
    max: ArrayRef,
    nulls: UInt64Array,
    /// Bounds written in the old fields, whose order is undefined for some types, don't count.
    trusted: Vec<bool>,
}

/// Indices of the row groups to read.
pub(crate) fn row_groups(footer: &Footer, predicates: &[Predicate]) -> Vec<usize> {
    let n = footer.reader.metadata().num_row_groups();
    let mut bounds = HashMap::new();
    for name in predicates.iter().flat_map(|p| p.columns()) {
        if !bounds.contains_key(name)
            && let Some(b) = load(footer, name)
        {
            bounds.insert(name, b);
        }
    }
    let prune = Prune { footer, bounds, n };
    let mut keep = vec![true; n];
    for p in predicates {
        for (k, may) in keep.iter_mut().zip(prune.may(p)) {
            *k &= may;
        }
    }
    let rows = |i: usize| footer.reader.metadata().row_group(i).num_rows();
    (0..n).filter(|i| keep[*i] && rows(*i) > 0).collect()
}

fn load(footer: &Footer, name: &str) -> Option<Bounds> {
    let metadata = footer.reader.metadata();
    let groups = metadata.row_groups();
    let c = StatisticsConverter::try_new(name, footer.reader.schema(), footer.reader.parquet_schema())
        .ok()?
        .with_missing_null_counts_as_zero(false);
    let column = c.parquet_column_index()?;
    let to = plain(c.arrow_field().data_type());
    let shown = footer.schema.field_with_name(name).ok()?;
    // A column that is shown as another type (a UUID) is compared as that; its bounds are of the stored type.
    if *shown.data_type() != to {
        return None;
    }
    let as_shown = |a: ArrayRef| if a.data_type() == &to { Some(a) } else { arrow::compute::cast(&a, &to).ok() };
    let trusted =
        groups.iter().map(|g| g.column(column).statistics().is_some_and(|s| !s.is_min_max_deprecated())).collect();
    Some(Bounds {
        min: as_shown(c.row_group_mins(groups).ok()?)?,
        max: as_shown(c.row_group_maxes(groups).ok()?)?,
        nulls: c.row_group_null_counts(groups).ok()?,
        trusted,
    })
}

struct Prune<'a> {
    footer: &'a Footer,
    bounds: HashMap<&'a str, Bounds>,
    n: usize,
}
impl Prune<'_> {
    fn rows(&self, i: usize) -> u64 {
        u64::try_from(self.footer.reader.metadata().row_group(i).num_rows()).unwrap_or(u64::MAX)
    }
    /// For each row group: may it hold a row for which `p` is true?
    fn may(&self, p: &Predicate) -> Vec<bool> {
        let all = || vec![true; self.n];
        match p {
            Predicate::And(ps) => ps.iter().fold(all(), |acc, p| zip(acc, self.may(p), |a, b| a && b)),
            Predicate::Or(ps) => ps.iter().fold(vec![false; self.n], |acc, p| zip(acc, self.may(p), |a, b| a || b)),
            Predicate::Not(_) => all(),
            Predicate::IsNull { column, negated } => {
                let Some(b) = self.bounds.get(column.as_str()) else { return all() };
                (0..self.n)
                    .map(|i| {
                        b.nulls.is_null(i)
                            || if *negated { b.nulls.value(i) < self.rows(i) } else { b.nulls.value(i) > 0 }
                    })
                    .collect()
            }
            Predicate::Compare { column, op, value } => self.compare(column, *op, value),
            Predicate::In { column, values, negated: false } => values
                .iter()
                .fold(vec![false; self.n], |acc, v| zip(acc, self.compare(column, CompareOp::Eq, v), |a, b| a || b)),
            Predicate::In { column, .. } | Predicate::StartsWith { column, negated: true, .. } => {
                self.not_all_null(column)
            }
            Predicate::StartsWith { column, prefix, .. } => {
                let Some(b) = self.bounds.get(column.as_str()).filter(|b| *b.min.data_type() == DataType::Utf8) else {
                    return all();
                };
                let (min, max) = (b.min.as_string::<i32>(), b.max.as_string::<i32>());
                let inside = (0..self.n).map(|i| {
                    let low = !b.trusted[i]
                        || min.is_null(i)
                        || min.value(i) <= prefix.as_str()
                        || min.value(i).starts_with(prefix);
                    let high = !b.trusted[i] || max.is_null(i) || max.value(i) >= prefix.as_str();
                    low && high
                });
                zip(inside.collect(), self.not_all_null(column), |a, b| a && b)
            }
        }
    }
    /// A NULL never passes a comparison.
    fn not_all_null(&self, column: &str) -> Vec<bool> {
        let Some(b) = self.bounds.get(column) else { return vec![true; self.n] };
        (0..self.n).map(|i| b.nulls.is_null(i) || b.nulls.value(i) < self.rows(i)).collect()
    }
    fn compare(&self, column: &str, op: CompareOp, value: &Literal) -> Vec<bool> {
        let some = self.not_all_null(column);
        let Some(b) = self.bounds.get(column) else { return some };
        let field = Field::new(column, b.min.data_type().clone(), true);
        let Some(v) = scalar(&field, value) else { return some };
        let test =
            |side: &ArrayRef, f: fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, arrow::error::ArrowError>| {
                let hit = f(side, &v).ok();
                (0..self.n)
                    .map(|i| !b.trusted[i] || hit.as_ref().is_none_or(|h| h.is_null(i) || h.value(i)))
                    .collect::<Vec<bool>>()
            };
        let inside = match op {
            CompareOp::Eq => zip(test(&b.min, cmp::lt_eq), test(&b.max, cmp::gt_eq), |a, b| a && b),
            CompareOp::NotEq => return some,
            CompareOp::Lt => test(&b.min, cmp::lt),
            CompareOp::LtEq => test(&b.min, cmp::lt_eq),
            CompareOp::Gt => test(&b.max, cmp::gt),
            CompareOp::GtEq => test(&b.max, cmp::gt_eq),
        };
        zip(inside, some, |a, b| a && b)
    }
}

fn zip(a: Vec<bool>, b: Vec<bool>, f: fn(bool, bool) -> bool) -> Vec<bool> {
    a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()
}
