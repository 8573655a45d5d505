//! Names of tables and what is known about them.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A relation within one connection. Which parts a system uses is its own business: Postgres `schema.name`, MySQL
/// `schema.name` (its "database"), SQLite `main.name`, DuckDB `database.schema.name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    pub name: String,
}
impl Relation {
    pub fn new(database: Option<&str>, schema: Option<&str>, name: impl Into<String>) -> Self {
        Self { database: database.map(Into::into), schema: schema.map(Into::into), name: name.into() }
    }
    pub fn bare(name: impl Into<String>) -> Self {
        Self { database: None, schema: None, name: name.into() }
    }
}
impl fmt::Display for Relation {
    /// `database.schema.name`, unquoted: for people, never for SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    Table,
    View,
    MaterializedView,
    Foreign,
    File,
}
impl RelationKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Foreign => "foreign table",
            Self::File => "file",
        }
    }
}

/// What `list` should return. `None` is any; `*` in a part matches any run of characters. Case-sensitive.
#[derive(Clone, Debug, Default)]
pub struct RelationPattern {
    pub schema: Option<String>,
    pub name: Option<String>,
}
impl RelationPattern {
    pub fn matches(&self, schema: Option<&str>, name: &str) -> bool {
        self.schema.as_deref().is_none_or(|p| wildcard(p, schema.unwrap_or("")))
            && self.name.as_deref().is_none_or(|p| wildcard(p, name))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(p) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(p);
        }
        match rest.find(p) {
            Some(i) => rest = &rest[i + p.len()..],
            None => return false,
        }
    }
    true
}

/// One line of `list`.
#[derive(Clone, Debug, Serialize)]
pub struct RelationInfo {
    pub relation: Relation,
    pub kind: RelationKind,
    /// The server's own estimate, where it has one without scanning.
    pub row_estimate: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ColumnInfo {
    pub name: String,
    /// As the source prints it, e.g. `numeric(15,2)`.
    pub source_type: String,
    pub nullable: bool,
    /// The collation's name for text columns of systems that have them.
    pub collation: Option<String>,
    /// Whether two texts that the source calls equal always have equal bytes.
    pub binary_equality: bool,
    pub comment: Option<String>,
}

/// What `describe` knows. `columns` and `schema.fields()` go in the same order, the source's own.
#[derive(Clone, Debug)]
pub struct TableInfo {
    /// Fully resolved.
    pub relation: Relation,
    pub kind: RelationKind,
    pub schema: SchemaRef,
    pub columns: Vec<ColumnInfo>,
    /// In key order; empty where there is none.
    pub primary_key: Vec<String>,
    /// The server's estimate; `None` where it has none (never analysed).
    pub row_estimate: Option<u64>,
    /// Size on disk in bytes, estimated by the server.
    pub bytes_estimate: Option<u64>,
}
impl TableInfo {
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|c| c.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn wildcards() {
        for (p, t, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "axbyc", true),
            ("a*a", "a", false),
            ("", "", true),
            ("*b*", "abc", true),
            ("*x*", "abc", false),
        ] {
            assert_eq!(wildcard(p, t), want, "{p} {t}");
        }
    }
}
