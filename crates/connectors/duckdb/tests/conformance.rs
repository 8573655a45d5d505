//! The suite of `xdb-testkit`, on a temporary file.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_duckdb::DEF;
use xdb_testkit::conformance::{Harness, Leftovers, open};

async fn harness() -> Option<Harness> {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_path_buf();
    let path = folder.join("t.duckdb");
    let profile = serde_json::json!({"path": path, "memory_limit": "100MB"});
    let connector = open(&DEF, "duckdb", profile.as_object().unwrap(), &folder);
    xdb_libduckdb::load().unwrap();
    drop(duckdb::Connection::open(&path).unwrap());
    Some(Harness::new(connector).leftovers(Leftovers::Folder(folder)).memory_slack(200 << 20).keep(dir))
}
xdb_testkit::conformance!(on_file, harness);
