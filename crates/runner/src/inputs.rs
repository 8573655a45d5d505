//! The relations that a query reads: described together, handed to the engine.

use crate::connections::Connection;
use crate::events::Progress;
use futures::future::try_join_all;
use std::sync::Arc;
use xdb_core::{EngineInput, EngineSession, PushdownMode, Relation, Result, TableInput, TypePolicy};

/// One relation on one connection; `relation` is resolved.
#[derive(Clone, Debug)]
pub struct InputRef {
    pub connection: Connection,
    pub relation: Relation,
    /// How the project names it, e.g. `source crm.customers`, for errors.
    pub said: String,
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
    let described = try_join_all(inputs.iter().map(|i| async move {
        let info = i.connection.connector.describe(&i.relation).await;
        info.map_err(|e| {
            let e = e.connection(&i.connection.name);
            // The project's own word for it helps most when it isn't there.
            if e.kind() == xdb_core::ErrorKind::NotFound && !i.said.is_empty() {
                e.with_message(|m| format!("{}: {m}", i.said))
            } else {
                e
            }
        })
    }))
    .await?;
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
