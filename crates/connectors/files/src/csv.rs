//! CSV bytes to records. Own scanner, because it must tell `""` (empty text) from nothing (NULL), and must know the line.
//!
//! RFC 4180, with the usual freedoms: lines end in `\n` or `\r\n`, the last end may be missing, any one-byte delimiter
//! and quote. A quote within an unquoted field is text. Blank lines are skipped where a record has more than one field
//! (with one field, a blank line is a record whose value is NULL).

use crate::format::CsvStyle;
use std::io::Read;
use xdb_core::{Error, ErrorKind};

const BUFFER: usize = 256 << 10;

/// Why a file could not be read on: the caller knows its name.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The text breaks the rules, on this line.
    Bad {
        line: u64,
        what: String,
        hint: &'static str,
    },
    Io(std::io::Error),
}
impl Fault {
    pub(crate) fn at(self, file: &str) -> Error {
        match self {
            Self::Bad { line, what, hint } => {
                Error::new(ErrorKind::Type, what).at(file, usize::try_from(line).unwrap_or(0)).hint(hint)
            }
            Self::Io(e) => Error::from(e).at(file, 0),
        }
    }
}
type Result<T> = std::result::Result<T, Fault>;

/// The fields of one record, unescaped.
#[derive(Debug, Default)]
pub(crate) struct Record {
    data: Vec<u8>,
    ends: Vec<usize>,
    quoted: Vec<bool>,
    /// The line it starts on, from 1.
    pub(crate) line: u64,
}
impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
    pub(crate) fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.data[start..self.ends[i]]
    }
    /// `None` is NULL.
    pub(crate) fn value(&self, i: usize, null: &str) -> Option<&[u8]> {
        let v = self.get(i);
        (self.quoted[i] || v != null.as_bytes()).then_some(v)
    }
    fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.quoted.clear();
    }
    fn close(&mut self, quoted: bool) {
        self.ends.push(self.data.len());
        self.quoted.push(quoted);
    }
    fn is_blank(&self) -> bool {
        self.ends.len() == 1 && self.data.is_empty() && !self.quoted[0]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    Unquoted,
    Quoted,
    /// Behind a quote within a quoted field: the end, or the first half of a doubled quote.
    QuoteSeen,
    /// Behind `"…"\r`.
    ReturnSeen,
}

pub(crate) struct Scanner<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    delimiter: u8,
    quote: u8,
    line: u64,
    keep_blank: bool,
}

impl<R: Read> Scanner<R> {
    pub(crate) fn new(input: R, style: &CsvStyle) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            at: 0,
            filled: 0,
            delimiter: style.delimiter,
            quote: style.quote,
            line: 1,
            keep_blank: false,
        }
    }
    /// For files of one column, where a blank line is a NULL.
    pub(crate) fn keep_blank_lines(&mut self, keep: bool) {
        self.keep_blank = keep;
    }

    fn refill(&mut self) -> Result<bool> {
        self.at = 0;
        self.filled = 0;
        self.filled = loop {
            match self.input.read(&mut self.buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(Fault::Io)?,
            }
        };
        Ok(self.filled > 0)
    }

    /// The next record; `false` at the end.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool> {
        loop {
            if !self.one(record)? {
                return Ok(false);
            }
            if self.keep_blank || !record.is_blank() {
                return Ok(true);
            }
        }
    }

    fn one(&mut self, record: &mut Record) -> Result<bool> {
        record.clear();
        record.line = self.line;
        let mut state = State::Start;
        let mut field_start = 0;
        let mut quote_line = self.line;
        loop {
            if self.at == self.filled && !self.refill()? {
                return match state {
                    State::Start if record.ends.is_empty() => Ok(false),
                    State::Quoted => Err(syntax(quote_line, "a quote opens here and never closes")),
                    State::Unquoted | State::Start => {
                        record.close(false);
                        Ok(true)
                    }
                    State::QuoteSeen | State::ReturnSeen => {
                        record.close(true);
                        Ok(true)
                    }
                };
            }
            let rest = &self.buffer[self.at..self.filled];
            match state {
                State::Start if rest[0] == self.quote => {
                    self.at += 1;
                    quote_line = self.line;
                    state = State::Quoted;
                }
                State::Start | State::Unquoted => {
                    state = State::Unquoted;
                    let d = self.delimiter;
                    let n = rest.iter().position(|b| *b == d || *b == b'\n').unwrap_or(rest.len());
                    record.data.extend_from_slice(&rest[..n]);
                    let ended_by = rest.get(n).copied();
                    self.at += n + usize::from(ended_by.is_some());
                    match ended_by {
                        None => {}
                        Some(b'\n') => {
                            if record.data.len() > field_start && record.data.ends_with(b"\r") {
                                record.data.pop();
                            }
                            record.close(false);
                            self.line += 1;
                            return Ok(true);
                        }
                        Some(_) => {
                            record.close(false);
                            field_start = record.data.len();
                            state = State::Start;
                        }
                    }
                }
                State::Quoted => {
                    let q = self.quote;
                    let n = rest.iter().position(|b| *b == q).unwrap_or(rest.len());
                    record.data.extend_from_slice(&rest[..n]);
                    self.line += rest[..n].iter().filter(|b| **b == b'\n').count() as u64;
                    let closed = n < rest.len();
                    self.at += n + usize::from(closed);
                    if closed {
                        state = State::QuoteSeen;
                    }
                }
                State::QuoteSeen | State::ReturnSeen => {
                    let b = rest[0];
                    self.at += 1;
                    match b {
                        b'\n' => {
                            record.close(true);
                            self.line += 1;
                            return Ok(true);
                        }
                        _ if state == State::ReturnSeen => {
                            return Err(syntax(self.line, "a lone carriage return follows a closing quote"));
                        }
                        b'\r' => state = State::ReturnSeen,
                        b if b == self.quote => {
                            record.data.push(b);
                            state = State::Quoted;
                        }
                        b if b == self.delimiter => {
                            record.close(true);
                            field_start = record.data.len();
                            state = State::Start;
                        }
                        _ => return Err(syntax(self.line, "text follows a closing quote")),
                    }
                }
            }
        }
    }
}

fn syntax(line: u64, what: &str) -> Fault {
    let hint = "a quote inside a quoted field must be doubled; see `delimiter` and `quote` of the connection";
    Fault::Bad { line, what: what.into(), hint }
}

/// Append one CSV field. Quoted where it must be, so that the same bytes come back.
pub(crate) fn push_field(out: &mut Vec<u8>, value: &[u8], style: &CsvStyle) {
    let (d, q) = (style.delimiter, style.quote);
    let special = |b: &u8| *b == d || *b == q || *b == b'\n' || *b == b'\r';
    let padded = value.first().is_some_and(|b| *b == b' ') || value.last().is_some_and(|b| *b == b' ');
    // A byte-order mark at the start of a file would be taken off by the reader.
    let bom = value.starts_with(b"\xef\xbb\xbf");
    if value.is_empty() || value == style.null.as_bytes() || padded || bom || value.iter().any(special) {
        out.push(q);
        for b in value {
            if *b == q {
                out.push(q);
            }
            out.push(*b);
        }
        out.push(q);
    } else {
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives one byte at a time, so that every state meets the end of the buffer.
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.len().min(1);
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    type Rows = Vec<(u64, Vec<Option<String>>)>;
    fn scan_from(input: impl Read, style: &CsvStyle, keep: bool) -> Result<Rows> {
        let mut s = Scanner::new(input, style);
        s.keep_blank_lines(keep);
        let mut r = Record::default();
        let mut out = vec![];
        while s.next(&mut r)? {
            let row =
                (0..r.len()).map(|i| r.value(i, &style.null).map(|v| String::from_utf8(v.to_vec()).unwrap())).collect();
            out.push((r.line, row));
        }
        Ok(out)
    }
    fn scan(text: &str) -> Result<Rows> {
        let style = CsvStyle::default();
        let all = scan_from(text.as_bytes(), &style, false);
        let dripped = scan_from(Drip(text.as_bytes()), &style, false);
        assert_eq!(format!("{all:?}"), format!("{dripped:?}"));
        all
    }
    fn row(line: u64, v: &[Option<&str>]) -> (u64, Vec<Option<String>>) {
        (line, v.iter().map(|x| x.map(String::from)).collect())
    }

    #[test]
    fn fields_lines_and_nulls() {
        assert_eq!(
            scan("a,b\r\n\"x\"\"y\",\r\n\n\"\",\"two\nlines\"\r\nlast, q\"q").unwrap(),
            vec![
                row(1, &[Some("a"), Some("b")]),
                row(2, &[Some("x\"y"), None]),
                row(4, &[Some(""), Some("two\nlines")]),
                row(6, &[Some("last"), Some(" q\"q")]),
            ]
        );
        assert_eq!(scan("").unwrap(), vec![]);
        assert_eq!(scan("a,").unwrap(), vec![row(1, &[Some("a"), None])]);
        assert_eq!(scan("\"a\"\r").unwrap(), vec![row(1, &[Some("a")])]);
        assert_eq!(scan(",\r\n").unwrap(), vec![row(1, &[None, None])]);
    }
    #[test]
    fn faults_name_the_line() {
        for (text, line) in [("a\n\"b", "2"), ("a\n\n\"b\"c", "3"), ("\"a\nb\"\rx", "2")] {
            let e = scan(text).unwrap_err().at("f.csv");
            assert_eq!(e.context().location, Some(format!("f.csv:{line}")), "{text:?}: {e:?}");
        }
    }
    #[test]
    fn one_column_keeps_its_blank_lines() {
        let got = scan_from("a\n\nb\n".as_bytes(), &CsvStyle::default(), true).unwrap();
        assert_eq!(got, vec![row(1, &[Some("a")]), row(2, &[None]), row(3, &[Some("b")])]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of("[ a,;\"\n\r\tN\\\\é😀]{0,6}|NULL"), 3), 0..6),
            delimiter in prop::sample::select(vec![b',', b';', b'\t']),
            null in prop::sample::select(vec!["", "NULL", "\\N"]),
        ) {
            let style = CsvStyle { delimiter, null: null.into(), ..Default::default() };
            let mut text = vec![];
            for r in &rows {
                for (i, v) in r.iter().enumerate() {
                    if i > 0 { text.push(delimiter); }
                    match v {
                        Some(v) => push_field(&mut text, v.as_bytes(), &style),
                        None => text.extend_from_slice(null.as_bytes()),
                    }
                }
                text.push(b'\n');
            }
            let got: Vec<_> = scan_from(Drip(&text), &style, false).unwrap().into_iter().map(|(_, r)| r).collect();
            prop_assert_eq!(got, rows);
        }
    }
}
