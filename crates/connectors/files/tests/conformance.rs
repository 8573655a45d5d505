//! The connector conformance suite, on temporary folders.
//!
//! Parquet takes all of it. CSV and NDJSON have no types of their own, so they take the cases that don't ask for them; and one
//! file of them is one split.

#![allow(clippy::unwrap_used)] // Helpers of tests fail the test.

use serde_json::json;
use xdb_connector_files::DEF;
use xdb_testkit::conformance::{Harness, Leftovers, open};

fn folder(settings: serde_json::Value) -> Harness {
    let dir = tempfile::tempdir().unwrap();
    let mut profile = settings.as_object().unwrap().clone();
    profile.insert("path".into(), json!(dir.path()));
    Harness::new(open(&DEF, "lake", &profile, dir.path())).leftovers(Leftovers::Folder(dir.path().into())).keep(dir)
}
async fn parquet() -> Option<Harness> {
    Some(folder(json!({})))
}
async fn csv() -> Option<Harness> {
    Some(folder(json!({"format": "csv"})))
}
async fn ndjson() -> Option<Harness> {
    Some(folder(json!({"format": "ndjson", "compression": "zstd"})))
}

xdb_testkit::conformance!(on_parquet, parquet);

mod on_csv {
    xdb_testkit::conformance_cases!(csv;
        inspect: check_describes_the_server, list_finds_and_hides, describe_tells_columns,
            missing_relation_names_the_nearest;
        types: text_with_nul_is_refused_or_kept;
        read: projection_subset_and_order, empty_projection_counts, batches_stay_within_bounds, limit_is_honoured;
        filter: pushed_conjunctions_return_the_right_rows;
        write: replace_replaces, replace_with_nothing_empties, append_adds, append_needs_a_target,
            abort_and_drop_leave_no_trace, replace_is_atomic_for_readers;
        names: column_names_are_taken_literally;
        stream: writing_and_reading_have_bounded_memory, a_slow_consumer_holds_the_source_back,
            dropped_streams_free_their_connections;
    );
}

mod on_ndjson {
    xdb_testkit::conformance_cases!(ndjson;
        types: text_with_nul_is_refused_or_kept;
        read: projection_subset_and_order, empty_projection_counts, batches_stay_within_bounds, limit_is_honoured;
        write: replace_replaces, append_adds, abort_and_drop_leave_no_trace;
        names: column_names_are_taken_literally;
        stream: a_slow_consumer_holds_the_source_back;
    );
}
