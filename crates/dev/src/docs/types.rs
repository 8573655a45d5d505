//! The pair table: every source type -> Arrow -> the type in every target.

use super::connector::word;
use super::{code, fields, table};
use arrow::datatypes::{DataType, Field};
use xdb_core::{ConnectorDef, Fidelity, Registry, SourceType};

const INTRO: &str = "\
# Types

A value goes from its source's type to an Arrow type, which engines compute with, and from there to the target's type.
Each connector converts once each way; this page is both halves joined.

- **exact**: the same values, the same kind of type. Read back, it is the same Arrow type.
- **widened**: every value is kept, in a wider or more general type.
- **lossy**: some values of the type cannot be kept. Such a value is an error that names column and value, unless
  `types: lossy` on the connection or the model accepts the nearest value, or NULL where there is none.
- **refused**: the target has no type for it: cast the column in SQL.

A value that a target cannot hold is never changed silently, whatever the table says of its type.

Text marked `uuid` or `json` keeps that mark as long as the column is passed on as it is; an expression over it makes it
plain text.
";

pub(super) fn page(registry: &Registry) -> String {
    let targets: Vec<&ConnectorDef> = registry.connectors().iter().copied().filter(|d| d.capabilities.load).collect();
    let mut out = String::from(INTRO);
    out.push_str("\n## From Arrow to each target\n\n");
    let head: Vec<&str> = std::iter::once("Arrow").chain(targets.iter().map(|d| d.name)).collect();
    let representative = fields::representative();
    let rows: Vec<Vec<String>> = representative
        .iter()
        .map(|(name, field)| {
            std::iter::once(name.to_string()).chain(targets.iter().map(|t| cell(t, field, Fidelity::Exact))).collect()
        })
        .collect();
    out.push_str(&table(&head, &rows));
    for source in registry.connectors().iter().filter(|d| d.capabilities.read) {
        out.push_str(&format!("\n## From {}\n\n", source.title));
        let head: Vec<&str> = [source.name, "Arrow"].into_iter().chain(targets.iter().map(|d| d.name)).collect();
        let rows: Vec<Vec<String>> = source
            .source_types
            .iter()
            .map(|s| {
                let arrow = if s.fidelity == Fidelity::Exact {
                    s.arrow.to_string()
                } else {
                    format!("{} ({})", s.arrow, word(s.fidelity))
                };
                let field = like(s, &representative);
                // Where the source's type has letters for its digits, so have the targets'.
                let letters = |c: String| {
                    if s.arrow.contains("(p") { c.replace("15,2", "p,s").replace("76,20", "p,s") } else { c }
                };
                let cells =
                    targets.iter().map(|t| field.as_ref().map(|f| letters(cell(t, f, s.fidelity))).unwrap_or_default());
                [s.name.to_string(), arrow].into_iter().chain(cells).collect()
            })
            .collect();
        out.push_str(&table(&head, &rows));
    }
    out
}

/// The worse of both halves decides what the whole way keeps.
fn cell(target: &ConnectorDef, field: &Field, read: Fidelity) -> String {
    match (target.target_type)(field) {
        Err(_) => "refused".into(),
        Ok(t) => {
            let rank = |f: Fidelity| match f {
                Fidelity::Exact => 0,
                Fidelity::Widened => 1,
                Fidelity::Lossy => 2,
            };
            let whole = if rank(read) > rank(t.fidelity) { read } else { t.fidelity };
            let short = t.sql.split(" CHARACTER SET ").next().unwrap_or(&t.sql);
            format!("{} {}", code(short), word(whole))
        }
    }
}

/// A field of the Arrow type that a connector writes in its reading table, e.g. `Decimal128(p, s)`, `List(Utf8)`,
/// `Utf8 (json)`. `None` where the text names several types or none of ours.
fn like(s: &SourceType, all: &[(&'static str, Field)]) -> Option<Field> {
    let plain =
        s.arrow.replace(['`', ' '], "").replace("Microsecond", "µs").replace("us", "µs").replace("Nanosecond", "ns");
    let plain = match ["uuid", "json"].iter().find(|l| plain == "Utf8" && s.note.contains(&format!("marked as {l}"))) {
        Some(logical) => format!("Utf8({logical})"),
        None => plain,
    };
    if let Some((_, f)) = all.iter().find(|(name, _)| name.replace(' ', "") == plain) {
        return Some(f.clone());
    }
    let digits = |name: &str| {
        let (p, s) = plain.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some((p.parse().ok()?, s.parse().ok()?))
    };
    if let Some((p, s)) = digits("Decimal128") {
        return Some(Field::new("c", DataType::Decimal128(p, s), true));
    }
    if let Some((p, s)) = digits("Decimal256") {
        return Some(Field::new("c", DataType::Decimal256(p, s), true));
    }
    let head = plain.split(['(', ',', '.']).next().unwrap_or("");
    // These are mapped alike whatever is between the brackets.
    let known = ["Decimal128", "Decimal256", "List", "Struct", "Interval", "Utf8", "Binary"];
    known.contains(&head).then(|| all.iter().find(|(n, _)| n.starts_with(head)))?.map(|(_, f)| f.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;
    use xdb_core::LogicalType;

    #[test]
    fn arrow_names_find_their_field() {
        let all = fields::representative();
        let source = |arrow, note| SourceType { name: "x", arrow, fidelity: Fidelity::Exact, note };
        let found = |t: &'static str| like(&source(t, ""), &all).map(|f| f.data_type().clone());
        let uuid = like(&source("Utf8", "marked as uuid"), &all).unwrap();
        assert_eq!(LogicalType::of(&uuid), Some(LogicalType::Uuid));
        assert_eq!(found("Decimal128(38, 18)"), Some(DataType::Decimal128(38, 18)));
        assert_eq!(found("Decimal128(p, s)"), Some(DataType::Decimal128(15, 2)));
        assert_eq!(found("Utf8 (json)"), Some(DataType::Utf8));
        assert_eq!(found("Timestamp(us, UTC)"), Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))));
        assert_eq!(found("List(Int32)"), Some(DataType::new_list(DataType::Int32, true)));
        assert_eq!(found("something else"), None);
    }
}
