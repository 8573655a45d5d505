//! Which filters DuckDB may apply.
//!
//! DuckDB compares integers, decimals, dates, times and (by default) text as Arrow does. Not sent: floats (NaN and -0
//! sort differently), types that travel as text (a uuid's or an enum's order is not its text's), and text of unknown
//! collation.

use crate::dialect::DUCKDB;
use crate::types::{Transport, parse};
use arrow::datatypes::{DataType, TimeUnit};
use xdb_core::{Literal, LogicalType, Predicate, Pushdown, TableInfo, TypePolicy};
use xdb_sql::decimal_text;

pub(crate) fn answer(table: &TableInfo, p: &Predicate, types: TypePolicy) -> Pushdown {
    match write(table, p, types) {
        Ok(_) => Pushdown::Exact,
        Err(why) => Pushdown::No(why),
    }
}

/// `p` as SQL, or why not. Under `lossy` an infinite date or timestamp counts as the NULL it becomes.
pub(crate) fn write(table: &TableInfo, p: &Predicate, types: TypePolicy) -> Result<String, String> {
    write_as(table, p, types, &|column| DUCKDB.ident(column))
}

/// As `write`; `name` is what stands for a column of that name.
pub(crate) fn write_as(
    table: &TableInfo,
    p: &Predicate,
    types: TypePolicy,
    name: &dyn Fn(&str) -> String,
) -> Result<String, String> {
    let many = |ps: &[Predicate], with: &str, none: &str| {
        let all = ps.iter().map(|p| write_as(table, p, types, name)).collect::<Result<Vec<_>, _>>()?;
        Ok(if all.is_empty() { none.to_string() } else { format!("({})", all.join(with)) })
    };
    match p {
        Predicate::And(ps) => many(ps, " AND ", "TRUE"),
        Predicate::Or(ps) => many(ps, " OR ", "FALSE"),
        Predicate::Not(p) => Ok(format!("NOT ({})", write_as(table, p, types, name)?)),
        Predicate::IsNull { column, negated } => {
            let c = Column::of(table, column, types, name(column))?;
            Ok(format!("{} IS {}NULL", c.sql, if *negated { "NOT " } else { "" }))
        }
        Predicate::Compare { column, op, value } => {
            let c = Column::of(table, column, types, name(column))?;
            Ok(format!("{} {} {}", c.sql, op.sql(), c.constant(value)?))
        }
        Predicate::In { column, values, negated } => {
            let c = Column::of(table, column, types, name(column))?;
            let all = values.iter().map(|v| c.constant(v)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{} {}IN ({})", c.sql, if *negated { "NOT " } else { "" }, all.join(", ")))
        }
        Predicate::StartsWith { column, prefix, negated } => {
            let c = Column::of(table, column, types, name(column))?;
            c.constant(&Literal::Utf8(prefix.clone()))?;
            let sql = (DUCKDB.starts_with)(&c.sql, prefix).ok_or("the prefix cannot be written in SQL")?;
            Ok(if *negated { format!("NOT {sql}") } else { sql })
        }
    }
}

struct Column<'a> {
    sql: String,
    name: &'a str,
    data_type: &'a DataType,
    /// Compares as its Arrow values do.
    comparable: Result<(), &'static str>,
}

impl<'a> Column<'a> {
    fn of(table: &'a TableInfo, name: &'a str, types: TypePolicy, quoted: String) -> Result<Self, String> {
        let i = table.schema.index_of(name).map_err(|_| format!("there is no column `{name}`"))?;
        let (field, info) = (table.schema.field(i), &table.columns[i]);
        let data_type = field.data_type();
        let lossy = types == TypePolicy::Lossy;
        let sql = match data_type {
            DataType::Date32 | DataType::Timestamp(..) if lossy => {
                format!("CASE WHEN isfinite({quoted}) THEN {quoted} END")
            }
            t if lossy && (t.is_nested() || info.source_type == "HUGEINT") => {
                return Err("under `types: lossy` some of its values become NULL".into());
            }
            _ => quoted,
        };
        let comparable = match data_type {
            DataType::Float32 | DataType::Float64 => Err("NaN and -0 compare differently"),
            _ if parse(&info.source_type).transport() != Transport::AsIs => Err("its values travel as text"),
            DataType::Utf8 if LogicalType::of(field).is_some() => Err("its values travel as text"),
            DataType::Utf8 if info.collation.is_some() => Err("its text may have a collation"),
            _ if info.source_type == "HUGEINT" => Err("its values may have 39 digits"),
            _ => Ok(()),
        };
        Ok(Self { sql, name, data_type, comparable })
    }

    /// A constant of exactly the column's type.
    fn constant(&self, l: &Literal) -> Result<String, String> {
        self.comparable?;
        let written = match (self.data_type, l) {
            (t, Literal::Int(_) | Literal::UInt(_)) if t.is_integer() => DUCKDB.literal(l),
            (DataType::Decimal128(p, s), Literal::Decimal { value, scale }) if scale == s => {
                let text = decimal_text(*value, *scale);
                let fits = value.unsigned_abs() < 10u128.pow(u32::from(*p));
                fits.then(|| format!("CAST('{}' AS DECIMAL({p},{s}))", text.trim_matches(['(', ')'])))
            }
            (DataType::Boolean, Literal::Bool(_))
            | (DataType::Utf8, Literal::Utf8(_))
            | (DataType::Binary, Literal::Binary(_))
            | (DataType::Date32, Literal::Date(_))
            | (DataType::Time64(TimeUnit::Microsecond), Literal::Time(_))
            | (DataType::Timestamp(TimeUnit::Microsecond, None), Literal::Timestamp { utc: false, .. })
            | (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), Literal::Timestamp { utc: true, .. }) => {
                DUCKDB.literal(l)
            }
            _ => return Err(format!("the constant is not of `{}`'s type", self.name)),
        };
        written.ok_or_else(|| "the constant cannot be written in DuckDB's SQL".into())
    }
}
