//! Our errors through DataFusion and back without losing kind or context.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use xdb_core::{Error, ErrorKind, names};

pub fn to_datafusion(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// `engine` is named in errors that are about the SQL itself.
pub fn from_datafusion(e: DataFusionError, engine: &str) -> Error {
    match e {
        DataFusionError::External(b) => match b.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner, engine),
                Err(other) => Error::internal(format!("{engine}: {other}")),
            },
        },
        DataFusionError::ArrowError(a, _) => match Error::from(*a) {
            e if e.kind() == ErrorKind::Internal => e.with_message(|m| format!("{engine}: {m}")),
            e => e,
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner, engine),
        DataFusionError::Shared(inner) => match find_ours(&inner) {
            Some(copy) => copy,
            None => Error::internal(format!("{engine}: {inner}")),
        },
        DataFusionError::Collection(mut all) if !all.is_empty() => from_datafusion(all.remove(0), engine),
        DataFusionError::SchemaError(s, _) => schema_error(&s, engine),
        DataFusionError::SQL(p, _) => {
            Error::new(ErrorKind::Sql, format!("{engine} cannot parse the SQL: {}", short(&p)))
        }
        DataFusionError::Plan(m) => sql_error(m, engine),
        DataFusionError::NotImplemented(m) => {
            Error::new(ErrorKind::Sql, format!("{engine} does not support this SQL: {m}"))
                .hint("another engine may: set `compute` to `duckdb`, `datafusion` or `native`")
        }
        DataFusionError::Execution(m) => Error::new(ErrorKind::Sql, format!("{engine}: {m}")),
        DataFusionError::ResourcesExhausted(m) => {
            let why = m.lines().next().unwrap_or_default().to_string();
            Error::new(ErrorKind::Resource, format!("{engine} ran out of its memory limit"))
                .cause(why)
                .hint(format!("raise `compute: {{{engine}: {{memory_limit: …}}}}` in xdb_project.yml"))
        }
        DataFusionError::IoError(e) => Error::from(e),
        other => Error::internal(format!("{engine}: {}", other.strip_backtrace())),
    }
}

/// An error shared between partitions can't be moved out; rebuild what people read of it.
fn find_ours(e: &DataFusionError) -> Option<Error> {
    let ours = match e.find_root() {
        DataFusionError::External(b) => b.downcast_ref::<Error>()?,
        _ => return None,
    };
    let c = ours.context();
    let mut out = Error::new(ours.kind(), ours.message()).retryable(ours.is_retryable());
    for cause in ours.causes().into_iter().take(1) {
        out = out.cause(cause);
    }
    type Set = fn(Error, String) -> Error;
    let parts: [(&Option<String>, Set); 5] = [
        (&c.connection, |e, v| e.connection(v)),
        (&c.relation, |e, v| e.relation(v)),
        (&c.model, |e, v| e.model(v)),
        (&c.sql, |e, v| e.sql(v)),
        (&c.code, |e, v| e.code(v)),
    ];
    for (value, set) in parts {
        if let Some(v) = value {
            out = set(out, v.clone());
        }
    }
    if let Some(h) = ours.hint_text() {
        out = out.hint(h);
    }
    Some(out)
}

fn schema_error(s: &SchemaError, engine: &str) -> Error {
    match s {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.name();
            let e = Error::new(ErrorKind::Sql, format!("{engine}: there is no column `{}`", field.flat_name()));
            let all: Vec<&str> = valid_fields.iter().map(|c| c.name()).collect();
            if all.iter().any(|c| *c != name && c.eq_ignore_ascii_case(name)) {
                let real = all.iter().find(|c| c.eq_ignore_ascii_case(name)).copied().unwrap_or(name);
                return e.hint(format!("names with upper-case letters need double quotes in {engine}: \"{real}\""));
            }
            match names::suggest(name, all) {
                Some(h) => e.hint(h),
                None => e,
            }
        }
        other => Error::new(ErrorKind::Sql, format!("{engine}: {other}")),
    }
}

fn sql_error(message: String, engine: &str) -> Error {
    let first = message.lines().next().unwrap_or_default();
    Error::new(ErrorKind::Sql, format!("{engine} cannot plan the SQL: {first}"))
}

fn short(e: &impl std::fmt::Display) -> String {
    e.to_string().trim_start_matches("sql parser error: ").to_string()
}
