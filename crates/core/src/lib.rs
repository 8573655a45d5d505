//! What every other crate agrees on: the Arrow stream, the connector and engine traits, predicates, errors, secrets,
//! parameters, capabilities and the registry.
//!
//! Depends on Arrow and nothing heavier, so that a connector crate compiles in seconds. No driver, no SQL text, no
//! file format and no printing lives here.

pub mod capability;
pub mod connector;
pub mod engine;
pub mod error;
pub mod load;
pub mod names;
pub mod params;
pub mod predicate;
pub mod query;
pub mod registry;
pub mod relation;
pub mod scan;
pub mod secret;
pub mod stats;
pub mod stream;
pub mod types;

pub use capability::{Capabilities, SourceType, TargetType};
pub use connector::{
    Connector, ConnectorConfig, ConnectorDef, ContextId, Execute, Extract, Load, ServerInfo, file_to_be_made,
};
pub use engine::{
    Engine, EngineDef, EngineInput, EngineOptions, EngineSession, Explanation, Naming, PushdownChoice, PushdownMode,
    TableInput,
};
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use load::{LoadOptions, LoadReport, LoadSession, WriteMode};
pub use params::{ParamKind, ParamSpec, Params, RawParams};
pub use predicate::{CompareOp, Literal, Predicate, Pushdown};
pub use query::{
    AggregateFunction, Query, QueryAggregate, QueryArithmetic, QueryColumn, QueryDatePart, QueryExpr, QueryItem,
    QueryJoin, QueryOrder, QuerySource, ReadEstimate,
};
pub use registry::Registry;
pub use relation::{ColumnInfo, Relation, RelationInfo, RelationKind, RelationPattern, TableInfo};
pub use scan::{ReadContext, ScanGuard, ScanPlan, ScanRequest, Split};
pub use secret::Secret;
pub use stats::IoStats;
pub use stream::{ArrowStream, PanicFlag};
pub use types::{Fidelity, LogicalType, TypePolicy};
