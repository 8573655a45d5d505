//! Reading tables: one split, one statement, and so one moment.

use crate::connection::Purpose;
use crate::connector::Sqlite;
use crate::dialect::{SQLITE, relation_sql};
use crate::pushdown::{answer, condition};
use crate::query::Queries;
use crate::stream::{Query, stream};
use crate::types::Kind;
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use xdb_core::{
    ArrowStream, Error, Extract, Predicate, Pushdown, ReadContext, Result, ResultExt, ScanPlan, ScanRequest, Split,
    TableInfo, TypePolicy,
};
use xdb_sql::query::render;

/// A column of the stream.
#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
    metadata: HashMap<String, String>,
}
impl Column {
    fn new(f: &Field) -> Result<Self> {
        let (name, metadata) = (f.name().clone(), f.metadata().clone());
        Ok(Self { name, kind: Kind::of(f)?, nullable: f.is_nullable(), metadata })
    }
    fn field(&self) -> Field {
        Field::new(&self.name, self.kind.data_type(), self.nullable).with_metadata(self.metadata.clone())
    }
}

/// Everything that reading a split needs: the columns as they were described, so that the stream has the plan's schema
/// whatever was altered since.
#[derive(Serialize, Deserialize)]
struct Payload {
    relation: String,
    columns: Vec<Column>,
    types: TypePolicy,
}

#[async_trait]
impl Extract for Sqlite {
    fn pushdown(&self, table: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        predicates.iter().map(|p| answer(table, p, self.settings().types)).collect()
    }

    async fn plan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let schema = request.schema();
        let columns: Vec<String> = request.column_names().into_iter().map(|c| SQLITE.ident(c)).collect();
        let conditions: Vec<String> =
            request.predicates.iter().filter_map(|p| condition(&request.table, p, request.types)).collect();
        let sql = SQLITE.select(&columns, &relation_sql(&request.table.relation), &conditions, request.limit);
        let payload = Payload {
            relation: request.table.relation.to_string(),
            columns: schema.fields().iter().map(|f| Column::new(f)).collect::<Result<_>>()?,
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
            return Err("under `types: lossy` a value that doesn't fit its column becomes NULL".into());
        }
        render(query, &Queries).map(|_| ())
    }

    async fn plan_query(&self, query: &xdb_core::Query) -> Result<ScanPlan> {
        let rendered =
            render(query, &Queries).map_err(|why| Error::unsupported(format!("a query cannot be sent: {why}")))?;
        let relations: Vec<String> = query.tables().iter().map(|t| t.relation.to_string()).collect();
        let payload = Payload {
            relation: relations.join(", "),
            columns: query.items.iter().map(|i| Column::new(&i.field)).collect::<Result<_>>()?,
            types: TypePolicy::Exact,
        };
        let payload = serde_json::to_value(payload).map_err(|e| Error::internal(e.to_string()))?;
        let split = Split { payload, sql: rendered.sql, row_estimate: None };
        Ok(ScanPlan { schema: query.schema(), splits: vec![split], guard: None })
    }

    async fn read(&self, split: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let p: Payload = serde_json::from_value(split.payload.clone())
            .map_err(|e| Error::internal(format!("not a split of the sqlite connector: {e}")))?;
        let fields: Vec<_> = p.columns.iter().map(Column::field).collect();
        let query = Query {
            before: vec![],
            sql: split.sql.clone(),
            params: vec![],
            schema: Some(Arc::new(Schema::new(fields))),
            types: p.types,
            purpose: Purpose::Read,
        };
        let relation = p.relation;
        let s = stream(self.settings(), query, ctx).await.on_relation(&relation)?;
        Ok(s.map_error(move |e| e.relation(&relation)))
    }
}
