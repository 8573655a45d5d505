//! The cases, by topic. Each is a function of the harness that panics where the connector breaks a promise.

pub mod filter;
pub mod inspect;
pub mod names;
pub mod native;
pub mod read;
pub mod stream;
pub mod types;
pub mod write;

use super::Table;
use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;

/// Say why a case does nothing here. A promise that isn't made can't be broken.
macro_rules! not_claimed {
    ($($what:tt)*) => {{
        #[allow(clippy::print_stderr)] // Seen with `--no-capture`: which cases were empty.
        {
            eprintln!("does not apply: {}", format_args!($($what)*));
        }
        return;
    }};
}
use not_claimed;

/// `n` rows: `id`, `name` (some NULL), `amount` (decimal), `grp` (id modulo 10).
fn plain_table(n: i64) -> Table {
    let names: StringArray = (0..n).map(|i| (i % 7 != 3).then(|| format!("näme {i}"))).collect();
    let amounts: Decimal128Array = (0..n).map(|i| Some(i128::from(i * 101 - 5000))).collect();
    let amounts = amounts.with_precision_and_scale(15, 2).expect("a valid decimal");
    let groups: Int64Array = (0..n).map(|i| Some(i % 10)).collect();
    let field = |n: &str, t: DataType| Field::new(n, t, true);
    let columns: Vec<(Field, ArrayRef)> = vec![
        (field("name", DataType::Utf8), Arc::new(names)),
        (field("amount", DataType::Decimal128(15, 2)), Arc::new(amounts)),
        (field("grp", DataType::Int64), Arc::new(groups)),
    ];
    Table::of(columns)
}

/// Rows `(id, name)`.
fn named_rows(rows: &[(Option<i64>, &str)]) -> Table {
    let ids: Int64Array = rows.iter().map(|r| r.0).collect();
    let names: StringArray = rows.iter().map(|r| Some(r.1)).collect();
    Table::with_ids(Arc::new(ids), vec![(Field::new("name", DataType::Utf8, true), Arc::new(names))])
}

/// Every column of `want`, found by name in `got`.
fn assert_tables(what: &str, want: &Table, got: &Table) {
    assert_eq!(want.rows(), got.rows(), "{what}: rows");
    for field in want.batch().schema().fields() {
        super::assert_same(what, field, want.column(field.name()), got.column(field.name()));
    }
}

/// `(id, name)` of a table made by [`named_rows`], sorted.
fn pairs(t: &Table) -> Vec<(Option<i64>, String)> {
    let ids = super::compare::ids(t.column("id"));
    let names = super::compare::texts(t.column("name"));
    let mut all: Vec<_> = ids.into_iter().zip(names.into_iter().map(|n| n.unwrap_or_default())).collect();
    all.sort();
    all
}
