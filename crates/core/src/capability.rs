//! What a connector can do, as data: the tests, the docs and the planner read it.

use crate::Fidelity;

#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    pub read: bool,
    /// Some predicates can be sent (which: `Extract::pushdown`).
    pub filter: bool,
    pub limit: bool,
    /// One table over several connections at once.
    pub parallel_read: bool,
    /// All splits of a read see one moment.
    pub consistent_splits: bool,
    pub load: bool,
    pub append: bool,
    pub merge: bool,
    /// Readers of a replaced target see old or new, never neither.
    pub atomic_replace: bool,
    /// Native SQL.
    pub execute: bool,
    /// `execute` binds parameters.
    pub parameters: bool,
    pub views: bool,
    /// Schemas can be created in it.
    pub schemas: bool,
    pub tls: bool,
    pub unix_socket: bool,
    /// Dropping a stream stops the query on the server.
    pub cancel: bool,
}

/// One row of a connector's reading table: how a source type becomes Arrow. For docs and for the type tests.
#[derive(Clone, Copy, Debug)]
pub struct SourceType {
    /// As in the system's manual, e.g. `numeric(p,s)`, p ≤ 38.
    pub name: &'static str,
    /// The Arrow type, as people write it, e.g. `Decimal128(p, s)`.
    pub arrow: &'static str,
    pub fidelity: Fidelity,
    /// What is kept or lost, where that isn't plain. May be empty.
    pub note: &'static str,
}

/// One row of a connector's writing table: the column type that an Arrow type gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetType {
    pub sql: String,
    pub fidelity: Fidelity,
    pub note: &'static str,
}
impl TargetType {
    pub fn exact(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), fidelity: Fidelity::Exact, note: "" }
    }
    pub fn widened(sql: impl Into<String>, note: &'static str) -> Self {
        Self { sql: sql.into(), fidelity: Fidelity::Widened, note }
    }
    pub fn lossy(sql: impl Into<String>, note: &'static str) -> Self {
        Self { sql: sql.into(), fidelity: Fidelity::Lossy, note }
    }
}
