//! `xdb retry`: builds again what did not succeed in the last run, with that run's arguments.

use crate::app::App;
use crate::args::{ProjectArgs, Retry};
use crate::output::events;
use serde_json::Value;
use xdb_core::Result;
use xdb_project::Project;
use xdb_runner::{Options, PreviousRun};

pub(crate) async fn run(app: &App, args: Retry) -> Result<u8> {
    // Where the last run's results are depends on the project file only.
    let project = Project::load(&app.options(&args.project, "retry")?.load)?;
    let dir = project.root.join(args.project.target_path.as_ref().unwrap_or(&project.file.target_path));
    let previous = PreviousRun::load(&dir.join("run_results.json"))?;
    let text = |key: &str| previous.args[key].as_str().map(String::from);
    let flag = |key: &str| previous.args[key].as_bool().unwrap_or(false);
    let unfinished = previous.unfinished();
    if unfinished.is_empty() {
        events::info("nothing to retry: everything succeeded");
        return Ok(0);
    }
    let given = ProjectArgs {
        target: args.project.target.or_else(|| text("target")),
        vars: args.project.vars.or_else(|| text("vars")),
        target_path: args.project.target_path.or_else(|| text("target_path").map(Into::into)),
    };
    let threads = args.threads.threads.map(u64::from).or_else(|| previous.args["threads"].as_u64());
    let options = Options {
        compute: text("compute"),
        threads: threads.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        full_refresh: flag("full_refresh"),
        fail_fast: args.fail_fast || flag("fail_fast"),
        ..app.options(&given, &previous.command)?
    };
    let ws = app.workspace(options)?;
    if previous.command == "seed" {
        return super::seed::load(app, &ws, |id| unfinished.iter().any(|u| u == id), &previous.args).await;
    }
    let ids: Vec<String> = ws.graph.topological().iter().filter(|id| unfinished.contains(id)).cloned().collect();
    let gone: Vec<&String> = unfinished.iter().filter(|id| !ids.contains(id)).collect();
    for id in gone {
        events::warn(&format!("`{id}` isn't in the project any more"));
    }
    let stored = match previous.args {
        Value::Object(m) => Value::Object(m),
        _ => Value::Null,
    };
    super::run::build(app, &ws, &ids, &stored).await
}
