//! The `native` engine: the database that holds the inputs runs the SQL, in its own dialect.

mod engine;

pub use engine::DEF;
