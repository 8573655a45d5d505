//! Arrow schema -> `CREATE TABLE`.

use crate::Dialect;
use arrow::datatypes::Schema;
use xdb_core::{ConnectorDef, Fidelity, Result, TargetType};

/// One column of a table to be made.
#[derive(Clone, Debug)]
pub struct ColumnDef {
    pub name: String,
    pub target: TargetType,
    pub nullable: bool,
}

/// The columns that `schema` gets in this connector's system. An error names the column.
pub fn column_defs(def: &ConnectorDef, schema: &Schema) -> Result<Vec<ColumnDef>> {
    schema
        .fields()
        .iter()
        .map(|f| {
            let target = (def.target_type)(f).map_err(|e| e.with_message(|m| format!("column `{}`: {m}", f.name())))?;
            Ok(ColumnDef { name: f.name().clone(), target, nullable: f.is_nullable() })
        })
        .collect()
}

/// `CREATE TABLE relation (…)`. Every column is nullable: a model's output promises no more. `relation` is ready SQL.
pub fn create_table(dialect: &Dialect, relation: &str, columns: &[ColumnDef]) -> String {
    let cols: Vec<String> = columns.iter().map(|c| format!("{} {}", dialect.ident(&c.name), c.target.sql)).collect();
    format!("CREATE TABLE {relation} ({})", cols.join(", "))
}

impl ColumnDef {
    /// Some values of this column may be refused (or, under `types: lossy`, changed).
    pub fn may_lose(&self) -> bool {
        self.target.fidelity == Fidelity::Lossy
    }
}
