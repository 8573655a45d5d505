//! Filters that become known only while the query runs, sent to the sources.
//!
//! A hash join reads its build side first; what it learns of the keys (their values, or the least and the greatest) is a
//! condition on the probe side's scans. An uncorrelated scalar subquery is evaluated before the query that compares a column
//! with it. Here: which scans such a condition reaches ([`rule`], [`trace`]), what it is once known ([`domain`]), and as
//! [`xdb_core::Predicate`]s ([`RuntimeSource`]). The join and the filter stay where they are: a scan that is told too little,
//! or nothing, reads too many rows but changes no answer.
//!
//! DataFusion 54's own propagation of such filters (`FilterPushdown` after planning) is not used. By its source it finds
//! columns of a node's input by name, which two columns may share, and it does not look at how a join treats NULL: where NULL
//! equals NULL, and in NOT IN, rows with a NULL key matter.

mod domain;
mod keys;
mod rule;
mod source;
mod trace;

#[cfg(test)]
mod tests;

pub use keys::{KeyFilter, key_filter};
pub use rule::{configure, physical_rules};
pub(crate) use source::{Known, RuntimeSource, Wait};
pub(crate) use trace::keeps_values;
