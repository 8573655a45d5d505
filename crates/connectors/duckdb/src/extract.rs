//! Reading tables: one statement, run by all of DuckDB's threads.

use crate::catalog::transported;
use crate::connector::Duck;
use crate::dialect::{DUCKDB, relation_sql};
use crate::pushdown::{answer, write};
use crate::stream::{Query, stream};
use crate::types::field;
use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{
    ArrowStream, Error, Extract, Predicate, Pushdown, ReadContext, Result, ResultExt, ScanPlan, ScanRequest, Split,
    TableInfo, TypePolicy,
};

#[derive(Serialize, Deserialize)]
struct Payload {
    relation: String,
    /// Name, DuckDB's type, Arrow's type in its own spelling.
    columns: Vec<(String, String, String)>,
    types: TypePolicy,
}

#[async_trait]
impl Extract for Duck {
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        predicates.iter().map(|p| answer(table, p, self.settings().types)).collect()
    }

    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let schema = request.schema();
        let source = |f: &arrow::datatypes::Field| f.metadata().get(SOURCE_TYPE_KEY).cloned().unwrap_or_default();
        let list: Vec<String> = schema.fields().iter().map(|f| transported(f.name(), &source(f))).collect();
        let conditions = request
            .predicates
            .iter()
            .map(|p| write(&request.table, p, request.types))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| Error::internal(format!("a filter that cannot be sent was asked for: {why}")))?;
        let sql = DUCKDB.select(&list, &relation_sql(&request.table.relation), &conditions, request.limit);
        let payload = Payload {
            relation: request.table.relation.to_string(),
            columns: schema.fields().iter().map(|f| (f.name().clone(), source(f), f.data_type().to_string())).collect(),
            types: request.types,
        };
        let split = Split {
            payload: serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?,
            sql,
            row_estimate: request.limit.or(request.table.row_estimate),
        };
        Ok(ScanPlan { schema, splits: vec![split], guard: None })
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let p: Payload = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal(format!("not a split of the duckdb connector: {e}")))?;
        let fields = p
            .columns
            .iter()
            .map(|(name, source, arrow)| Ok(field(name, source, &arrow.parse::<DataType>()?)))
            .collect::<Result<Vec<_>>>()?;
        let query = Query {
            before: vec![],
            sql: split.sql.clone(),
            params: vec![],
            schema: Some(Arc::new(Schema::new(fields))),
            types: p.types,
        };
        let relation = p.relation;
        let s = stream(self, query, ctx).await.on_relation(&relation)?;
        Ok(s.map_error(move |e| e.relation(&relation)))
    }
}
