//! How results look: rows in each format, tables, progress, events, errors. Printing itself is [`crate::console`]'s.

pub(crate) mod cells;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod text;
