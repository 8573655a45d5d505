//! The suite of `xdb-testkit`, on the service `mariadb` of `make test`, in a database of its own.
#![allow(clippy::unwrap_used)] // Tests; clippy sees only the bodies of `#[test]` functions as such.

use xdb_connector_mysql::DEF;
use xdb_testkit::conformance::{Harness, Leftovers, open};

async fn mariadb() -> Option<Harness> {
    let mut profile = xdb_testkit::services::profile("mariadb")?;
    // The service's own database is there to make another.
    let root = open(&DEF, "mariadb", &profile, std::path::Path::new("/"));
    root.execute().unwrap().run("CREATE DATABASE IF NOT EXISTS xdb_conformance CHARACTER SET utf8mb4").await.unwrap();
    profile.insert("database".into(), "xdb_conformance".into());
    let connector = open(&DEF, "mariadb", &profile, std::path::Path::new("/"));
    Some(
        Harness::new(connector)
            .leftovers(Leftovers::Sql(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'xdb_conformance'",
            ))
            .key_sql("ALTER TABLE {} ADD PRIMARY KEY (id)"),
    )
}
xdb_testkit::conformance!(on_mariadb, mariadb);
