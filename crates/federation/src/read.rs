//! What a remote scan reads: rows of one relation, or the answer to a query; and how more conditions are added to it.

use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use xdb_core::{Extract, Predicate, Pushdown, Query, QueryExpr, Result, ScanPlan, ScanRequest};

#[derive(Clone, Debug)]
pub enum RemoteRead {
    /// Rows of the input's own relation.
    Table(ScanRequest),
    /// The answer to a query that the connector has accepted.
    Query(Arc<Query>),
}

impl RemoteRead {
    /// As the source returns it.
    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Table(r) => r.schema(),
            Self::Query(q) => q.schema(),
        }
    }

    /// What is read, for people.
    pub(crate) fn relation(&self) -> String {
        match self {
            Self::Table(r) => r.table.relation.to_string(),
            Self::Query(q) => {
                let mut names: Vec<String> = Vec::new();
                for t in q.tables() {
                    let name = t.relation.to_string();
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                names.join(", ")
            }
        }
    }

    /// Whether rows may be left out by their value in an output column: leaving out whole groups is right, fewer rows
    /// under a limit are other rows.
    pub(crate) fn can_filter(&self, column: usize) -> bool {
        match self {
            Self::Table(r) => r.limit.is_none(),
            Self::Query(q) => {
                let item = q.items.get(column);
                q.limit.is_none() && item.is_some_and(|i| q.groups.as_ref().is_none_or(|g| g.contains(&i.expr)))
            }
        }
    }

    /// Whether the source can be asked to filter by `p`, on columns of [`RemoteRead::schema`].
    pub(crate) fn accepts(&self, extract: &dyn Extract, p: &Predicate) -> Pushdown {
        match self {
            Self::Table(r) => {
                let answer = extract.pushdown(&r.table, std::slice::from_ref(p)).pop();
                answer.unwrap_or_else(|| Pushdown::no("no answer"))
            }
            Self::Query(q) => match with(q, std::slice::from_ref(p)).map(|q| extract.accepts(&q)) {
                Some(Ok(())) => Pushdown::Exact,
                Some(Err(why)) => Pushdown::No(why),
                None => Pushdown::no("not a condition on the query's own columns"),
            },
        }
    }

    /// The read, of the rows only that meet `more` (each of which was accepted).
    pub(crate) async fn plan(&self, extract: &dyn Extract, more: &[Predicate]) -> Result<ScanPlan> {
        match self {
            Self::Table(r) if more.is_empty() => extract.plan(r).await,
            Self::Table(r) => {
                let mut r = r.clone();
                r.predicates.extend(more.iter().cloned());
                extract.plan(&r).await
            }
            Self::Query(q) => match with(q, more) {
                // Conditions that are accepted one by one are not always accepted together.
                Some(narrow) if !more.is_empty() && extract.accepts(&narrow).is_ok() => {
                    extract.plan_query(&narrow).await
                }
                _ => extract.plan_query(q).await,
            },
        }
    }
}

/// `q` with conditions on what its items are made of.
fn with(q: &Query, more: &[Predicate]) -> Option<Query> {
    let mut out = q.clone();
    for p in more {
        out.filter.push(condition(q, p)?);
    }
    Some(out)
}

fn condition(q: &Query, p: &Predicate) -> Option<QueryExpr> {
    let item = |name: &str| {
        let i = q.items.iter().find(|i| i.field.name() == name)?;
        Some((Box::new(i.expr.clone()), i.expr.data_type()))
    };
    Some(match p {
        Predicate::Compare { column, op, value } => {
            let (left, ty) = item(column)?;
            let right = Box::new(QueryExpr::Literal { value: value.clone(), ty });
            QueryExpr::Compare { op: *op, left, right }
        }
        Predicate::In { column, values, negated } => {
            let (expr, ty) = item(column)?;
            let list = values.iter().map(|v| QueryExpr::Literal { value: v.clone(), ty: ty.clone() }).collect();
            QueryExpr::In { expr, list, negated: *negated }
        }
        Predicate::And(ps) => QueryExpr::And(ps.iter().map(|p| condition(q, p)).collect::<Option<_>>()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};
    use xdb_core::{CompareOp, Literal, QueryColumn, QueryItem, QuerySource};

    #[test]
    fn a_condition_on_an_item_is_one_on_what_it_is_made_of() {
        let field = Arc::new(Field::new("n", DataType::Int64, true));
        let column = QueryExpr::Column(QueryColumn {
            source: "t0".into(),
            name: "id".into(),
            field: Arc::new(Field::new("id", DataType::Int64, true)),
            info: None,
        });
        let from = QuerySource::Union { inputs: vec![], alias: "t0".into() };
        let q = Query::over(from, vec![QueryItem { field, expr: column.clone() }]);
        let p = Predicate::In { column: "n".into(), values: vec![Literal::Int(1)], negated: false };
        let got = with(&q, std::slice::from_ref(&p)).unwrap_or_else(|| panic!("not taken"));
        let list = vec![QueryExpr::Literal { value: Literal::Int(1), ty: DataType::Int64 }];
        assert_eq!(got.filter, [QueryExpr::In { expr: Box::new(column.clone()), list, negated: false }]);
        let eq = Predicate::Compare { column: "id".into(), op: CompareOp::Eq, value: Literal::Int(1) };
        assert!(with(&q, &[eq]).is_none(), "its items are named otherwise");

        let read = |q: &Query| RemoteRead::Query(Arc::new(q.clone()));
        assert!(read(&q).can_filter(0));
        assert!(!read(&Query { limit: Some(3), ..q.clone() }).can_filter(0));
        assert!(!read(&Query { groups: Some(vec![]), ..q.clone() }).can_filter(0));
        assert!(read(&Query { groups: Some(vec![column]), ..q }).can_filter(0));
    }
}
