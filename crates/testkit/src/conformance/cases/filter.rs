//! A predicate that was pushed returns the rows it should: exactly, or at least those, as the connector answered.

use super::not_claimed;
use crate::conformance::values::filter_columns;
use crate::conformance::{Harness, Table, evaluate, predicates_for};
use std::collections::BTreeSet;
use std::sync::Arc;
use xdb_core::{Fidelity, Predicate, Pushdown, ScanRequest, TableInfo};

/// A table of nasty values in the columns that this system can hold, as it describes and returns it.
async fn nasty(h: &Harness) -> (Arc<TableInfo>, Table) {
    let columns = filter_columns().into_iter().filter(|s| {
        (h.connector.def().target_type)(&s.field).is_ok_and(|t| t.fidelity != Fidelity::Lossy) || s.field.name() == "t"
    });
    let mut columns: Vec<_> = columns.collect();
    // Systems without NaN may still hold every other float: then the column `n` goes, the others stay.
    let rel = h.relation("nasty");
    let table = |columns: &[crate::conformance::Sample]| {
        Table::of(columns.iter().map(|s| (s.field.clone(), s.values.clone())).collect())
    };
    if let Err(e) = h.put_as(&rel, &table(&columns), xdb_core::WriteMode::Replace).await {
        assert_eq!(e.kind(), xdb_core::ErrorKind::Type, "{e:?}");
        columns.retain(|s| s.field.name() != "n");
        h.put(&rel, &table(&columns)).await;
    }
    let info = h.describe(&rel).await;
    let data = h.get(&rel).await;
    (info, data)
}

async fn ids_of(h: &Harness, info: &Arc<TableInfo>, predicates: Vec<Predicate>) -> Result<Vec<i64>, xdb_core::Error> {
    let mut request = ScanRequest::all(info.clone());
    request.projection = Some(vec![0]);
    request.predicates = predicates;
    let batches = h.scan(&request).await?;
    let mut ids: Vec<i64> =
        batches.iter().flat_map(|b| crate::conformance::compare::ids(b.column(0)).into_iter().flatten()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// `None` where all is well.
fn verdict(answer: &Pushdown, data: &Table, predicates: &[Predicate], got: &[i64]) -> Option<String> {
    let passes = |row| predicates.iter().all(|p| evaluate(p, data.batch(), row) == Some(true));
    let all = data.ids();
    let want: Vec<i64> = (0..data.rows()).filter(|r| passes(*r)).map(|r| all[r]).collect();
    let got_set: BTreeSet<_> = got.iter().collect();
    if got_set.len() != got.len() {
        return Some(format!("{predicates:?}: a row came twice: {got:?}"));
    }
    let shown = |ids: &[i64]| ids.iter().take(8).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
    let missing: Vec<i64> = want.iter().filter(|i| !got_set.contains(i)).copied().collect();
    if !missing.is_empty() {
        return Some(format!("{predicates:?} ({answer:?}): rows are missing, ids {}", shown(&missing)));
    }
    let extra: Vec<i64> = got.iter().filter(|i| !want.contains(i)).copied().collect();
    if *answer == Pushdown::Exact && !extra.is_empty() {
        return Some(format!("{predicates:?} (Exact): rows too many, ids {}", shown(&extra)));
    }
    None
}

pub async fn pushed_predicates_return_the_right_rows(h: &Harness) {
    if !h.connector.def().capabilities.filter {
        not_claimed!("no filter is pushed");
    }
    let (info, data) = nasty(h).await;
    let mut failures = vec![];
    let mut sent = 0;
    let predicates = predicates_for(&info, &data);
    let answers = h.extract().pushdown(&info, &predicates);
    assert_eq!(answers.len(), predicates.len(), "one answer for each predicate");
    for (p, answer) in predicates.iter().zip(&answers) {
        if let Pushdown::No(why) = answer {
            assert!(!why.is_empty(), "{p:?}: a reason for `xdb explain`");
            continue;
        }
        sent += 1;
        match ids_of(h, &info, vec![p.clone()]).await {
            Ok(got) => failures.extend(verdict(answer, &data, std::slice::from_ref(p), &got)),
            Err(e) => failures.push(format!("{p:?}: {e:?}")),
        }
    }
    assert!(sent > 20, "only {sent} of {} predicates were taken", predicates.len());
    let shown = failures.iter().take(25).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {sent} predicates went wrong:\n{shown}", failures.len());
}

pub async fn pushed_conjunctions_return_the_right_rows(h: &Harness) {
    if !h.connector.def().capabilities.filter {
        not_claimed!("no filter is pushed");
    }
    let (info, data) = nasty(h).await;
    let predicates = predicates_for(&info, &data);
    let answers = h.extract().pushdown(&info, &predicates);
    let sent: Vec<_> = predicates.iter().zip(&answers).filter(|(_, a)| a.is_sent()).collect();
    let mut failures = vec![];
    // Each with one from far down the list, so that different columns and shapes meet; a hundred pairs.
    let step = (sent.len() / 100).max(1);
    for i in (0..sent.len()).step_by(step) {
        let ((p, a), (q, b)) = (sent[i], sent[(i * 7 + sent.len() / 3) % sent.len()]);
        let both = vec![p.clone(), q.clone()];
        let answer = if *a == Pushdown::Exact && *b == Pushdown::Exact { Pushdown::Exact } else { Pushdown::Inexact };
        match ids_of(h, &info, both.clone()).await {
            Ok(got) => failures.extend(verdict(&answer, &data, &both, &got)),
            Err(e) => failures.push(format!("{both:?}: {e:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.iter().take(25).cloned().collect::<Vec<_>>().join("\n"));
}
