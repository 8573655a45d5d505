//! The queries of `tests/slt`: parsing them, their tables, and comparing an engine's rows with the expected ones. Running
//! them is the business of a test that has an engine.

use crate::conformance::texts;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use regex::Regex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One query and its answer.
#[derive(Clone, Debug)]
pub struct Case {
    /// The comment above it.
    pub title: String,
    /// `file:line` of the query.
    pub place: String,
    /// One letter a column: see tests/slt/README.md.
    pub types: String,
    pub rowsort: bool,
    pub sql: String,
    pub expected: Vec<String>,
}

/// `tests/slt` of this checkout.
pub fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).join("tests/slt")
}

/// The names of the files, without `.slt`, sorted.
pub fn files() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("tests/slt");
    let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let mut all: Vec<String> = names.filter_map(|n| n.strip_suffix(".slt").map(Into::into)).collect();
    all.sort();
    all
}

/// The cases of one file.
pub fn cases(file: &str) -> Vec<Case> {
    let path = folder().join(format!("{file}.slt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    parse(&format!("{file}.slt"), &text)
}

fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut out = vec![];
    let mut title = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix('#') {
            title = comment.trim().to_string();
        } else if let Some(head) = line.strip_prefix("query ") {
            let mut words = head.split_whitespace();
            let types = words.next().unwrap_or("").to_string();
            let rowsort = words.next() == Some("rowsort");
            let sql: Vec<&str> = lines.by_ref().map(|l| l.1).take_while(|l| *l != "----").collect();
            let expected = lines.by_ref().map(|l| l.1).take_while(|l| !l.is_empty()).map(Into::into).collect();
            let (place, title) = (format!("{file}:{}", at + 1), std::mem::take(&mut title));
            out.push(Case { title, place, types, rowsort, sql: sql.join("\n"), expected });
        } else {
            assert!(line.is_empty(), "{file}:{}: not a comment and not a query: {line}", at + 1);
        }
    }
    out
}

/// `sql` with `name` of each table in place of the table's own.
pub fn rename(sql: &str, mut name: impl FnMut(&str) -> String) -> String {
    let tables = Regex::new(r"\bt_[a-z]+\b").expect("a regex");
    tables.replace_all(sql, |found: &regex::Captures<'_>| name(&found[0])).into_owned()
}

/// The tables of `tests/slt/data`, by name.
pub fn tables() -> Vec<(String, RecordBatch)> {
    let dir = folder().join("data");
    let text = std::fs::read_to_string(dir.join("schema.toml")).expect("tests/slt/data/schema.toml");
    let schema: toml::Table = toml::from_str(&text).expect("tables and their columns");
    let table = |(name, columns): (String, toml::Value)| {
        let csv = std::fs::read_to_string(dir.join(format!("{name}.csv"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut rows = csv.lines().map(fields);
        let head: Vec<String> = rows.next().expect("a head line").into_iter().flatten().collect();
        let rows: Vec<Vec<Option<String>>> = rows.collect();
        let column = |(i, column): (usize, &String)| {
            let data_type = data_type(columns[column].as_str().expect("a type's name"));
            let texts: ArrayRef = Arc::new(rows.iter().map(|r| r[i].clone()).collect::<StringArray>());
            let strict = CastOptions { safe: false, ..Default::default() };
            let values = cast_with_options(&texts, &data_type, &strict).unwrap_or_else(|e| panic!("{name}: {e}"));
            (Field::new(column, data_type, true), values)
        };
        let (fields, values): (Vec<Field>, Vec<ArrayRef>) = head.iter().enumerate().map(column).unzip();
        (name, RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("columns of one length"))
    };
    schema.into_iter().map(table).collect()
}

fn data_type(sql: &str) -> DataType {
    match sql {
        "bigint" => DataType::Int64,
        "int" => DataType::Int32,
        "text" => DataType::Utf8,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "double precision" => DataType::Float64,
        "boolean" => DataType::Boolean,
        other => {
            let digits =
                other.strip_prefix("decimal(").and_then(|r| r.strip_suffix(')')).and_then(|r| r.split_once(','));
            let (p, s) = digits.unwrap_or_else(|| panic!("the type {other}"));
            DataType::Decimal128(p.parse().expect("a precision"), s.parse().expect("a scale"))
        }
    }
}

/// One CSV line: an unquoted empty field is NULL.
fn fields(line: &str) -> Vec<Option<String>> {
    let one = Regex::new(r#"(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)"#).expect("a regex");
    let mut out = vec![];
    let mut at = 0;
    while let Some(found) = one.captures_at(line, at) {
        out.push(match (found.get(1), found.get(2)) {
            (Some(quoted), _) => Some(quoted.as_str().replace("\"\"", "\"")),
            (_, plain) => plain.map(|p| p.as_str().to_string()).filter(|p| !p.is_empty()),
        });
        let all = found.get(0).map_or("", |m| m.as_str());
        at += all.len();
        if !all.ends_with(',') {
            break;
        }
    }
    out
}

/// The rows as the `.slt` files write them.
pub fn render(case: &Case, batches: &[RecordBatch]) -> Result<Vec<String>, String> {
    let mut rows = vec![];
    for batch in batches {
        if batch.num_columns() != case.types.len() {
            return Err(format!("{} columns, {} expected", batch.num_columns(), case.types.len()));
        }
        let columns: Vec<Vec<String>> =
            batch.columns().iter().zip(case.types.chars()).map(|(c, t)| column(c, t)).collect::<Result<_, String>>()?;
        rows.extend((0..batch.num_rows()).map(|r| columns.iter().map(|c| c[r].as_str()).collect::<Vec<_>>().join(" ")));
    }
    if case.rowsort {
        rows.sort();
    }
    Ok(rows)
}

fn column(array: &ArrayRef, letter: char) -> Result<Vec<String>, String> {
    let strict = CastOptions { safe: false, ..Default::default() };
    let to = |t: DataType| cast_with_options(array, &t, &strict).map_err(|e| e.to_string());
    let array = match (letter, array.data_type()) {
        (_, DataType::Null) => array.clone(),
        ('I', _) => to(DataType::Int64)?,
        ('R', t) if t.is_integer() || t.is_floating() || t.is_decimal() => array.clone(),
        ('B', DataType::Boolean) => array.clone(),
        ('T', DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => array.clone(),
        (l, t) => return Err(format!("a column of type {t} where `{l}` is expected")),
    };
    let show = |v: Option<String>| match (letter, v) {
        (_, None) => "NULL".into(),
        ('R', Some(v)) => plain_number(&v),
        (_, Some(v)) if v.is_empty() => "(empty)".into(),
        (_, Some(v)) => v,
    };
    Ok(texts(&array).into_iter().map(show).collect())
}

/// Without exponent and trailing zeros.
fn plain_number(text: &str) -> String {
    let text = match text.contains('e') {
        true => text.parse::<f64>().map_or_else(|_| text.to_string(), |f| f.to_string()),
        false => text.to_string(),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Nothing where the rows are the expected ones; else what to print.
pub fn difference(case: &Case, batches: &[RecordBatch]) -> Option<String> {
    let got = match render(case, batches) {
        Ok(rows) if rows == case.expected => return None,
        Ok(rows) => rows.join("\n"),
        Err(e) => e,
    };
    let want = case.expected.join("\n");
    Some(format!("{} ({})\n{}\n-- expected\n{want}\n-- got\n{got}\n", case.place, case.title, case.sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_parse_and_name_known_tables() {
        let known: Vec<String> = tables().into_iter().map(|t| t.0).collect();
        let all: Vec<Case> = files().iter().flat_map(|f| cases(f)).collect();
        assert!(all.len() > 100, "{} cases", all.len());
        for case in &all {
            assert!(!case.title.is_empty() && !case.types.is_empty(), "{}", case.place);
            rename(&case.sql, |t| {
                assert!(known.iter().any(|k| k == t), "{}: no table {t}", case.place);
                String::new()
            });
        }
    }
    #[test]
    fn tables_have_nulls_and_empty_texts_apart() {
        let all = tables();
        let customers = &all.iter().find(|t| t.0 == "t_customers").unwrap().1;
        let city = texts(customers.column_by_name("city").unwrap());
        assert_eq!((city[2].as_deref(), city[6].as_deref()), (None, Some("")));
        assert_eq!(fields(r#"1,"a,""b""",,"#), [Some("1".into()), Some("a,\"b\"".to_string()), None, None]);
    }
    #[test]
    fn rows_are_rendered_and_compared() {
        let case = &parse("x", "# t\nquery IRT rowsort\nselect\n----\n1 2.5 (empty)\n2 NULL x\n\n")[0];
        let columns = |last: &str| -> RecordBatch {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![last, ""]));
            let numbers: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![None, Some(2.5)]));
            let ids: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![2, 1]));
            RecordBatch::try_from_iter([("a", ids), ("b", numbers), ("c", texts)]).unwrap()
        };
        assert_eq!(difference(case, &[columns("x")]), None);
        assert!(difference(case, &[columns("y")]).is_some_and(|d| d.contains("2 NULL y")));
        assert_eq!(
            (plain_number("1e10"), plain_number("10.500"), plain_number("0")),
            ("10000000000".into(), "10.5".into(), "0".into())
        );
    }
}
