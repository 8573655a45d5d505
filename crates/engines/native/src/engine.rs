//! Hands SQL to the home connection, after checking that every input can be reached from there.

use async_trait::async_trait;
use std::sync::Arc;
use xdb_core::{
    ArrowStream, Connector, Engine, EngineDef, EngineInput, EngineOptions, EngineSession, Error, Execute, Explanation,
    Naming, ReadContext, Result, ResultExt,
};

pub static DEF: EngineDef = EngineDef {
    name: "native",
    about: "The database that holds the inputs, in its own SQL dialect. All inputs must be on one connection.",
    naming: Naming::Native,
    new: || Arc::new(NativeEngine),
};

struct NativeEngine;

#[async_trait]
impl Engine for NativeEngine {
    fn def(&self) -> &'static EngineDef {
        &DEF
    }
    async fn session(&self, options: &EngineOptions) -> Result<Box<dyn EngineSession>> {
        let (name, home) = options.home.clone().ok_or_else(|| {
            Error::config("the native engine needs one connection to run on, and this query names none")
                .hint("use a source, or set `target`")
        })?;
        Ok(Box::new(Session { name, home, read: ReadContext::default() }))
    }
}

struct Session {
    name: String,
    home: Arc<dyn Connector>,
    read: ReadContext,
}

impl Session {
    fn execute_on(&self) -> Result<&dyn Execute> {
        self.home.execute().ok_or_else(|| {
            Error::unsupported(format!("{} cannot run SQL itself", self.home.def().title))
                .connection(&self.name)
                .hint("set `compute` to `datafusion` or `duckdb`")
        })
    }
}

#[async_trait]
impl EngineSession for Session {
    async fn attach(&mut self, input: EngineInput) -> Result<()> {
        let EngineInput::Table(t) = input;
        if t.connector.context_id() != self.home.context_id() {
            return Err(Error::config(format!(
                "the native engine runs on one connection, but this model reads `{}` and `{}`",
                self.name, t.connection
            ))
            .hint("set `compute` to `datafusion` or `duckdb`"));
        }
        self.read.stats = t.stats;
        Ok(())
    }
    async fn execute(&mut self, sql: &str) -> Result<ArrowStream> {
        self.execute_on()?.query(sql, &[], &self.read).await.on_connection(&self.name).with_sql(sql)
    }
    async fn explain(&mut self, sql: &str) -> Result<Explanation> {
        let source = xdb_core::engine::SourceRead {
            connection: self.name.clone(),
            relation: "the whole query".into(),
            sql: vec![sql.into()],
            ..Default::default()
        };
        Ok(Explanation {
            plan: format!("{} runs the whole query", self.home.def().title),
            sources: vec![source],
            ..Explanation::default()
        })
    }
}
