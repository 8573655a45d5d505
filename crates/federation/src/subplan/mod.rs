//! The largest subplans that a source can answer whole, sent as one query each.
//!
//! [`federate`] takes an optimized plan. `tree` grows a [`Query`](xdb_core::Query) along it, operator by operator
//! (`block`, with expressions in `expr`), asking the connector at every step; `choose` weighs each against reading its
//! relations; what is sent becomes a leaf (`leaf`). Where an inner join can't be sent as a whole, its relations are taken
//! apart (`graph`) and joined anew: those of one source there, the rest here (`order`). Of an aggregate that
//! can't be sent, a source may do a part (`partial`), which is finished here (`finish`). Whatever isn't sent stays as it was: a plan never fails for
//! having been looked at here. No dialect and no connector is known.

mod block;
mod choose;
mod expr;
mod finish;
mod graph;
mod guess;
mod leaf;
mod order;
mod partial;
mod rule;
mod tree;

pub use leaf::SubplanPlanner;
pub use rule::{Federated, Planned, federate, physical_plan};
