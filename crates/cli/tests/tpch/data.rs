//! The eight tables at scale factor 0.01: made by `tpchgen` as CSV, and loaded by xdb itself into every database.
//!
//! Once for all tests: each test is a process of its own, so the first one to come loads, under a lock, into databases
//! and files that live as long as the test servers do; the others find it done.

use crate::queries;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use tpchgen::csv::{CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use xdb_testkit::cli::Project;
use xdb_testkit::services;

pub(crate) const SCALE_FACTOR: f64 = 0.01;

/// The tables of source `sales`, and those of source `supply`.
pub(crate) const SALES: [&str; 3] = ["lineitem", "orders", "customer"];
pub(crate) const SUPPLY: [&str; 5] = ["part", "partsupp", "supplier", "nation", "region"];

/// `create table` statements in SQL that every server here takes, one a line: primary keys, and `char(n)`.
const SCHEMA: &str = include_str!("../../../dev/bench/tpch.sql");

/// What the databases hold, and where.
pub(crate) struct Data {
    folder: PathBuf,
    servers: [(&'static str, Map<String, Value>); 2],
}

impl Data {
    /// `None`, said loudly, where a server isn't running.
    pub(crate) fn loaded() -> Option<Self> {
        let servers = [("pg", services::profile("postgres")), ("my", services::profile("mariadb"))];
        let [(pg, Some(postgres)), (my, Some(mariadb))] = servers else { return None };
        let servers = PathBuf::from(std::env::var_os("XDB_TEST_SERVICES").expect("where the profiles are"));
        let data = Self { folder: servers.join("tpch"), servers: [(pg, postgres), (my, mariadb)] };
        std::fs::create_dir_all(&data.folder).expect("a folder beside the servers'");
        let lock = File::create(servers.join("tpch.lock")).expect("a lock file");
        lock.lock().expect("the lock"); // Until this process ends or the file is dropped.
        let ready = data.folder.join("ready");
        let mark = data.mark();
        if std::fs::read_to_string(&ready).ok().as_ref() != Some(&mark) {
            std::fs::remove_dir_all(&data.folder).expect("the old data removed");
            std::fs::create_dir_all(&data.folder).expect("a folder beside the servers'");
            data.load();
            queries::answer(&data);
            std::fs::write(&ready, &mark).expect("a mark");
        }
        Some(data)
    }

    /// What the data was made of: other queries or another schema are other data.
    fn mark(&self) -> String {
        let mut hash = DefaultHasher::new();
        (SCHEMA, queries::all(), SCALE_FACTOR.to_bits(), include_str!("data.rs")).hash(&mut hash);
        hash.finish().to_string()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The text of a table's CSV file.
    pub(crate) fn csv(&self, table: &str) -> String {
        let path = self.folder.join(format!("lake/{table}.csv"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The connections `pg`, `my`, `lite`, `duck`, each with all eight tables; `pg_server` and `my_server` without a
    /// schema of their own; `lake`, the CSV files.
    pub(crate) fn profiles(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, server) in &self.servers {
            let mut tpch = server.clone();
            tpch.insert(if *name == "pg" { "schema" } else { "database" }.into(), "tpch".into());
            all.insert((*name).into(), tpch.into());
            all.insert(format!("{name}_server"), server.clone().into());
        }
        all.insert("lite".into(), json!({"adapter": "sqlite", "path": self.file("tpch.sqlite")}));
        all.insert("duck".into(), json!({"adapter": "duckdb", "path": self.file("tpch.duckdb"), "read_only": true}));
        all.insert("lake".into(), json!({"adapter": "files", "path": self.file("lake")}));
        all
    }

    /// A project with these connections and `more`, written to `target` unless a model says otherwise.
    pub(crate) fn project(&self, target: &str, more: &[(&str, Value)]) -> Project {
        let mut profiles = self.profiles();
        profiles.extend(more.iter().map(|(name, value)| ((*name).to_string(), value.clone())));
        let settings = json!({"name": "tpch", "version": "1", "target": target});
        Project::new(env!("CARGO_BIN_EXE_xdb"))
            .file("xdb_project.yml", &settings.to_string())
            // JSON is YAML.
            .file("profiles.yml", &Value::from(profiles).to_string())
    }

    fn load(&self) {
        write_csv(&self.file("lake"));
        let databases = ["pg", "my", "lite", "duck"];
        let mut duck = self.profiles()["duck"].clone();
        duck["read_only"] = json!(false);
        let p = self.project("pg", &[("duck", duck)]);
        let on = |connection: &str, sql: &str| {
            p.run(&["query", "--on", connection, sql, "--output", "csv"]).ok();
        };
        on("pg_server", "drop schema if exists tpch cascade");
        on("pg_server", "create schema tpch");
        on("my_server", "drop database if exists tpch");
        on("my_server", "create database tpch");
        // Into tables that are there already, with keys and char(n). DuckDB's are left to xdb: with the types that a CSV
        // file gives, text and wider numbers.
        let create = |connection: &str, prefix: &str| {
            for statement in SCHEMA.lines() {
                let sql = statement.trim_end_matches(';').replace("create table ", &format!("create table {prefix}"));
                on(connection, &sql);
            }
        };
        std::thread::scope(|scope| {
            let create = &create;
            for (connection, prefix) in [("pg", "tpch."), ("my", "tpch."), ("lite", "")] {
                scope.spawn(move || create(connection, prefix));
            }
        });
        let tables: Vec<&str> = SALES.into_iter().chain(SUPPLY).collect();
        p.write("models/sources.yml", &json!({"sources": [source("lake", "lake", &tables)]}).to_string());
        for database in databases {
            for table in &tables {
                let config = format!("materialized='incremental', target='{database}', alias='{table}'");
                let sql = format!("{{{{ config({config}) }}}} select * from {{{{ source('lake', '{table}') }}}}");
                p.write(&format!("models/{database}_{table}.sql"), &sql);
            }
        }
        p.run(&["run"]).ok();
        // For the database that answers alone: Q17 and Q20 take it a minute without.
        on("pg", "create index on tpch.lineitem (l_partkey, l_suppkey)");
        // These tables only: others' may be locked by their tests just now.
        let named: Vec<String> = tables.iter().map(|t| format!("tpch.{t}")).collect();
        on("pg", &format!("analyze {}", named.join(", ")));
    }
}

/// An entry of sources.yml.
pub(crate) fn source(name: &str, connection: &str, tables: &[&str]) -> Value {
    let tables: Vec<Value> = tables.iter().map(|t| json!({"name": t})).collect();
    json!({"name": name, "profile": connection, "tables": tables})
}

fn write_csv(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let write = |table: &str, head: &str, rows: &mut dyn Iterator<Item = String>| {
        let mut text = format!("{head}\n");
        rows.for_each(|row| writeln!(text, "{row}").expect("text grows"));
        std::fs::write(folder.join(format!("{table}.csv")), text).expect("a CSV file");
    };
    macro_rules! table {
        ($table:literal, $generator:ident, $csv:ident) => {
            let rows = $generator::new(SCALE_FACTOR, 1, 1);
            write($table, $csv::header(), &mut rows.iter().map(|r| $csv::new(r).to_string()));
        };
    }
    table!("customer", CustomerGenerator, CustomerCsv);
    table!("lineitem", LineItemGenerator, LineItemCsv);
    table!("nation", NationGenerator, NationCsv);
    table!("orders", OrderGenerator, OrderCsv);
    table!("part", PartGenerator, PartCsv);
    table!("partsupp", PartSuppGenerator, PartSuppCsv);
    table!("region", RegionGenerator, RegionCsv);
    table!("supplier", SupplierGenerator, SupplierCsv);
}
