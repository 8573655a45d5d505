//! Rows as a table for people: numbers at the right, NULL marked, as wide as the terminal at most.
//!
//! Printed in chunks, so that a long result needs little memory; the first chunk settles the columns' widths.

use super::cells::{Cells, is_number};
use crate::args::LogFormat;
use crate::console;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use std::io::IsTerminal;
use xdb_core::Result;

const CHUNK: usize = 1000;
/// The least a column takes, borders and padding included, before further ones are left out.
const NARROWEST: usize = 9;
/// Longer texts are cut on a terminal.
const LONGEST: usize = 400;

type Row = Vec<Option<String>>;

#[derive(Debug)]
pub(crate) struct TableWriter {
    names: Vec<String>,
    numeric: Vec<bool>,
    /// Of the terminal; `None` writes every cell in full.
    width: Option<u16>,
    /// Columns that fit.
    shown: usize,
    rows: Vec<Row>,
    /// Once the first chunk is out.
    widths: Option<Vec<u16>>,
}

impl TableWriter {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self::with_width(schema, terminal_width())
    }
    fn with_width(schema: &SchemaRef, width: Option<u16>) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let numeric = schema.fields().iter().map(|f| is_number(f.data_type())).collect();
        let room = width.map(|w| (usize::from(w).saturating_sub(1) / NARROWEST).max(1)).unwrap_or(usize::MAX);
        // One place is for the column that says that there are more.
        let shown = if names.len() <= room { names.len() } else { room.saturating_sub(1).max(1) };
        Self { names, numeric, width, shown, rows: Vec::new(), widths: None }
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = batch.columns().iter().take(self.shown).map(Cells::new).collect::<Result<Vec<_>>>()?;
        let mut text = String::new();
        for i in 0..batch.num_rows() {
            let row = cells.iter().map(|c| Ok(c.write(i, &mut text)?.then(|| printable(&text, self.width.is_some()))));
            self.rows.push(row.collect::<Result<_>>()?);
        }
        Ok(())
    }

    /// The text of the rows so far, once they are many.
    pub(crate) fn full(&mut self) -> Option<String> {
        (self.rows.len() > CHUNK).then(|| self.chunk(false))
    }
    /// The end of the table.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = self.chunk(true);
        if self.shown < self.names.len() {
            let more = self.names.len() - self.shown;
            text.push_str(&format!("… and {more} more columns: --output csv or json shows all\n"));
        }
        text
    }

    fn chunk(&mut self, last: bool) -> String {
        if self.names.is_empty() {
            return String::new(); // A statement without rows.
        }
        if let Some(widths) = self.widths.as_ref().filter(|_| self.rows.is_empty()) {
            let border: Vec<String> = widths.iter().map(|w| "─".repeat(usize::from(*w))).collect();
            return if last { format!("╰{}╯\n", border.join("┴")) } else { String::new() };
        }
        let mut t = Table::new();
        t.load_preset(UTF8_FULL_CONDENSED).apply_modifier(UTF8_ROUND_CORNERS);
        if console::settings().color {
            t.enforce_styling();
        } else {
            t.force_no_tty();
        }
        t.set_truncation_indicator("…");
        match self.width {
            Some(w) => t.set_content_arrangement(ContentArrangement::Dynamic).set_width(w),
            None => t.set_content_arrangement(ContentArrangement::Disabled),
        };
        let more = self.shown < self.names.len();
        let first = self.widths.is_none();
        if first {
            let head = self.names.iter().take(self.shown).map(|n| bold(&printable(n, self.width.is_some())));
            t.set_header(head.chain(more.then(|| bold("…"))));
        }
        for row in self.rows.drain(..) {
            let cells = row.into_iter().map(|c| match c {
                Some(text) => Cell::new(text),
                None => null(),
            });
            t.add_row(cells.chain(more.then(|| Cell::new("…"))));
        }
        for (i, numeric) in self.numeric.iter().take(self.shown).enumerate() {
            if let Some(c) = t.column_mut(i).filter(|_| *numeric) {
                c.set_cell_alignment(CellAlignment::Right);
            }
        }
        if let Some(widths) = &self.widths {
            t.set_constraints(widths.iter().map(|w| ColumnConstraint::Absolute(Width::Fixed(*w))));
        }
        let text = t.to_string();
        let mut lines: Vec<&str> = text.lines().collect();
        if first {
            let border = lines.first().copied().unwrap_or_default().trim_matches(['╭', '╮']);
            let width = |s: &str| u16::try_from(s.chars().count()).unwrap_or(u16::MAX);
            self.widths = Some(border.split('┬').map(width).collect());
        } else if !lines.is_empty() {
            lines.remove(0);
        }
        if !last {
            lines.pop();
        }
        lines.into_iter().map(|l| format!("{l}\n")).collect()
    }
}

fn bold(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold)
}
fn null() -> Cell {
    Cell::new("NULL").add_attribute(Attribute::Dim)
}

/// Control characters in data must not reach a terminal.
fn printable(text: &str, cut: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, c) in text.chars().enumerate() {
        match c {
            _ if cut && n >= LONGEST => {
                out.push('…');
                break;
            }
            '\t' => out.push_str("    "),
            '\n' => out.push('\n'),
            '\r' => {}
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Of stdout, where that is a terminal.
pub(crate) fn terminal_width() -> Option<u16> {
    // A terminal that says 0 columns does not know.
    std::io::stdout().is_terminal().then(|| Table::new().width()).flatten().filter(|w| *w >= 20)
}

/// Of stderr, where people read on a terminal.
pub(crate) fn people_width() -> Option<usize> {
    let s = console::settings();
    let shown = s.live && s.format == LogFormat::Text;
    shown.then(|| Table::new().use_stderr().width()).flatten().map(usize::from).filter(|w| *w >= 20)
}

/// A table of plain texts (listings). Columns in `right` are aligned so.
pub(crate) fn plain(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut t = Table::new();
    t.load_preset(UTF8_FULL_CONDENSED).apply_modifier(UTF8_ROUND_CORNERS);
    if console::settings().color {
        t.enforce_styling();
    } else {
        t.force_no_tty();
    }
    match terminal_width() {
        Some(w) => t.set_content_arrangement(ContentArrangement::Dynamic).set_width(w),
        None => t.set_content_arrangement(ContentArrangement::Disabled),
    };
    t.set_header(header.iter().map(|h| bold(h)));
    for row in rows {
        t.add_row(row.iter().map(|c| Cell::new(printable(c, false))));
    }
    for i in right {
        if let Some(c) = t.column_mut(*i) {
            c.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{t}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn batch(n: i32) -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)]);
        let names: StringArray = (0..n).map(|i| (i % 3 != 1).then(|| format!("n{i}\u{1b}[31m"))).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int32Array::from_iter_values(0..n)), Arc::new(names)])
            .unwrap()
    }

    #[test]
    fn a_small_table() {
        let b = batch(3);
        let mut t = TableWriter::with_width(&b.schema(), None);
        t.batch(&b).unwrap();
        insta::assert_snapshot!(t.rest(), @r"
        ╭────┬──────────────╮
        │ id ┆ name         │
        ╞════╪══════════════╡
        │  0 ┆ n0\u{1b}[31m │
        │  1 ┆ NULL         │
        │  2 ┆ n2\u{1b}[31m │
        ╰────┴──────────────╯
        ");
    }

    #[test]
    fn chunks_join_into_one_table() {
        let b = batch(1500);
        let mut t = TableWriter::with_width(&b.schema(), Some(40));
        let mut text = String::new();
        for _ in 0..2 {
            t.batch(&b).unwrap();
            text.push_str(&t.full().unwrap());
        }
        text.push_str(&t.rest());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3000 + 4);
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|l| l.chars().count() == width), "{text}");
        assert_eq!(lines.iter().filter(|l| l.contains("name")).count(), 1);
    }

    #[test]
    fn columns_that_do_not_fit_are_counted() {
        let fields: Vec<_> = (0..30).map(|i| Field::new(format!("column_{i}"), DataType::Int32, false)).collect();
        let columns = (0..30).map(|i| Arc::new(Int32Array::from(vec![i * 1_000_000])) as ArrayRef).collect();
        let b = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut t = TableWriter::with_width(&b.schema(), Some(80));
        t.batch(&b).unwrap();
        let text = t.rest();
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        assert!(text.contains("… and 23 more columns"), "{text}");
    }
}
