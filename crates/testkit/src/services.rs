//! Real servers for tests. `make test` starts them and sets `XDB_TEST_SERVICES` to a folder with one subfolder a service.

use serde_json::{Map, Value};
use std::path::PathBuf;

/// The connection mapping (`adapter`, `host`, …) of the running test service `name`; `None`, after a loud line on
/// stderr, where it isn't running. With `XDB_TEST_REQUIRE=all` that is a failure instead.
pub fn profile(name: &str) -> Option<Map<String, Value>> {
    let found = std::env::var_os("XDB_TEST_SERVICES")
        .map(|dir| PathBuf::from(dir).join(name).join("profile.yml"))
        .and_then(|path| std::fs::read_to_string(path).ok())
        .and_then(|text| serde_saphyr::from_str::<Map<String, Value>>(&text).ok());
    if found.is_none() {
        skip(&format!("test service `{name}` is not running (run `make test`)"));
    }
    found
}

/// Say on stderr that a test is skipped, and why; with `XDB_TEST_REQUIRE=all` that is a failure instead.
pub fn skip(why: &str) {
    let message = format!("SKIPPED: {why}");
    assert!(std::env::var("XDB_TEST_REQUIRE").as_deref() != Ok("all"), "{message}");
    #[allow(clippy::print_stderr)] // A skip must be seen.
    {
        eprintln!("{message}");
    }
}
