//! One suite for every connector: what the traits of `xdb-core` promise, tried against the real system. Which cases
//! apply is decided by the connector's `Capabilities`, so a claim that isn't true fails here.
//!
//! [`conformance!`](crate::conformance!) makes one named test of each case. A case that doesn't apply says so and passes.

pub mod cases;
mod compare;
mod evaluate;
mod harness;
mod predicates;
#[cfg(test)]
mod tests;
mod values;

pub use compare::{Table, assert_same, texts};
pub use evaluate::{Scalar, evaluate, scalar};
pub use harness::{Harness, Leftovers, open, rss_bytes};
pub use predicates::predicates_for;
pub use values::{Sample, samples, specials};

/// One `#[tokio::test]` a case, in a module of the given name. `$open` is the name, in the calling module, of an `async fn() -> Option<Harness>`; `None`
/// (after the loud line of [`services::profile`](crate::services::profile)) skips the case.
///
/// ```ignore
/// async fn sqlite() -> Option<Harness> { … }
/// xdb_testkit::conformance!(on_sqlite, sqlite);
/// ```
#[macro_export]
macro_rules! conformance {
    ($module:ident, $open:ident) => {
        mod $module {
            $crate::conformance_cases!($open;
                inspect: capabilities_match_the_traits, check_describes_the_server, list_finds_and_hides,
                    describe_tells_columns, missing_relation_names_the_nearest;
                types: every_type_reads_back, inexact_values_are_errors_or_kept, text_with_nul_is_refused_or_kept;
                read: projection_subset_and_order, empty_projection_counts, batches_stay_within_bounds,
                    limit_is_honoured, parallel_splits_return_each_row_once, splits_see_one_moment;
                filter: pushed_predicates_return_the_right_rows, pushed_conjunctions_return_the_right_rows;
                write: replace_replaces, replace_with_nothing_empties, append_adds, append_needs_a_target,
                    merge_replaces_and_adds, merge_refuses_duplicate_keys, abort_and_drop_leave_no_trace,
                    replace_is_atomic_for_readers;
                names: table_names_are_taken_literally, column_names_are_taken_literally;
                stream: writing_and_reading_have_bounded_memory, a_slow_consumer_holds_the_source_back,
                    dropped_streams_free_their_connections;
                native: queries_return_rows, parameters_are_bound, create_table_as_works, create_view_as_works,
                    drop_relation_may_be_repeated, broken_sql_is_an_sql_error;
            );
        }
    };
}

/// The repetition inside [`conformance!`](crate::conformance!).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($open:ident; $($topic:ident: $($case:ident),+;)+) => {
        $(mod $topic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                if let Some(harness) = super::super::$open().await {
                    harness.within_time($crate::conformance::cases::$topic::$case(&harness)).await;
                }
            })+
        })+
    };
}
