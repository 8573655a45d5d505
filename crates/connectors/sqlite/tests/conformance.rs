//! The suite of `xdb-testkit`, on a temporary file.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_sqlite::DEF;
use xdb_testkit::conformance::{Harness, Leftovers, open};

async fn harness() -> Option<Harness> {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_path_buf();
    let path = folder.join("t.sqlite");
    let profile = serde_json::json!({"path": path});
    // The file has to be there for a first `check`.
    let connector = open(&DEF, "sqlite", profile.as_object().unwrap(), &folder);
    rusqlite::Connection::open(&path).unwrap().execute_batch("pragma user_version = 1").unwrap();
    Some(Harness::new(connector).leftovers(Leftovers::Folder(folder)).keep(dir))
}
xdb_testkit::conformance!(on_file, harness);
