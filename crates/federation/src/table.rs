//! A remote relation as a DataFusion table.

use crate::{RemoteRead, RemoteScanExec, convert, to_datafusion};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, Session, TableProvider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use xdb_core::{Error, Extract, Predicate, Pushdown, Result, ScanRequest, TableInput};

/// Asks its connector what it can filter, and scans only what the plan needs.
#[derive(Debug)]
pub struct RemoteTable {
    input: TableInput,
}

impl RemoteTable {
    pub fn new(input: TableInput) -> Self {
        Self { input }
    }

    pub(crate) fn input(&self) -> &TableInput {
        &self.input
    }

    /// Whether the source returns exactly the rows that meet `filter`.
    pub(crate) fn is_exact(&self, filter: &Expr) -> bool {
        self.classify(&[filter]).iter().all(|(_, answer)| *answer == Pushdown::Exact)
    }

    /// Whether a scan is sent `filter` in some form.
    pub(crate) fn sends(&self, filter: &Expr) -> bool {
        self.classify(&[filter]).iter().all(|(p, _)| p.is_some())
    }

    fn extract(&self) -> Result<&dyn Extract> {
        self.input.connector.extract().ok_or_else(|| {
            Error::unsupported(format!("{} cannot be read from", self.input.connector.def().title))
                .connection(&self.input.connection)
        })
    }

    /// Each filter as a predicate with the connector's answer.
    fn classify(&self, filters: &[&Expr]) -> Vec<(Option<Predicate>, Pushdown)> {
        let table = &self.input.table;
        let Ok(extract) = self.extract() else {
            return filters.iter().map(|_| (None, Pushdown::no("not readable"))).collect();
        };
        filters
            .iter()
            .map(|f| {
                if !self.input.pushdown.is_on() {
                    return (None, Pushdown::no("pushdown is off"));
                }
                match convert::predicate(f, &table.schema) {
                    None => (None, Pushdown::no("not a comparison of a column with a constant")),
                    Some(p) => {
                        let answer = extract.pushdown(table, std::slice::from_ref(&p)).pop();
                        let answer = answer.unwrap_or_else(|| Pushdown::no("no answer"));
                        (answer.is_sent().then_some(p), answer)
                    }
                }
            })
            .collect()
    }
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        self.input.table.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(self
            .classify(filters)
            .into_iter()
            .map(|(_, answer)| match answer {
                Pushdown::Exact => TableProviderFilterPushDown::Exact,
                // Also for filters that aren't sent: they then reach `scan`, which records why for `explain`.
                Pushdown::Inexact | Pushdown::No(_) => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }
    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let extract = self.extract().map_err(to_datafusion)?;
        let refs: Vec<&Expr> = filters.iter().collect();
        let mut predicates = Vec::new();
        let mut not_pushed = Vec::new();
        let mut all_exact = true;
        for (filter, (predicate, answer)) in filters.iter().zip(self.classify(&refs)) {
            all_exact &= answer == Pushdown::Exact;
            predicates.extend(predicate);
            if let Pushdown::No(why) = answer {
                not_pushed.push((filter.to_string(), why));
            }
        }
        // A whole-relation limit is cheapest as one statement.
        let limit = limit.filter(|_| all_exact && self.input.pushdown.is_on()).map(|n| n as u64);
        let mut permits = Vec::new();
        if limit.is_none() {
            while permits.len() + 1 < self.input.parallelism {
                match self.input.spare.clone().try_acquire_owned() {
                    Ok(p) => permits.push(p),
                    Err(_) => break,
                }
            }
        }
        let selectivity: f64 = predicates.iter().map(selectivity).product();
        let request = ScanRequest {
            table: self.input.table.clone(),
            projection: projection.cloned(),
            predicates,
            limit,
            parallelism: permits.len() + 1,
            types: self.input.types,
        };
        let rows = self.input.table.row_estimate.map(|n| {
            let n = (n as f64 * selectivity).ceil() as usize;
            limit.map_or(n, |l| n.min(l as usize))
        });
        let input = self.input.clone();
        let expected = extract.expected_splits(&request);
        let scan = match expected {
            Some(n) => RemoteScanExec::new(input, RemoteRead::Table(request), n, permits, rows, not_pushed),
            None => {
                let plan = extract.plan(&request).await.map_err(|e| to_datafusion(e.connection(&input.connection)))?;
                RemoteScanExec::planned(input, RemoteRead::Table(request), plan, permits, rows, not_pushed)
            }
        };
        Ok(Arc::new(scan))
    }
}

/// A guess at the share of rows that pass, for join order only; the classic System R constants.
pub fn selectivity(p: &Predicate) -> f64 {
    use xdb_core::CompareOp;
    match p {
        Predicate::Compare { op: CompareOp::Eq, .. } => 0.1,
        Predicate::Compare { op: CompareOp::NotEq, .. } => 0.9,
        Predicate::Compare { .. } => 1.0 / 3.0,
        Predicate::In { values, negated: false, .. } => (0.1 * values.len() as f64).min(0.5),
        Predicate::In { .. } => 0.9,
        Predicate::IsNull { negated, .. } => {
            if *negated {
                0.9
            } else {
                0.1
            }
        }
        Predicate::StartsWith { negated, .. } => {
            if *negated {
                0.9
            } else {
                0.1
            }
        }
        Predicate::And(ps) => ps.iter().map(selectivity).product(),
        Predicate::Or(ps) => ps.iter().map(selectivity).sum::<f64>().min(1.0),
        Predicate::Not(p) => 1.0 - selectivity(p),
    }
}

/// Make `input` known to `ctx` under its federated name.
pub fn register(ctx: &SessionContext, input: TableInput) -> Result<()> {
    let [catalog, schema, name] = input.federated_name();
    let state = ctx.state_ref();
    let catalogs = state.read().catalog_list().clone();
    let cat: Arc<dyn CatalogProvider> = match catalogs.catalog(&catalog) {
        Some(c) => c,
        None => {
            let c: Arc<dyn CatalogProvider> = Arc::new(MemoryCatalogProvider::new());
            catalogs.register_catalog(catalog, c.clone());
            c
        }
    };
    let df = |e| crate::from_datafusion(e, "datafusion");
    let sch = match cat.schema(&schema) {
        Some(s) => s,
        None => {
            let s = Arc::new(MemorySchemaProvider::new());
            cat.register_schema(&schema, s.clone()).map_err(df)?;
            s
        }
    };
    if !sch.table_exist(&name) {
        sch.register_table(name, Arc::new(RemoteTable::new(input))).map_err(df)?;
    }
    Ok(())
}
