//! The suite of `xdb-testkit`, on the service `postgres` of `make test`, in a schema of its own.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_postgres::DEF;
use xdb_testkit::conformance::{Harness, Leftovers, open};

async fn server() -> Option<Harness> {
    let mut profile = xdb_testkit::services::profile("postgres")?;
    profile.insert("schema".into(), "conformance".into());
    let connector = open(&DEF, "postgres", &profile, std::path::Path::new("/"));
    Some(
        Harness::new(connector)
            .leftovers(Leftovers::Sql("select relname::text from pg_class where relkind in ('r', 'v')")),
    )
}
xdb_testkit::conformance!(on_server, server);
