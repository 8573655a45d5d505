//! The relations that a query reads: described together, handed to the engine.

use crate::connections::Connection;
use crate::events::Progress;
use futures::future::join_all;
use std::sync::Arc;
use xdb_core::{EngineInput, EngineSession, Error, ErrorKind, PushdownMode, Relation, Result, TableInput, TypePolicy};

/// One relation on one connection; `relation` is resolved.
#[derive(Clone, Debug)]
pub struct InputRef {
    pub connection: Connection,
    pub relation: Relation,
    /// How the project names it, e.g. `source crm.customers`, for errors.
    pub said: String,
}

/// The word that [`InputRef::said`] starts with where `xdb seed` makes the relation.
pub(crate) const SEED: &str = "seed";

impl InputRef {
    /// `e`, which says that the relation isn't there, with the project's own word for it: that helps most.
    pub(crate) fn missing(&self, e: Error) -> Error {
        let message = format!("{}: {}", self.said, e.message());
        match self.said.is_empty() {
            true => e,
            // What else is in that schema is no help then.
            false if self.said.starts_with(SEED) => Error::not_found(message)
                .connection(&self.connection.name)
                .relation(self.relation.to_string())
                .hint("run `xdb seed` first: it loads the project's CSV files"),
            false => e.with_message(|_| message),
        }
    }
}

/// How an engine session should read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Most splits of one scan.
    pub parallelism: usize,
    /// `None`: as each connection says.
    pub types: Option<TypePolicy>,
    pub pushdown: PushdownMode,
}

/// Describe every input (all at once), and attach each to `session`.
pub(crate) async fn attach(
    session: &mut dyn EngineSession,
    inputs: &[InputRef],
    progress: &Arc<Progress>,
    options: ReadOptions,
) -> Result<()> {
    // All are waited for, and the first in their order is what's said: the same error on every run.
    let described = join_all(inputs.iter().map(|i| async move {
        let info = i.connection.connector.describe(&i.relation).await;
        info.map_err(|e| {
            let e = e.connection(&i.connection.name);
            if e.kind() == ErrorKind::NotFound { i.missing(e) } else { e }
        })
    }))
    .await
    .into_iter()
    .collect::<Result<Vec<_>>>()?;
    let estimate = described.iter().map(|t| t.row_estimate).sum::<Option<u64>>();
    if let Ok(mut e) = progress.estimate.lock() {
        *e = estimate.filter(|n| *n > 0);
    }
    for (input, table) in inputs.iter().zip(described) {
        let stats = progress.reads_of(&input.connection.name);
        let types = options.types.unwrap_or(input.connection.types);
        session
            .attach(EngineInput::Table(TableInput {
                connection: input.connection.name.clone(),
                connector: input.connection.connector.clone(),
                table: Arc::new(table),
                stats,
                spare: input.connection.budget.clone(),
                parallelism: options.parallelism,
                types,
                pushdown: options.pushdown,
            }))
            .await?;
    }
    Ok(())
}
