//! Linking nodes by their references, and walking what comes of it.

use crate::node::{Node, NodeId, ResourceType, source_id};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use xdb_core::names::suggest;
use xdb_core::{Error, Result};

/// Nodes with their edges: acyclic, every reference resolved.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<NodeId, Node>,
    disabled: BTreeMap<NodeId, Node>,
    parents: BTreeMap<NodeId, BTreeSet<NodeId>>,
    children: BTreeMap<NodeId, BTreeSet<NodeId>>,
    order: Vec<NodeId>,
}

impl Graph {
    /// Link `nodes`. Errors: two nodes with one id, a reference to a node that isn't there or is disabled (with the
    /// file, the line and the nearest name), a cycle (with its path).
    pub fn build(nodes: Vec<Node>) -> Result<Self> {
        let mut graph = Self::default();
        for node in nodes {
            let home = if node.enabled { &mut graph.nodes } else { &mut graph.disabled };
            if let Some(other) = home.get(&node.id) {
                return Err(Error::config(format!(
                    "two {}s are named `{}`: {} and {}",
                    node.resource_type,
                    node.name,
                    other.path.display(),
                    node.path.display()
                ))
                .at(node.path.display(), 0)
                .hint("rename one of the files: a model's name is its file's"));
            }
            home.insert(node.id.clone(), node);
        }
        graph.link()?;
        graph.order = graph.sort()?;
        Ok(graph)
    }

    fn link(&mut self) -> Result<()> {
        for (id, node) in &self.nodes {
            let mut up = BTreeSet::new();
            for r in &node.refs {
                let found = self
                    .find_ref(r.package.as_deref(), &r.name, &node.package)
                    .map_err(|e| e.at(node.path.display(), r.line).model(node.name.clone()))?;
                up.insert(found.id.clone());
            }
            for s in &node.sources {
                let found = self
                    .find_source(&s.source, &s.table, &node.package)
                    .map_err(|e| e.at(node.path.display(), s.line).model(node.name.clone()))?;
                up.insert(found.id.clone());
            }
            for parent in &up {
                self.children.entry(parent.clone()).or_default().insert(id.clone());
            }
            self.parents.insert(id.clone(), up);
        }
        Ok(())
    }

    /// The node that `ref(name)` or `ref(package, name)` means, seen from `from_package`: a model, else a seed, else a
    /// snapshot. Errors: none so named (with the nearest), or a disabled one.
    pub fn find_ref(&self, package: Option<&str>, name: &str, from_package: &str) -> Result<&Node> {
        let kinds = [ResourceType::Model, ResourceType::Seed, ResourceType::Snapshot];
        let find = |nodes: &'_ BTreeMap<NodeId, Node>, package: &str| {
            kinds.iter().map(|k| format!("{k}.{package}.{name}")).find(|id| nodes.contains_key(id))
        };
        let id = find(&self.nodes, package.unwrap_or(from_package)).or_else(|| match package {
            Some(_) => None,
            // As dbt: one's own package first, then any.
            None => {
                self.nodes.values().find(|n| n.name == name && kinds.contains(&n.resource_type)).map(|n| n.id.clone())
            }
        });
        if let Some(node) = id.and_then(|id| self.nodes.get(&id)) {
            return Ok(node);
        }
        let shown = match package {
            Some(p) => format!("{p}.{name}"),
            None => name.to_string(),
        };
        if find(&self.disabled, package.unwrap_or(from_package)).is_some() {
            return Err(Error::config(format!("ref('{shown}'): this model is disabled"))
                .hint(format!("set `enabled: true` for `{name}`, or remove the reference")));
        }
        let e = Error::config(format!("ref('{shown}'): there is no model, seed or snapshot of that name"));
        let names: BTreeSet<&str> =
            self.nodes.values().filter(|n| kinds.contains(&n.resource_type)).map(|n| n.name.as_str()).collect();
        if let Some(p) = package
            && !self.nodes.values().any(|n| n.package == p)
        {
            let packages: BTreeSet<&str> = self.nodes.values().map(|n| n.package.as_str()).collect();
            return Err(with_hint(
                Error::config(format!("ref('{p}', '{name}'): there is no package `{p}`")),
                suggest(p, packages),
            ));
        }
        Err(with_hint(e, suggest(name, names)))
    }

    /// The node that `source(source, table)` means. Errors: no such source or no such table in it, with the nearest.
    pub fn find_source(&self, source: &str, table: &str, from_package: &str) -> Result<&Node> {
        if let Some(n) = self.nodes.get(&source_id(from_package, source, table)) {
            return Ok(n);
        }
        let sources = || self.nodes.values().filter(|n| n.resource_type == ResourceType::Source);
        if let Some(n) = sources().find(|n| n.source_name.as_deref() == Some(source) && n.name == table) {
            return Ok(n);
        }
        let disabled = self.disabled.values().any(|n| n.source_name.as_deref() == Some(source) && n.name == table);
        if disabled {
            return Err(Error::config(format!("source('{source}', '{table}'): this source is disabled")));
        }
        let tables: BTreeSet<&str> =
            sources().filter(|n| n.source_name.as_deref() == Some(source)).map(|n| n.name.as_str()).collect();
        if tables.is_empty() {
            let names: BTreeSet<&str> = sources().filter_map(|n| n.source_name.as_deref()).collect();
            let none = names.is_empty();
            let e = with_hint(
                Error::config(format!("source('{source}', '{table}'): there is no source `{source}`")),
                suggest(source, names),
            );
            return Err(if none { e.hint("declare it under `sources:` in a .yml file among the models") } else { e });
        }
        Err(with_hint(
            Error::config(format!("source('{source}', '{table}'): source `{source}` has no table `{table}`")),
            suggest(table, tables),
        ))
    }

    /// Kahn's algorithm, always taking the smallest name of those that are ready, so that the order is stable.
    fn sort(&self) -> Result<Vec<NodeId>> {
        let mut waiting: BTreeMap<&str, usize> = self.parents.iter().map(|(id, up)| (id.as_str(), up.len())).collect();
        let mut ready: BTreeSet<&str> = waiting.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
        let mut out = Vec::with_capacity(waiting.len());
        while let Some(id) = ready.pop_first() {
            waiting.remove(id);
            out.push(id.to_string());
            for child in self.children.get(id).into_iter().flatten() {
                if let Some(n) = waiting.get_mut(child.as_str()) {
                    *n -= 1;
                    if *n == 0 {
                        ready.insert(child);
                    }
                }
            }
        }
        match waiting.is_empty() {
            true => Ok(out),
            false => Err(self.cycle_error(waiting.keys().copied().collect())),
        }
    }

    /// `stuck` holds every cycle, and what hangs below one: follow parents that are stuck too until one comes again.
    fn cycle_error(&self, stuck: BTreeSet<&str>) -> Error {
        let mut path: Vec<&str> = Vec::new();
        let mut at = stuck.first().copied().unwrap_or_default();
        while !path.contains(&at) {
            path.push(at);
            let up = self.parents.get(at).into_iter().flatten().map(String::as_str).find(|p| stuck.contains(p));
            at = up.unwrap_or(at);
        }
        let start = path.iter().position(|p| *p == at).unwrap_or(0);
        let mut cycle: Vec<&str> = path[start..].to_vec();
        // Parents were followed; data flows the other way. Begin at the smallest name, so that the text is stable.
        cycle.reverse();
        if let Some(least) = cycle.iter().enumerate().min_by_key(|(_, id)| **id).map(|(i, _)| i) {
            cycle.rotate_left(least);
        }
        let name = |id: &str| self.nodes.get(id).map_or(id.to_string(), |n| n.name.clone());
        let mut names: Vec<String> = cycle.iter().map(|id| name(id)).collect();
        names.extend(names.first().cloned());
        let mut e = Error::config(format!("the models form a cycle: {}", names.join(" -> ")))
            .hint("a -> b means that b reads a; remove one of these references");
        // Where the first step stands: the file that refers to the cycle's first node.
        let (first, second) = (cycle.first().copied(), cycle.get(1).or(cycle.first()).copied());
        if let (Some(first), Some(reader)) =
            (first.and_then(|f| self.nodes.get(f)), second.and_then(|s| self.nodes.get(s)))
        {
            let line = reader.refs.iter().find(|r| r.name == first.name).map_or(0, |r| r.line);
            e = e.at(reader.path.display(), line);
        }
        e
    }

    /// Every enabled node, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }
    /// Nodes with `enabled: false`.
    pub fn disabled(&self) -> impl Iterator<Item = &Node> {
        self.disabled.values()
    }
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// What `id` reads directly.
    pub fn parents(&self, id: &str) -> impl Iterator<Item = &NodeId> {
        self.parents.get(id).into_iter().flatten()
    }
    /// What reads `id` directly.
    pub fn children(&self, id: &str) -> impl Iterator<Item = &NodeId> {
        self.children.get(id).into_iter().flatten()
    }
    /// All that `id` depends on, without itself; at most `depth` steps away where given.
    pub fn ancestors(&self, id: &str, depth: Option<usize>) -> BTreeSet<NodeId> {
        Self::walk(&self.parents, id, depth)
    }
    /// All that depends on `id`, without itself; at most `depth` steps away where given.
    pub fn descendants(&self, id: &str, depth: Option<usize>) -> BTreeSet<NodeId> {
        Self::walk(&self.children, id, depth)
    }
    /// Every node after all it depends on. Stable: the same graph gives the same order.
    pub fn topological(&self) -> &[NodeId] {
        &self.order
    }

    fn walk(edges: &BTreeMap<NodeId, BTreeSet<NodeId>>, from: &str, depth: Option<usize>) -> BTreeSet<NodeId> {
        let mut seen: BTreeSet<NodeId> = BTreeSet::new();
        let mut queue = VecDeque::from([(from, 0usize)]);
        while let Some((id, steps)) = queue.pop_front() {
            if depth.is_some_and(|d| steps >= d) {
                continue;
            }
            for next in edges.get(id).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        seen
    }
}

fn with_hint(e: Error, hint: Option<String>) -> Error {
    match hint {
        Some(h) => e.hint(h),
        None => e,
    }
}
