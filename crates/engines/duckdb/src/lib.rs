//! The `duckdb` engine: a private in-memory DuckDB for each query, reading the sources lazily through a table function.
//!
//! | module | what lives there |
//! |---|---|
//! | `engine` | `DEF`, the session: attach, execute, explain |
//! | `names` | how a federated name becomes a DuckDB name, also where DuckDB reserves it |
//! | `database` | the handle of one DuckDB: settings, statements, interruption |
//! | `function` | the table function DuckDB calls to read a source |
//! | `table` | an attached table: a query's filters on it, its reads, its batches as DuckDB takes them |
//! | `scan`, `queue` | one scan: splits read by tokio tasks into a bounded queue, drained by DuckDB's threads |
//! | `ahead` | small tables read first, their keys sent to the sources of large ones |
//! | `input` | Arrow -> DuckDB: types and values |
//! | `output` | DuckDB -> Arrow: types and values |
//! | `run` | the thread that runs a query and streams its rows out |
//! | `syntax` | DuckDB's own syntax tree of a query |
//! | `error`, `explain` | DuckDB's error texts as ours; its plans with what each source is asked |

mod ahead;
mod bind;
mod database;
mod engine;
mod error;
mod explain;
mod function;
mod input;
mod names;
mod output;
mod queue;
mod run;
mod scan;
mod syntax;
mod table;

pub use engine::DEF;
