//! `xdb show`: the first rows that a model, or SQL with Jinja, would have. Builds nothing.

use crate::app::App;
use crate::args::{RowFormat, Show};
use crate::console;
use crate::output::rows;
use crate::output::run::{QueryProgress, Reporter};
use crate::output::text;
use std::sync::Arc;
use xdb_core::{ArrowStream, Error, Result};
use xdb_runner::{Options, Query, QueryOptions, What, Workspace};

pub(crate) async fn run(app: &App, args: Show) -> Result<u8> {
    refuse_binary(args.output)?;
    let name = args.model.or(args.select);
    let options = Options {
        compute: args.compute.compute,
        threads: args.threads.threads.map(usize::from).unwrap_or(0),
        ..app.options(&args.project, "show")?
    };
    let ws = app.workspace(options)?;
    let what = what(&ws, name.as_deref(), args.inline.as_deref())?;
    let options = QueryOptions { limit: limit(Some(args.limit)), ..QueryOptions::default() };
    app.stoppable(async {
        let reporter = Reporter::new();
        let query = ws.show(&what, &options, &reporter.sink()).await?;
        drop(reporter);
        print(query, args.output).await
    })
    .await?;
    Ok(0)
}

/// One model by name, or SQL.
pub(crate) fn what<'a>(ws: &Arc<Workspace>, name: Option<&'a str>, inline: Option<&'a str>) -> Result<What<'a>> {
    match (name, inline) {
        (_, Some(sql)) => Ok(What::Inline(sql)),
        (Some(name), None) => {
            ws.model_named(name)?;
            Ok(What::Model(name))
        }
        (None, None) => {
            Err(Error::config("it isn't said what to show").hint("name a model, or give SQL with --inline"))
        }
    }
}

/// 0 and below are no limit.
pub(crate) fn limit(given: Option<i64>) -> Option<u64> {
    given.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
}

/// Binary formats are refused before anything is asked of a server.
pub(crate) fn refuse_binary(format: RowFormat) -> Result<()> {
    match format {
        RowFormat::Parquet => console::refuse_terminal("parquet"),
        RowFormat::Arrow => console::refuse_terminal("arrow"),
        _ => Ok(()),
    }
}

/// Rows to stdout, with a live line until the first are there.
pub(crate) async fn print(query: Query, format: RowFormat) -> Result<()> {
    let progress = query.progress.clone();
    let mut live = QueryProgress::start(query.engine.unwrap_or("query"), progress.clone());
    let (schema, keep) = (query.stream.schema(), query);
    // The query must live as long as its stream: it holds the folder that the engine spills to.
    let started = std::time::Instant::now();
    let stream = futures::stream::unfold(keep, |mut q| async move {
        let item = futures::StreamExt::next(&mut q.stream).await?;
        Some((item, q))
    });
    let mut first = true;
    let stream = ArrowStream::new(schema, stream).inspect(move |_| {
        if std::mem::take(&mut first) {
            live.stop();
        }
    });
    rows::print(stream, format).await?;
    let reads: Vec<String> =
        progress.read_so_far().iter().map(|(c, rows, _)| format!("{c} {}", text::thousands(*rows))).collect();
    tracing::info!("read {} in {:.2}s", reads.join(", "), started.elapsed().as_secs_f64());
    Ok(())
}
