//! Against a real PostgreSQL: the service `postgres` of `make test`.

mod catalog;
mod common;
mod errors;
mod execute;
mod load;
mod read;
mod types;
