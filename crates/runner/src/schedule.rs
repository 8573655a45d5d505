//! Runs nodes in dependency order, some at a time. Knows nothing of what a node does.

use crate::results::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How a node that never started came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotRun {
    /// The failed node it depends on, directly or not.
    Skipped(String),
    Cancelled,
}

pub(crate) struct Plan {
    /// In the order they should start where nothing else decides.
    pub order: Vec<String>,
    /// For each node, the nodes of `order` that it waits for (direct parents; others are ignored).
    pub parents: BTreeMap<String, BTreeSet<String>>,
    pub threads: usize,
    pub fail_fast: bool,
}

/// Run every node once its parents have succeeded. `start` makes a node's future; `not_run` is told of each node that
/// won't run. A failed node's descendants are skipped and the rest goes on, unless `fail_fast`. When `cancel` fires no
/// new node starts; running ones are expected to see the same token and finish. `stop` is fired for them on fail-fast.
pub(crate) async fn run<R, F>(
    plan: Plan,
    cancel: &CancellationToken,
    stop: &CancellationToken,
    mut start: impl FnMut(usize, &str) -> F,
    mut status: impl FnMut(&str, R) -> Status,
    mut not_run: impl FnMut(usize, &str, NotRun),
) where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut waiting: Vec<String> = plan.order.clone();
    let mut done: BTreeMap<String, Option<String>> = BTreeMap::new(); // id -> the failed node behind it
    let mut running: JoinSet<(String, R)> = JoinSet::new();
    let mut names: BTreeMap<tokio::task::Id, String> = BTreeMap::new();
    let mut index = 0;
    let mut halted = false;
    loop {
        halted |= cancel.is_cancelled() || stop.is_cancelled();
        let mut i = 0;
        while i < waiting.len() {
            let id = waiting[i].clone();
            let parents: Vec<&String> =
                plan.parents.get(&id).into_iter().flatten().filter(|p| plan.order.contains(p)).collect();
            let failed = parents.iter().find_map(|p| done.get(*p).cloned().flatten());
            if let Some(because) = failed {
                waiting.remove(i);
                index += 1;
                not_run(index, &id, NotRun::Skipped(because.clone()));
                done.insert(id, Some(because));
                // A later node in the list may now be skippable; an earlier one can't depend on this.
                continue;
            }
            if halted {
                waiting.remove(i);
                index += 1;
                not_run(index, &id, NotRun::Cancelled);
                continue;
            }
            if running.len() < plan.threads.max(1) && parents.iter().all(|p| done.contains_key(*p)) {
                waiting.remove(i);
                index += 1;
                let future = start(index, &id);
                let name = id.clone();
                let handle = running.spawn(async move { (name, future.await) });
                names.insert(handle.id(), id);
                continue;
            }
            i += 1;
        }
        let Some(joined) = running.join_next_with_id().await else { break };
        match joined {
            Ok((_, (id, result))) => {
                let ok = status(&id, result) == Status::Success;
                if !ok && plan.fail_fast {
                    stop.cancel();
                }
                done.insert(id.clone(), (!ok).then_some(id));
            }
            Err(e) => {
                // The node's task panicked: a bug, reported as this node's failure by its caller's absence of a result.
                let id = names.get(&e.id()).cloned().unwrap_or_default();
                done.insert(id.clone(), Some(id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};

    async fn go(
        edges: &[(&str, &[&str])],
        fail: &'static [&'static str],
        threads: usize,
        fail_fast: bool,
    ) -> (Vec<String>, Vec<(String, NotRun)>, usize) {
        let plan = Plan {
            order: edges.iter().map(|(n, _)| n.to_string()).collect(),
            parents: edges.iter().map(|(n, p)| (n.to_string(), p.iter().map(|s| s.to_string()).collect())).collect(),
            threads,
            fail_fast,
        };
        let (cancel, stop) = (CancellationToken::new(), CancellationToken::new());
        let ran = Arc::new(Mutex::new(Vec::new()));
        let skipped = Mutex::new(Vec::new());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        run(
            plan,
            &cancel,
            &stop,
            |_, id| {
                let (id, ran, now, most) = (id.to_string(), ran.clone(), now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    now.fetch_sub(1, SeqCst);
                    ran.lock().unwrap().push(id.clone());
                    !fail.contains(&id.as_str())
                }
            },
            |_, ok| if ok { Status::Success } else { Status::Error },
            |_, id, why| skipped.lock().unwrap().push((id.to_string(), why)),
        )
        .await;
        let ran = ran.lock().unwrap().clone();
        (ran, skipped.into_inner().unwrap(), most.load(SeqCst))
    }

    #[tokio::test]
    async fn a_failure_skips_all_below_it_and_nothing_else() {
        let edges: &[(&str, &[&str])] =
            &[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"]), ("x", &[]), ("y", &["x"])];
        let (mut ran, skipped, _) = go(edges, &["b"], 2, false).await;
        ran.sort();
        assert_eq!(ran, ["a", "b", "x", "y"]);
        let because = NotRun::Skipped("b".into());
        assert_eq!(skipped, [("c".to_string(), because.clone()), ("d".to_string(), because)]);
    }

    #[tokio::test]
    async fn threads_bound_what_runs_at_once_and_parents_come_first() {
        let edges: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["a", "b", "c"])];
        let (ran, _, most) = go(edges, &[], 2, false).await;
        assert_eq!((most, ran.last().unwrap().as_str()), (2, "d"));
    }

    #[tokio::test]
    async fn fail_fast_starts_nothing_more() {
        let edges: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &[])];
        let (ran, rest, _) = go(edges, &["a"], 1, true).await;
        assert_eq!(ran, ["a"]);
        assert_eq!(rest.len(), 2);
    }
}
