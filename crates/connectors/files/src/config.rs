//! The connector's definition, its parameters, and their checked form.

use crate::connector::Files;
use crate::format::{Compression, CsvStyle, Format, one_char};
use crate::store::Store;
use crate::types;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use xdb_core::params::common;
use xdb_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorDef, Error, ParamKind, ParamSpec, Params, Result, TypePolicy,
};

pub static DEF: ConnectorDef = ConnectorDef {
    name: "files",
    aliases: &["file", "parquet", "csv"],
    title: "Files (Parquet, CSV, NDJSON)",
    about: "A folder whose files are tables: `orders.parquet`, `orders.csv`, `orders.ndjson` (`.gz` and `.zst` too for \
            the last two), a sub-folder of part files, or a glob such as `raw/orders_*.csv` as the table's name. \
            Sub-folders are schemas; `main` is the folder itself. Targets are written beside their place and renamed \
            into it; Parquet keeps every type, CSV and NDJSON have few types and are read by inference.",
    params: PARAMS,
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: true,
        parallel_read: true,
        consistent_splits: true,
        load: true,
        append: true,
        merge: false,
        atomic_replace: true,
        execute: false,
        parameters: false,
        views: false,
        schemas: true,
        tls: false,
        unix_socket: false,
        cancel: true,
    },
    source_types: types::SOURCE_TYPES,
    target_type: types::target_type,
    validate,
};

const PARAMS: &[ParamSpec] = &[
    ParamSpec::new("path", ParamKind::Path, "The folder with the files, or an s3://, gs:// or az:// URL of one.")
        .aliases(&["root", "folder"])
        .required()
        .example("data/lake"),
    ParamSpec::new("format", ParamKind::Choice(&["parquet", "csv", "ndjson"]), "What new files are written as.")
        .default("parquet"),
    ParamSpec::new(
        "compression",
        ParamKind::Choice(&["none", "gzip", "zstd", "snappy"]),
        "How new files are packed: zstd (default) or snappy for Parquet; none (default), gzip or zstd for CSV and NDJSON.",
    ),
    ParamSpec::new(
        "delimiter",
        ParamKind::String,
        "Between CSV fields: a comma, or a tab in `.tsv` files, unless set.",
    )
    .aliases(&["sep"])
    .example("\";\""),
    ParamSpec::new("quote", ParamKind::String, "Around CSV fields that need it.").default("\""),
    ParamSpec::new("header", ParamKind::Bool, "The first line of a CSV file has the columns' names.").default("true"),
    ParamSpec::new(
        "null_value",
        ParamKind::String,
        "What NULL looks like in CSV, outside quotes: nothing, unless set. A quoted empty field is empty text.",
    )
    .default("")
    .example("\\N"),
    ParamSpec::new(
        "sample_rows",
        ParamKind::Integer,
        "Rows of each CSV or NDJSON file that types are inferred from; 0 is all. A later misfit is an error.",
    )
    .default("100000"),
    common::POOL_SIZE,
    common::TYPES,
    ParamSpec::new(
        "storage_options",
        ParamKind::Map,
        "Settings of the object store, as the object_store crate names them; credentials through env_var().",
    )
    .secret()
    .example("{aws_region: eu-central-1}"),
];

/// What a connection's parameters say, checked.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) connection: String,
    pub(crate) place: Place,
    pub(crate) format: Format,
    pub(crate) compression: Option<Compression>,
    pub(crate) csv: CsvStyle,
    /// Set by the user, so that a `.tsv` file keeps its tab where it isn't.
    pub(crate) delimiter_given: bool,
    /// `u64::MAX` is all.
    pub(crate) sample_rows: u64,
    pub(crate) pool_size: usize,
    pub(crate) types: TypePolicy,
}

#[derive(Clone)]
pub(crate) enum Place {
    Local(PathBuf),
    /// The options may hold credentials.
    Url(String, BTreeMap<String, String>),
    #[cfg(test)]
    Memory(Store),
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("connection", &self.connection)
            .field("path", &self.address())
            .finish_non_exhaustive()
    }
}

fn validate(p: &Params) -> Result<Box<dyn ConnectorConfig>> {
    Ok(Box::new(Config::new(p)?))
}

impl Config {
    pub(crate) fn new(p: &Params) -> Result<Self> {
        let text = |k: &str| p.str(k).unwrap_or_default();
        let place = match text("path") {
            url if url.contains("://") => Place::Url(url.into(), p.map("storage_options").cloned().unwrap_or_default()),
            _ => Place::Local(absolute(&p.path("path").unwrap_or_default())?),
        };
        // A bucket without its feature should be known before anything runs.
        place.store()?;
        let mut csv = CsvStyle {
            quote: one_char("quote", text("quote"))?,
            header: p.bool("header").unwrap_or(true),
            null: text("null_value").into(),
            ..CsvStyle::default()
        };
        let delimiter = p.str("delimiter").map(|d| one_char("delimiter", d)).transpose()?;
        csv.delimiter = delimiter.unwrap_or(csv.delimiter);
        let format = Format::parse(text("format")).unwrap_or(Format::Parquet);
        let compression = p.str("compression").and_then(Compression::parse);
        if let Some(c) = compression {
            check_compression(format, c)?;
        }
        let sample = p.int_in("sample_rows", 0..=i64::MAX)?;
        Ok(Self {
            connection: p.connection.clone(),
            place,
            format,
            compression,
            csv: csv.check()?,
            delimiter_given: delimiter.is_some(),
            sample_rows: if sample == 0 { u64::MAX } else { sample.unsigned_abs() },
            pool_size: usize::try_from(p.int_in("pool_size", 1..=1024)?).unwrap_or(1),
            types: p.type_policy(),
        })
    }
}

/// Which codecs go with which format.
pub(crate) fn check_compression(format: Format, c: Compression) -> Result<()> {
    let fine = match c {
        Compression::None | Compression::Zstd => true,
        Compression::Snappy => format == Format::Parquet,
        Compression::Gzip => format != Format::Parquet,
    };
    if fine {
        return Ok(());
    }
    Err(Error::config(format!(
        "`compression: {}` does not go with `format: {}`",
        format!("{c:?}").to_lowercase(),
        format.as_str()
    ))
    .hint("use none, zstd or snappy for parquet; none, gzip or zstd for csv and ndjson"))
}

/// Without `.` and `..`, which a store's paths can't have. Symbolic links are not followed for that.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    Ok(out)
}

impl Place {
    pub(crate) fn store(&self) -> Result<Store> {
        match self {
            Self::Local(folder) => Store::local(folder),
            Self::Url(url, options) => Store::remote(url, options),
            #[cfg(test)]
            Self::Memory(store) => Ok(store.clone()),
        }
    }
}

impl ConnectorConfig for Config {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(Files::new(self.clone())?))
    }
    fn address(&self) -> String {
        match &self.place {
            Place::Local(p) => p.display().to_string(),
            // A URL may carry credentials before its host.
            Place::Url(u, _) => match (u.find("://"), u.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &u[..scheme + 3], &u[at + 1..]),
                _ => u.clone(),
            },
            #[cfg(test)]
            Place::Memory(_) => "memory://".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(v: serde_json::Value) -> Result<Config> {
        Config::new(&Params::resolve("lake", PARAMS, v.as_object().unwrap(), Path::new("/base"))?)
    }

    #[test]
    fn paths_are_relative_to_the_profile() {
        assert_eq!(config(json!({"path": "../lake/./x"})).unwrap().address(), "/lake/x");
        assert_eq!(config(json!({"root": "/abs"})).unwrap().address(), "/abs");
        assert_eq!(config(json!({"path": "file:///abs/x"})).unwrap().place.store().unwrap().shown_root(), "/abs/x");
    }
    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for bad in [
            json!({"path": "x", "compression": "snappy", "format": "csv"}),
            json!({"path": "x", "compression": "gzip"}),
            json!({"path": "x", "delimiter": "\""}),
            json!({"path": "x", "delimiter": "ab"}),
            json!({"path": "x", "null_value": "a,b"}),
            json!({"path": "x", "sample_rows": -1}),
            json!({"path": "ftp://x/y"}),
            json!({}),
        ] {
            let e = config(bad.clone()).unwrap_err();
            assert_eq!(e.kind(), xdb_core::ErrorKind::Config, "{bad}: {e:?}");
        }
    }
    #[test]
    fn credentials_in_a_url_are_not_shown() {
        let c = Config {
            place: Place::Url("s3://key:secret@bucket/x".into(), BTreeMap::from([("k".into(), "secret".into())])),
            ..config(json!({"path": "x"})).unwrap()
        };
        assert_eq!(c.address(), "s3://bucket/x");
        assert!(!format!("{c:?}").contains("secret"));
    }
}
