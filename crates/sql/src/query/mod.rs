//! [`xdb_core::Query`] -> one SQL statement of a dialect, or why not.
//!
//! `rules` is what a connector gives: for each type what its values may be used for, as data, and functions for the rest.
//! `render` walks blocks and joins, `expr` expressions, `bounds` proves that integers don't overflow. Meaning is Arrow's;
//! what no rule allows is refused.

mod bounds;
mod expr;
mod render;
mod rules;
#[cfg(test)]
mod tests;

pub use render::{Rendered, RenderedItem, render};
pub use rules::{Form, Origin, QueryDialect, Refusal, Syntax, TypeRules, Value, arithmetic_sql};
