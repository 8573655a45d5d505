//! The open connection: listing, describing, and what reading and loading share.

use crate::config::{Config, DEF};
use crate::decode::{Columns, extra_column, missing_column};
use crate::format::{CsvStyle, FileName, Format};
use crate::input;
use crate::parquet::{self, Footer};
use crate::relations::{self, FileSet, ROOT_SCHEMA};
use crate::store::{FileEntry, Store};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use xdb_core::{
    ColumnInfo, Connector, ConnectorConfig, ConnectorDef, ContextId, Error, ErrorKind, Extract, Load, Relation,
    RelationInfo, RelationKind, RelationPattern, Result, ResultExt, ServerInfo, TableInfo,
};

/// Footers are kept from `describe` to `plan` to `read`: a path and a version of the file.
type FooterKey = (String, Option<String>, u64);
const FOOTERS_KEPT: usize = 256;

#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) config: Config,
    pub(crate) store: Store,
    footers: Arc<Mutex<HashMap<FooterKey, Footer>>>,
}

impl Files {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let store = config.place.store()?;
        Ok(Self { config, store, footers: Arc::default() })
    }

    pub(crate) async fn footer(&self, file: &FileEntry) -> Result<Footer> {
        let key = (file.path.to_string(), file.etag.clone(), file.size);
        let kept = || self.footers.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(f) = kept().get(&key) {
            return Ok(f.clone());
        }
        let f = parquet::footer(&self.store, file, None).await?;
        let mut all = kept();
        if all.len() >= FOOTERS_KEPT {
            all.clear();
        }
        all.insert(key, f.clone());
        Ok(f)
    }

    /// The style of one CSV file: tabs in a `.tsv`.
    pub(crate) fn style(&self, name: &FileName) -> CsvStyle {
        let delimiter = if name.tab && !self.config.delimiter_given { b'\t' } else { self.config.csv.delimiter };
        CsvStyle { delimiter, ..self.config.csv.clone() }
    }

    pub(crate) async fn find(&self, rel: &Relation) -> Result<FileSet> {
        match relations::find(&self.store, rel).await? {
            Some(set) => Ok(set),
            None => Err(relations::not_found(&self.store, rel).await),
        }
    }

    /// Context for an error on its way out.
    pub(crate) fn context(&self, e: Error, rel: &Relation) -> Error {
        e.connection(&self.config.connection).relation(rel.to_string())
    }

    async fn describe_set(&self, set: &FileSet) -> Result<Described> {
        if set.format != Format::Parquet {
            return self.infer(set).await;
        }
        let footers = relations::for_each(set, |file, _| async move { self.footer(&file).await }).await?;
        let Some(first) = footers.first() else { return Err(Error::internal("a table without files")) };
        let mut schema = first.schema.clone();
        for (footer, (file, _)) in footers.iter().zip(&set.files).skip(1) {
            schema = agree(&schema, &footer.schema, &self.store.show(&file.path))?;
        }
        let names = (0..schema.fields().len()).map(|i| first.source_type(i)).collect();
        Ok(Described { schema, source_types: names, rows: Some(footers.iter().map(Footer::rows).sum()) })
    }

    async fn infer(&self, set: &FileSet) -> Result<Described> {
        let mut columns = Columns::new();
        for (file, name) in &set.files {
            let input = input::open(&self.store, file, name.compression, None).await?;
            let (shown, format, style) = (self.store.show(&file.path), set.format, self.style(name));
            let most = self.config.sample_rows;
            columns = blocking(move || {
                columns.sample(&shown, format, &style, input, most)?;
                Ok(columns)
            })
            .await?;
        }
        if columns.names.is_empty() {
            let shown = set.files.first().map(|(f, _)| self.store.show(&f.path)).unwrap_or_default();
            return Err(Error::new(ErrorKind::Type, format!("{shown} has no rows: its columns are unknown"))
                .hint("NDJSON without rows says nothing about columns; Parquet and CSV do"));
        }
        let types: Vec<_> = columns.guesses.iter().map(|g| g.answer()).collect();
        let fields: Vec<Field> = columns.names.iter().zip(&types).map(|(n, t)| t.field(n)).collect();
        Ok(Described {
            schema: Arc::new(Schema::new(fields)),
            source_types: types.iter().map(|t| t.name()).collect(),
            rows: columns.complete.then_some(columns.rows),
        })
    }
}

struct Described {
    schema: SchemaRef,
    source_types: Vec<String>,
    /// Exact.
    rows: Option<u64>,
}

/// The schema of two files of one table: the same columns in any order; nullable where either is.
fn agree(a: &SchemaRef, b: &SchemaRef, file: &str) -> Result<SchemaRef> {
    if let Some(extra) = b.fields().iter().find(|f| a.field_with_name(f.name()).is_err()) {
        return Err(extra_column(file, extra.name()));
    }
    let fields = a
        .fields()
        .iter()
        .map(|f| {
            let other = b.field_with_name(f.name()).map_err(|_| missing_column(file, f.name()))?;
            if f.data_type() != other.data_type() {
                return Err(Error::new(
                    ErrorKind::Type,
                    format!(
                        "column `{}` of {file} is {}, but {} in other files of the same table",
                        f.name(),
                        other.data_type(),
                        f.data_type()
                    ),
                )
                .hint("write the files with one schema, or name fewer files in the glob"));
            }
            Ok(f.as_ref().clone().with_nullable(f.is_nullable() || other.is_nullable()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Runs `f` where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(f).await {
        Ok(r) => r,
        Err(e) if e.is_cancelled() => Err(Error::cancelled()),
        Err(e) => Err(Error::internal("a file worker panicked").cause(e)),
    }
}

#[async_trait]
impl Connector for Files {
    fn def(&self) -> &'static ConnectorDef {
        &DEF
    }
    fn context_id(&self) -> ContextId {
        ContextId(format!("files:{}", self.store.shown_root()))
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        Relation::new(None, Some(rel.schema.as_deref().unwrap_or(ROOT_SCHEMA)), rel.name.clone())
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        let r = self.resolve(rel);
        let parts = [r.schema.as_deref().unwrap_or(ROOT_SCHEMA), &r.name];
        parts.map(|p| xdb_sql::ANSI.ident(p)).join(".")
    }
    fn budget(&self) -> usize {
        self.config.pool_size
    }

    async fn check(&self) -> Result<ServerInfo> {
        let start = Instant::now();
        let mut read_only = None;
        let result = match self.store.local_path(self.store.root()) {
            Some(folder) => match tokio::fs::metadata(&folder).await {
                Ok(m) if m.is_dir() => {
                    read_only = m.permissions().readonly().then_some(true);
                    Ok(())
                }
                Ok(_) => Err(Error::config(format!("{} is a file, not a folder", folder.display()))
                    .hint("set `path` to the folder, and use the file's name as the table's")),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    Err(Error::not_found(format!("there is no folder {}", folder.display()))
                        .hint("check `path`: a relative one starts at the folder of profiles.yml; writing a table makes the folder"))
                }
                Err(e) => Err(Error::from(e).with_message(|m| format!("{}: {m}", folder.display()))),
            },
            None => self.store.entries(self.store.root()).await.map(|_| ()),
        };
        result.on_connection(&self.config.connection)?;
        Ok(ServerInfo {
            product: if self.store.is_local() { "local files".into() } else { "object store".into() },
            version: env!("CARGO_PKG_VERSION").into(),
            tls: None,
            user: None,
            database: Some(self.config.address()),
            latency: start.elapsed(),
            read_only,
        })
    }

    async fn list(&self, pattern: &RelationPattern) -> Result<Vec<RelationInfo>> {
        relations::list(&self.store, pattern).await.on_connection(&self.config.connection)
    }

    async fn describe(&self, rel: &Relation) -> Result<TableInfo> {
        let relation = self.resolve(rel);
        let (set, found) = async {
            let set = self.find(&relation).await?;
            let found = self.describe_set(&set).await?;
            Ok((set, found))
        }
        .await
        .map_err(|e| self.context(e, &relation))?;
        let columns = found
            .schema
            .fields()
            .iter()
            .zip(found.source_types)
            .map(|(f, source_type)| ColumnInfo {
                name: f.name().clone(),
                source_type,
                nullable: f.is_nullable(),
                collation: None,
                binary_equality: true,
                comment: None,
            })
            .collect();
        Ok(TableInfo {
            relation,
            kind: RelationKind::File,
            schema: found.schema,
            columns,
            primary_key: vec![],
            row_estimate: found.rows,
            bytes_estimate: Some(relations::bytes(&set)),
        })
    }

    fn extract(&self) -> Option<&dyn Extract> {
        Some(self)
    }
    fn load(&self) -> Option<&dyn Load> {
        Some(self)
    }
}
