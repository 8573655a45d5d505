//! The graph of models and sources: which exists, what depends on what, in which order, and which ones a selection
//! means. Pure: no files, no Jinja, no connections.

pub mod build;
mod glob;
pub mod node;
pub mod select;

pub use build::Graph;
pub use node::{Node, NodeId, RefEdge, ResourceType, SourceEdge, model_id, source_id};
pub use select::{SelectContext, StateChanges};
