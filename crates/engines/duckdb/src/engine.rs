//! The engine and its session: one DuckDB a query.

use crate::ahead;
use crate::database::Database;
use crate::explain;
use crate::function::Source;
use crate::names::{HOME, Named, is_reserved, quote, rename, same};
use crate::run;
use crate::scan::Shared;
use crate::syntax::{self, Parsed};
use crate::table::Table;
use async_trait::async_trait;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use xdb_core::engine::QueryActual;
use xdb_core::{
    ArrowStream, Engine, EngineDef, EngineInput, EngineOptions, EngineSession, Error, Explanation, Literal, Naming,
    Result, TableInput,
};
use xdb_federation::{KeyLink, links, needs};

pub static DEF: EngineDef = EngineDef {
    name: "duckdb",
    about: "DuckDB, in the xdb process. Speaks DuckDB's dialect; names are compared without regard to case.",
    naming: Naming::Federated,
    new: || Arc::new(DuckDbEngine),
};

struct DuckDbEngine;

#[async_trait]
impl Engine for DuckDbEngine {
    fn def(&self) -> &'static EngineDef {
        &DEF
    }
    async fn session(&self, options: &EngineOptions) -> Result<Box<dyn EngineSession>> {
        let options = options.clone();
        let shared = Arc::new(Shared::new(Handle::current(), options.threads.max(1)));
        let db = blocking(move || Database::open(&options)).await?;
        Ok(Box::new(Session { db, shared, tables: vec![], names: vec![], params: vec![], last: None }))
    }
}

struct Session {
    db: Arc<Database>,
    shared: Arc<Shared>,
    /// With the names of their functions.
    tables: Vec<(String, Arc<Table>)>,
    /// In the order of `tables`.
    names: Vec<Named>,
    /// Of the next query.
    params: Vec<(String, Literal)>,
    /// The query that was started last.
    last: Option<run::Done>,
}

/// DuckDB's calls block, some of them for milliseconds.
async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(|e| Error::internal(format!("duckdb: {e}")))?
}

impl Session {
    fn inputs(&self) -> Vec<TableInput> {
        self.tables.iter().map(|(_, t)| t.input.clone()).collect()
    }

    /// A statement of this session is over, and what it left is forgotten, before the next begins.
    async fn settle(&mut self) {
        if let Some(last) = self.last.take()
            && !last.is()
        {
            self.shared.cancel();
            while !last.is() {
                self.db.interrupt();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.shared.reset();
    }

    /// Finds the filters each source can be sent; returns the output as that planner sees it.
    async fn plan_filters(&self, sql: &str) -> Result<Option<arrow::datatypes::Schema>> {
        let mut found = needs(sql, &self.inputs()).await?;
        if let Some(why) = &found.unplanned {
            tracing::debug!(why, "the duckdb engine reads whole tables for this query");
        }
        for (_, table) in &self.tables {
            table.set_filter(found.filters.remove(&table.input.federated_name()).flatten());
        }
        Ok(found.schema)
    }

    /// DuckDB's plan as text, and its scans.
    async fn plan(&self, translated: String) -> Result<(String, Vec<ahead::Place>)> {
        let (db, tables, params) = (self.db.clone(), self.tables.clone(), self.params.clone());
        blocking(move || {
            db.prepare_select(&translated, &params)?;
            Ok((explain::plan_text(&db, &translated)?, explain::scans(&db, &translated, &tables)?))
        })
        .await
    }

    /// DuckDB's scans, and which tables' keys limit which others; nothing where that can't be told.
    async fn links(&self, sql: &str, translated: &str) -> (Vec<ahead::Place>, Vec<KeyLink>) {
        // A plan's text has no parameters' values.
        if self.tables.len() < 2 || !self.params.is_empty() {
            return (vec![], vec![]);
        }
        let links = links(sql, &self.inputs()).await;
        if links.is_empty() {
            return (vec![], vec![]);
        }
        let (db, tables, sql) = (self.db.clone(), self.tables.clone(), translated.to_string());
        match blocking(move || explain::scans(&db, &sql, &tables)).await {
            Ok(places) => (places, links),
            // Running it says what is wrong.
            Err(e) => {
                tracing::debug!(error = %e, "no runtime filters: DuckDB has no plan");
                (vec![], vec![])
            }
        }
    }

    /// `sql` with the names that DuckDB can use.
    async fn translate(&self, sql: &str) -> Result<String> {
        if self.names.iter().all(|n| n.view.is_none()) {
            return Ok(sql.into());
        }
        let (db, names, sql) = (self.db.clone(), self.names.clone(), sql.to_string());
        blocking(move || {
            match syntax::parse(&db, &sql)? {
                Parsed::Tree(mut tree) => {
                    rename(&mut tree, &names)?;
                    syntax::to_sql(&db, &tree)
                }
                // Preparing it says what is wrong.
                Parsed::Other | Parsed::Broken => Ok(sql),
            }
        })
        .await
    }
}

/// The columns of a table's view, as SQL.
fn view_columns(input: &TableInput) -> Result<String> {
    let fields = input.table.schema.fields();
    let cannot = |what: String| {
        Error::unsupported(what)
            .connection(&input.connection)
            .relation(input.table.relation.to_string())
            .hint("set `compute` to `datafusion`")
    };
    for (i, f) in fields.iter().enumerate() {
        if let Some(other) = fields[..i].iter().find(|o| same(o.name(), f.name())) {
            let (a, b) = (other.name(), f.name());
            return Err(cannot(format!("the duckdb engine cannot tell columns `{a}` and `{b}` apart")));
        }
        if f.name().is_empty() || f.name().contains('\0') {
            return Err(cannot(format!("the duckdb engine cannot read a column named `{}`", f.name().escape_debug())));
        }
    }
    match fields.len() {
        0 => Err(cannot("the duckdb engine cannot read a table without columns".into())),
        _ => Ok(fields.iter().map(|f| quote(f.name())).collect::<Vec<_>>().join(", ")),
    }
}

#[async_trait]
impl EngineSession for Session {
    async fn attach(&mut self, input: EngineInput) -> Result<()> {
        let EngineInput::Table(input) = input;
        let name = input.federated_name();
        if self.names.iter().any(|n| n.federated == name) {
            return Ok(());
        }
        let columns = view_columns(&input)?;
        let number = self.tables.len();
        let alike = |n: &Named| n.federated.iter().zip(&name).all(|(a, b)| same(a, b));
        let view = (is_reserved(&name) || self.names.iter().any(alike)).then(|| format!("table {number}"));
        // Shown in plans; the number keeps names apart that differ in case or in where the dots are.
        let mut function = name.join(".").replace('\0', "");
        if self.tables.iter().any(|(f, _)| same(f, &function)) {
            function = format!("{function}#{number}");
        }
        let table = Arc::new(Table::new(input));
        let source = Source { table: table.clone(), shared: self.shared.clone() };
        let [database, schema, last] = match &view {
            Some(v) => [HOME, "main", v].map(quote),
            None => [quote(&name[0]), quote(&name[1]), quote(&name[2])],
        };
        let mut sql = vec![];
        if view.is_none() {
            sql.push(format!("ATTACH IF NOT EXISTS ':memory:' AS {database}"));
            sql.push(format!("CREATE SCHEMA IF NOT EXISTS {database}.{schema}"));
        }
        sql.push(format!("CREATE VIEW {database}.{schema}.{last} AS SELECT {columns} FROM {}()", quote(&function)));
        let (db, registered) = (self.db.clone(), function.clone());
        blocking(move || {
            db.register(&registered, &source)?;
            sql.iter().try_for_each(|s| db.run(s))
        })
        .await
        .map_err(|e| e.connection(&name[0]).relation(name[1..].join(".")))?;
        self.tables.push((function, table));
        self.names.push(Named { federated: name, view });
        Ok(())
    }

    fn bind(&mut self, params: Vec<(String, Literal)>) -> Result<()> {
        self.params = params;
        Ok(())
    }

    async fn execute(&mut self, sql: &str) -> Result<ArrowStream> {
        self.settle().await;
        let planned = self.plan_filters(sql).await?;
        let translated = self.translate(sql).await?;
        let (places, links) = self.links(sql, &translated).await;
        if !links.is_empty() {
            ahead::read(&self.tables, &places, links).await?;
        }
        let (stream, done) =
            run::start(self.db.clone(), self.shared.clone(), translated, self.params.clone(), planned).await?;
        self.last = Some(done);
        Ok(stream)
    }

    async fn explain(&mut self, sql: &str) -> Result<Explanation> {
        self.settle().await;
        self.plan_filters(sql).await?;
        let translated = self.translate(sql).await?;
        let (plan, scans) = self.plan(translated.clone()).await?;
        let mut out = Explanation { plan, ..Explanation::default() };
        let (_, links) = self.links(sql, &translated).await;
        let filters = ahead::expectations(&self.tables, &scans, links).await;
        for (at, projection) in scans {
            let mut read = self.tables[at].1.source_read(projection).await?;
            read.dynamic.extend(filters.iter().filter(|(large, _)| *large == at).map(|(_, f)| f.clone()));
            out.sources.push(read);
        }
        Ok(out)
    }

    async fn analyze(&mut self, sql: &str) -> Result<Explanation> {
        self.settle().await;
        let start = Instant::now();
        let translated = self.translate(sql).await?;
        let (plan, scans) = self.plan(translated).await?;
        let mut rows = self.execute(sql).await?;
        let mut actual = QueryActual::default();
        while let Some(batch) = rows.next().await {
            actual.rows += batch?.num_rows() as u64;
        }
        drop(rows);
        actual.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut out = Explanation { plan, actual: Some(actual), ..Explanation::default() };
        let mut seen = BTreeSet::new();
        for (at, _) in scans {
            if seen.insert(at) {
                out.sources.extend(self.tables[at].1.reads());
            }
        }
        Ok(out)
    }
}
