//! Table names to files, and folders to table names.

use crate::format::{FileName, Format};
use crate::store::{FileEntry, Store};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use xdb_core::names::{STAGING_PREFIX, suggest};
use xdb_core::{Error, ErrorKind, Relation, RelationInfo, RelationKind, RelationPattern, Result};

/// The schema that stands for the connection's own folder.
pub(crate) const ROOT_SCHEMA: &str = "main";
/// Folders within folders, when listing.
const MAX_DEPTH: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One file.
    File,
    /// All data files directly in a folder.
    Folder,
    Glob,
}

/// The files of one table, sorted by path, all of one format.
#[derive(Clone, Debug)]
pub(crate) struct FileSet {
    pub(crate) shape: Shape,
    pub(crate) format: Format,
    pub(crate) files: Vec<(FileEntry, FileName)>,
}

pub(crate) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name.starts_with(STAGING_PREFIX)
}
/// Part files, and what other systems keep beside them.
fn is_part(name: &str) -> bool {
    !is_hidden(name) && !name.starts_with('_')
}
fn data_file(meta: ObjectMeta) -> Option<(FileEntry, FileName)> {
    let name = meta.location.filename()?;
    let parsed = FileName::parse(name).filter(|_| !is_hidden(name))?;
    Some((meta.into(), parsed))
}

/// The folder that `rel`'s name starts from.
pub(crate) fn folder(store: &Store, rel: &Relation) -> Result<Path> {
    match rel.schema.as_deref() {
        None | Some(ROOT_SCHEMA) => Ok(store.root().clone()),
        Some(s) => store.below(store.root(), s),
    }
}

/// The files of `rel`, or `None`.
pub(crate) async fn find(store: &Store, rel: &Relation) -> Result<Option<FileSet>> {
    let base = folder(store, rel)?;
    if is_glob(&rel.name) {
        return glob(store, &base, &rel.name).await;
    }
    let path = store.below(&base, &rel.name)?;
    if path == base {
        return Err(Error::config("a table needs a name"));
    }
    let last = path.filename().unwrap_or_default().to_string();
    if let Some(name) = FileName::parse(&last) {
        let found = store.head(&path).await?;
        if let Some(file) = found {
            return Ok(Some(FileSet { shape: Shape::File, format: name.format, files: vec![(file, name)] }));
        }
    }
    let parent = path.parent().unwrap_or_default();
    let entries = store.entries(&parent).await?;
    let mut same: Vec<_> = entries.objects.into_iter().filter_map(data_file).filter(|(_, n)| n.stem == last).collect();
    same.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    if let [(a, _), (b, _), ..] = same.as_slice() {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("`{rel}` is two files: {} and {}", store.show(&a.path), store.show(&b.path)),
        )
        .hint(format!("name the one you mean with its extension, e.g. `{}`", a.path.filename().unwrap_or_default())));
    }
    if let Some((file, name)) = same.pop() {
        return Ok(Some(FileSet { shape: Shape::File, format: name.format, files: vec![(file, name)] }));
    }
    if entries.common_prefixes.contains(&path) {
        let parts = store.entries(&path).await?.objects;
        let files = parts.into_iter().filter(|m| m.location.filename().is_some_and(is_part)).filter_map(data_file);
        return one_format(store, Shape::Folder, files.collect());
    }
    Ok(None)
}

async fn glob(store: &Store, base: &Path, pattern: &str) -> Result<Option<FileSet>> {
    let matcher = glob::Pattern::new(pattern)
        .map_err(|e| Error::config(format!("`{pattern}` is not a valid pattern")).cause(e))?;
    // Parts without wildcards narrow what has to be listed.
    let fixed: Vec<&str> = pattern.split('/').take_while(|p| !is_glob(p)).collect();
    let start = store.below(base, &fixed.join("/"))?;
    let options =
        glob::MatchOptions { require_literal_separator: true, require_literal_leading_dot: true, ..Default::default() };
    let strip = if base.is_root() { 0 } else { base.as_ref().len() + 1 };
    let deep = pattern.contains("**");
    let metas: Vec<ObjectMeta> = if deep || fixed.len() + 1 < pattern.split('/').count() {
        match store.inner.list(Some(&start)).try_collect().await {
            Err(object_store::Error::NotFound { .. }) => vec![],
            other => other.map_err(|e| store.error(e, &start))?,
        }
    } else {
        store.entries(&start).await?.objects
    };
    let files = metas
        .into_iter()
        .filter(|m| m.location.as_ref().get(strip..).is_some_and(|r| matcher.matches_with(r, options)))
        .filter_map(data_file);
    one_format(store, Shape::Glob, files.collect())
}

fn one_format(store: &Store, shape: Shape, mut files: Vec<(FileEntry, FileName)>) -> Result<Option<FileSet>> {
    files.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let Some((first, name)) = files.first() else { return Ok(None) };
    if let Some((other, _)) = files.iter().find(|(_, n)| n.format != name.format) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("{} and {} are of different formats", store.show(&first.path), store.show(&other.path)),
        )
        .hint("the files of one table must have one format: name them by a glob such as `folder/*.parquet`"));
    }
    let format = name.format;
    Ok(Some(FileSet { shape, format, files }))
}

/// The error for a name that [`find`] has no files for.
pub(crate) async fn not_found(store: &Store, rel: &Relation) -> Error {
    let base = folder(store, rel).map(|p| store.show(&p)).unwrap_or_default();
    let e = if is_glob(&rel.name) {
        Error::not_found(format!("no data file matches `{}` in {base}", rel.name))
    } else {
        Error::not_found(format!(
            "there is no table `{rel}`: no file {base}/{}.parquet, .csv, .ndjson or the like",
            rel.name
        ))
    };
    let all = list(store, &RelationPattern::default()).await.unwrap_or_default();
    let same_schema =
        |r: &&RelationInfo| r.relation.schema.as_deref() == Some(rel.schema.as_deref().unwrap_or(ROOT_SCHEMA));
    match suggest(&rel.name, all.iter().filter(same_schema).map(|r| r.relation.name.as_str())) {
        Some(hint) => e.hint(hint),
        None => e.hint("check `path` of the connection, and the file's name"),
    }
}

/// Every table below the folder, sorted by schema and name.
pub(crate) async fn list(store: &Store, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
    let mut out = Vec::new();
    let mut todo: Vec<(Path, String, usize)> = vec![(store.root().clone(), ROOT_SCHEMA.into(), 0)];
    while let Some((folder, schema, depth)) = todo.pop() {
        let entries = store.entries(&folder).await?;
        let mut push = |name: String| {
            let relation = Relation::new(None, Some(&schema), name);
            if pattern.matches(Some(&schema), &relation.name) {
                out.push(RelationInfo { relation, kind: RelationKind::File, row_estimate: None });
            }
        };
        let files: Vec<_> = entries.objects.into_iter().filter_map(data_file).collect();
        for (file, name) in &files {
            // Two files of one stem are told apart by their extensions.
            let alone = files.iter().filter(|(_, n)| n.stem == name.stem).count() == 1;
            let whole = file.path.filename().unwrap_or_default();
            push(if alone { name.stem.clone() } else { whole.into() });
        }
        for sub in entries.common_prefixes {
            let Some(name) = sub.filename().filter(|n| is_part(n)).map(String::from) else { continue };
            if is_dataset(store, &sub).await? {
                push(name);
            } else if depth < MAX_DEPTH {
                let schema = if depth == 0 { name } else { format!("{schema}/{name}") };
                todo.push((sub, schema, depth + 1));
            }
        }
    }
    out.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(out)
}

/// Whether a folder looks like one table: nothing but part files of one format, named as writers of such folders do.
async fn is_dataset(store: &Store, folder: &Path) -> Result<bool> {
    let entries = store.entries(folder).await?;
    let files: Vec<_> = entries
        .objects
        .into_iter()
        .filter(|m| m.location.filename().is_some_and(is_part))
        .filter_map(data_file)
        .collect();
    let named = |n: &FileName| ["part-", "part_", "data_", "data-"].iter().any(|p| n.stem.starts_with(p));
    Ok(entries.common_prefixes.is_empty()
        && files.first().is_some_and(|(_, f)| files.iter().all(|(_, n)| n.format == f.format && named(n))))
}

/// Total size in bytes.
pub(crate) fn bytes(set: &FileSet) -> u64 {
    set.files.iter().map(|(f, _)| f.size).sum()
}

/// Runs `f` for every file, a few at a time, and keeps their order.
pub(crate) async fn for_each<T, F>(set: &FileSet, f: impl Fn(FileEntry, FileName) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    futures::stream::iter(set.files.iter().cloned().map(|(e, n)| f(e, n))).buffered(8).try_collect().await
}
