//! The suite passes on a connector that keeps its promises, and fails on each that breaks one.

use super::{Harness, cases};
use crate::memory::{Fault, Memory};
use std::sync::Arc;

async fn memory() -> Option<Harness> {
    // The tables themselves are in this process's memory.
    Some(Harness::new(Arc::new(Memory::new("memory"))).memory_slack(2 << 30))
}
crate::conformance!(on_memory, memory);

/// The case must panic on a connector with this fault; the message is checked so that it fails for the right reason.
macro_rules! must_fail {
    ($($name:ident: $fault:ident, $topic:ident::$case:ident, $message:literal;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let connector = Arc::new(Memory::with_fault(Fault::$fault));
            let harness = Harness::new(connector).memory_slack(2 << 30);
            let case = tokio::spawn(async move { cases::$topic::$case(&harness).await });
            let panic = case.await.expect_err("the suite did not notice").into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default();
            assert!(text.contains($message), "found, but as: {text}");
        })+
    };
}

must_fail! {
    wrong_filters_are_found: IgnoresCase, filter::pushed_predicates_return_the_right_rows, "predicates went wrong";
    lost_nulls_are_found: LosesNulls, types::every_type_reads_back, "wrote None, read Some(\"\")";
    torn_replaces_are_found: TearsReplace, write::replace_is_atomic_for_readers, "part of a table";
    commits_on_drop_are_found: CommitsOnDrop, write::abort_and_drop_leave_no_trace, "dropped";
    duplicate_keys_are_found: AcceptsDuplicateKeys, write::merge_refuses_duplicate_keys, "two incoming rows";
    overlapping_splits_are_found: OverlapsSplits, read::parallel_splits_return_each_row_once, "rows of all splits";
    limits_before_filters_are_found: LimitsFirst, read::limit_is_honoured, "after the filter";
    reading_ahead_is_found: ReadsAhead, stream::a_slow_consumer_holds_the_source_back, "read ahead";
}
