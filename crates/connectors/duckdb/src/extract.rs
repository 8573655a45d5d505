//! Reading tables: one statement, run by all of DuckDB's threads.

use crate::catalog::transported;
use crate::connector::Duck;
use crate::dialect::{DUCKDB, relation_sql};
use crate::pushdown::{answer, write};
use crate::query::Queries;
use crate::stream::{Query, stream};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::{
    ArrowStream, Error, Extract, Predicate, Pushdown, ReadContext, Result, ResultExt, ScanPlan, ScanRequest, Split,
    TableInfo, TypePolicy,
};
use xdb_sql::query::render;

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    /// In Arrow's own spelling.
    arrow: String,
    nullable: bool,
    metadata: HashMap<String, String>,
}
impl Column {
    fn new(f: &Field) -> Self {
        let (name, arrow) = (f.name().clone(), f.data_type().to_string());
        Self { name, arrow, nullable: f.is_nullable(), metadata: f.metadata().clone() }
    }
    fn field(&self) -> Result<Field> {
        let t = self.arrow.parse::<DataType>()?;
        Ok(Field::new(&self.name, t, self.nullable).with_metadata(self.metadata.clone()))
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    relation: String,
    columns: Vec<Column>,
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
            columns: schema.fields().iter().map(|f| Column::new(f)).collect(),
            types: request.types,
        };
        let split = Split {
            payload: serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?,
            sql,
            row_estimate: request.limit.or(request.table.row_estimate),
        };
        Ok(ScanPlan { schema, splits: vec![split], guard: None })
    }

    fn accepts(&self, query: &xdb_core::Query) -> Result<(), String> {
        if self.settings().types == TypePolicy::Lossy {
            return Err("under `types: lossy` some values become NULL".into());
        }
        render(query, &Queries).map(|_| ())
    }

    async fn plan_query(&self, query: &xdb_core::Query) -> Result<ScanPlan> {
        let rendered =
            render(query, &Queries).map_err(|why| Error::unsupported(format!("a query cannot be sent: {why}")))?;
        let relations: Vec<String> = query.tables().iter().map(|t| t.relation.to_string()).collect();
        let payload = Payload {
            relation: relations.join(", "),
            columns: query.items.iter().map(|i| Column::new(&i.field)).collect(),
            types: TypePolicy::Exact,
        };
        let payload = serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?;
        let split = Split { payload, sql: rendered.sql, row_estimate: None };
        Ok(ScanPlan { schema: query.schema(), splits: vec![split], guard: None })
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let p: Payload = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal(format!("not a split of the duckdb connector: {e}")))?;
        let fields = p.columns.iter().map(Column::field).collect::<Result<Vec<_>>>()?;
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
