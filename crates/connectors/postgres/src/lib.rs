//! PostgreSQL as source and target.
//!
//! Tables are read with `COPY (SELECT …) TO STDOUT (FORMAT BINARY)`, decoded from the wire's bytes into Arrow arrays, on
//! several connections in one exported snapshot; rows are written with `COPY … FROM STDIN (FORMAT BINARY)` into a
//! staging table that takes the target's place in one transaction. sqlx holds the connections
//! (docs/decisions/0002-postgres-driver.md says why).
//!
//! Where things are: `config` parameters, `pool` connections, `catalog` what tables there are, `kind` types on the way in,
//! `target` types on the way out, `pushdown` filters, `query` whole queries and `estimate` their cost, `splits` and `read` reading, `decode` and `encode` the binary
//! formats, `write`, `swap` and `keep` loading, `execute` native SQL, `error` the server's errors as ours.

mod catalog;
mod config;
mod connector;
mod decode;
mod encode;
mod error;
mod estimate;
mod execute;
mod keep;
mod kind;
mod numeric;
mod params;
mod pool;
mod prepare;
mod pushdown;
mod query;
mod read;
mod splits;
mod sql;
mod swap;
mod target;
mod write;

pub use config::DEF;
