//! The command line: what may be typed. Parsing does nothing else; see [`crate::options`] for what it means.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// SQL models over tables in different databases, the result written to any other.
#[derive(Debug, Parser)]
#[command(name = "xdb", version, styles = STYLES, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

/// Flags of every command, before or after its name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The folder with xdb_project.yml [default: the working folder, or the nearest above it]
    #[arg(long, global = true, env = "XDB_PROJECT_DIR", hide_env_values = true, value_name = "DIR")]
    pub project_dir: Option<PathBuf>,
    /// The folder with profiles.yml [default: the project, then ~/.xdb]
    #[arg(long, global = true, env = "XDB_PROFILES_DIR", hide_env_values = true, value_name = "DIR")]
    pub profiles_dir: Option<PathBuf>,
    /// Print errors and data only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show what is sent where, on stderr
    #[arg(short, long, global = true)]
    pub debug: bool,
    /// How events are written to stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// No colour; the variable NO_COLOR does the same
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a project in a new folder
    Init(Init),
    /// Show what xdb finds: paths, versions, the project, each connection
    Debug(DebugArgs),
    /// Read the whole project and check it, connecting nowhere
    Parse(Parse),
    /// List models and sources
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Write each model's SQL, as it would run now, to target/compiled
    Compile(Compile),
    /// Build models
    Run(Run),
    /// Load seeds/*.csv
    Seed(Seed),
    /// Print the rows a model would have
    Show(Show),
    /// Print the rows of SQL over connection.schema.table names
    Query(Query),
    /// Show the plan: the engine, and what each connection is sent
    Explain(Explain),
    /// Look into connections: schemas, tables, columns
    Inspect(Inspect),
    /// List, show and test connections
    #[command(subcommand)]
    Profiles(Profiles),
    /// Run again what did not succeed in the last run
    Retry(Retry),
    /// Remove what was built in the project's folder (clean-targets)
    Clean(Clean),
    /// Print a shell's completion script
    Completions(Completions),
}

/// What reading a project takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProjectArgs {
    /// The connection written to where a model doesn't say
    #[arg(short, long, value_name = "CONNECTION")]
    pub target: Option<String>,
    /// Variables for var(), as YAML or JSON: '{start: 2024-01-01}'
    #[arg(long, value_name = "YAML")]
    pub vars: Option<String>,
    /// The folder for compiled SQL and results, over the project's
    #[arg(long, value_name = "DIR")]
    pub target_path: Option<PathBuf>,
}

/// Which nodes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Only these: names, +model+, tag:x, path:x, source:x … space is union, comma is intersection
    #[arg(short, long, visible_alias = "models", short_alias = 'm', num_args = 1.., value_name = "SELECTOR")]
    pub select: Vec<String>,
    /// Not these
    #[arg(long, num_args = 1.., value_name = "SELECTOR")]
    pub exclude: Vec<String>,
}

/// Which engine.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ComputeArg {
    /// The engine, over what the project and the models say: auto, native, datafusion, duckdb
    #[arg(long, value_name = "ENGINE")]
    pub compute: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ThreadsArg {
    /// Models at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// For one query.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReadThreadsArg {
    /// Connections that may read one table at once, and threads of the engine [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Csv,
    /// An array of objects
    Json,
    /// One object a line
    #[value(alias = "jsonl")]
    Ndjson,
    Parquet,
    /// Arrow IPC stream
    Arrow,
}

/// How things that are no rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    #[value(alias = "table")]
    Text,
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The project's name, which is also the new folder's; with --demo the folder to write to [default: .]
    pub name: Option<PathBuf>,
    /// Write the demo project, and make its databases from its seeds
    #[arg(long)]
    pub demo: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DebugArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Don't connect
    #[arg(long)]
    pub no_connection: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Parse {
    #[command(flatten)]
    pub project: ProjectArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LsFormat {
    /// project.folder.model, as --select takes it
    #[value(alias = "selector")]
    Name,
    /// The file
    Path,
    /// One JSON object a line
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub selection: Selection,
    /// Only this type: model, source …
    #[arg(long, value_name = "TYPE")]
    pub resource_type: Vec<String>,
    #[arg(long, short, value_enum, default_value_t = LsFormat::Name, value_name = "FORMAT")]
    pub output: LsFormat,
}

#[derive(Args, Debug)]
pub(crate) struct Compile {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub compute: ComputeArg,
    /// SQL with Jinja, instead of models
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude"])]
    pub inline: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub compute: ComputeArg,
    #[command(flatten)]
    pub threads: ThreadsArg,
    /// Stop at the first failure
    #[arg(short = 'x', long)]
    pub fail_fast: bool,
    /// Build incremental models from nothing
    #[arg(short, long)]
    pub full_refresh: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Seed {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub threads: ThreadsArg,
    /// Stop at the first failure
    #[arg(short = 'x', long)]
    pub fail_fast: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The model
    #[arg(conflicts_with_all = ["select", "inline"])]
    pub model: Option<String>,
    /// The model
    #[arg(short, long, value_name = "MODEL", conflicts_with = "inline")]
    pub select: Option<String>,
    /// SQL with Jinja, instead of a model
    #[arg(long, value_name = "SQL")]
    pub inline: Option<String>,
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub compute: ComputeArg,
    #[command(flatten)]
    pub threads: ReadThreadsArg,
    /// Rows at most; 0 or -1 is all
    #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_name = "ROWS")]
    pub limit: i64,
    #[arg(long, short, value_enum, default_value_t = RowFormat::Table, value_name = "FORMAT")]
    pub output: RowFormat,
}

#[derive(Args, Debug)]
pub(crate) struct Query {
    /// The SQL; `-` reads it from stdin
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub sql: Option<String>,
    /// A file with the SQL
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Send the SQL as it is to this connection
    #[arg(long, value_name = "CONNECTION", conflicts_with = "compute")]
    pub on: Option<String>,
    /// A value for $name in the SQL: 5, 1.50, true, null, 'text' or any other text. Bound, never spliced
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub compute: ComputeArg,
    #[command(flatten)]
    pub threads: ReadThreadsArg,
    /// Rows at most; 0 or -1 is all [default: all]
    #[arg(long, allow_negative_numbers = true, value_name = "ROWS")]
    pub limit: Option<i64>,
    #[arg(long, short, value_enum, default_value_t = RowFormat::Table, value_name = "FORMAT")]
    pub output: RowFormat,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The model
    #[arg(conflicts_with_all = ["select", "inline"])]
    pub model: Option<String>,
    /// The model
    #[arg(short, long, value_name = "MODEL", conflicts_with = "inline")]
    pub select: Option<String>,
    /// SQL with Jinja, or over connection.schema.table names where there is no project
    #[arg(long, value_name = "SQL")]
    pub inline: Option<String>,
    /// Run it too, throw its rows away, and show what was sent, read and how long it took
    #[arg(long)]
    pub analyze: bool,
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub compute: ComputeArg,
    #[arg(long, short, value_enum, default_value_t = TextFormat::Text, value_name = "FORMAT")]
    pub output: TextFormat,
}

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// CONNECTION, CONNECTION.SCHEMA or CONNECTION.SCHEMA.TABLE; `*` in the last part is any text
    pub what: Option<String>,
    /// Write a sources.yml of what is found, to FILE or to stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, requires = "what")]
    pub sources: Option<Option<PathBuf>>,
    #[arg(long, short, value_enum, default_value_t = TextFormat::Text, value_name = "FORMAT")]
    pub output: TextFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profiles {
    /// List the connections
    List {
        #[arg(long, short, value_enum, default_value_t = TextFormat::Text, value_name = "FORMAT")]
        output: TextFormat,
    },
    /// Print one connection's settings, secrets masked
    Show {
        /// The connection
        name: String,
    },
    /// Connect, and say to what
    Test {
        /// The connection [default: all]
        #[arg(conflicts_with = "all")]
        names: Vec<String>,
        /// All connections
        #[arg(long)]
        all: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub threads: ThreadsArg,
    /// Stop at the first failure
    #[arg(short = 'x', long)]
    pub fail_fast: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub project: ProjectArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_as_in_dbt() {
        let c = Cli::try_parse_from(
            "xdb run -s a+ tag:x --exclude b -x -f --threads 3 -t mart --vars {a:1} -q --project-dir /p".split(' '),
        )
        .unwrap();
        assert!(c.global.quiet && c.global.project_dir.is_some());
        let Command::Run(r) = c.command else { panic!() };
        assert_eq!((r.selection.select, r.selection.exclude), (vec!["a+".into(), "tag:x".into()], vec!["b".into()]));
        assert!(r.fail_fast && r.full_refresh && r.threads.threads == Some(3));
    }

    #[test]
    fn minus_one_is_a_limit() {
        let c = Cli::try_parse_from(["xdb", "show", "m", "--limit", "-1"]).unwrap();
        let Command::Show(s) = c.command else { panic!() };
        assert_eq!((s.model.as_deref(), s.limit), (Some("m"), -1));
    }
}
