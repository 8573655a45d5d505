//! CSV, NDJSON and Parquet files as tables: source and target.
//!
//! A connection is a folder (a local path, or the URL of an object store where the Cargo feature is on); a table is a
//! file in it, a sub-folder of part files, or a glob. Everything is read through the `object_store` crate, so that one
//! code path serves disks and buckets; a local target is written beside itself and renamed into place.
//!
//! Not here: SQL (files have none), and any knowledge of engines.

mod config;
mod connector;
mod csv;
mod decode;
mod filter;
mod format;
mod infer;
mod input;
mod json;
mod load;
mod parquet;
mod prune;
mod read;
mod relations;
mod staging;
mod store;
mod text;
mod types;
mod upload;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use config::DEF;
