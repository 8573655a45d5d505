//! The `datafusion` engine: Apache DataFusion in this process, reading sources lazily through `xdb-federation`.

mod engine;

pub use engine::DEF;
