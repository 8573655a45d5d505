//! File formats, compressions, and what a file's name says about them.

use serde::{Deserialize, Serialize};
use xdb_core::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Csv,
    Ndjson,
    Parquet,
}
impl Format {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Self::Csv,
            "ndjson" | "jsonl" | "json" => Self::Ndjson,
            "parquet" | "pq" => Self::Parquet,
            _ => return None,
        })
    }
}

/// How the bytes of a file are packed. Parquet packs its own pages, so there it is the codec of the column chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Snappy,
}
impl Compression {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => Self::None,
            "gzip" | "gz" => Self::Gzip,
            "zstd" | "zst" => Self::Zstd,
            "snappy" => Self::Snappy,
            _ => return None,
        })
    }
    /// What a text file so packed has behind its extension.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::None | Self::Snappy => "",
        }
    }
}

/// A data file's name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) stem: String,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) tab: bool,
}
impl FileName {
    /// `None` where the name is not that of a data file. `name` has no folder.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let (rest, compression) = if lower.ends_with(".gz") {
            (&name[..name.len() - 3], Compression::Gzip)
        } else if lower.ends_with(".zst") {
            (&name[..name.len() - 4], Compression::Zstd)
        } else {
            (name, Compression::None)
        };
        let (stem, ext) = rest.rsplit_once('.')?;
        let format = Format::parse(ext)?;
        if stem.is_empty() || (format == Format::Parquet && compression != Compression::None) {
            return None;
        }
        Some(Self { stem: stem.into(), format, compression, tab: ext.eq_ignore_ascii_case("tsv") })
    }
    /// The name of a new file.
    pub(crate) fn make(stem: &str, format: Format, compression: Compression) -> String {
        match format {
            Format::Parquet => format!("{stem}.parquet"),
            text => format!("{stem}.{}{}", text.as_str(), compression.suffix()),
        }
    }
}

/// How a CSV file is spelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CsvStyle {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    /// The first line holds the columns' names.
    pub(crate) header: bool,
    /// What NULL looks like, unquoted. The same text in quotes is that text.
    pub(crate) null: String,
}
impl Default for CsvStyle {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', header: true, null: String::new() }
    }
}
impl CsvStyle {
    /// Delimiter and quote must be told apart from each other and from line ends.
    pub(crate) fn check(self) -> Result<Self> {
        if self.delimiter == self.quote {
            return Err(Error::config("`delimiter` and `quote` must differ"));
        }
        let marks = [self.delimiter, self.quote, b'\n', b'\r'];
        if self.null.bytes().any(|b| marks.contains(&b)) {
            return Err(Error::config("`null_value` must not hold the delimiter, the quote or a line end"));
        }
        Ok(self)
    }
}

/// One ASCII character that is not a line end; `\t` and `tab` are spelled out.
pub(crate) fn one_char(key: &str, text: &str) -> Result<u8> {
    let byte = match text {
        "\\t" | "tab" => b'\t',
        t if t.len() == 1 => t.as_bytes()[0],
        _ => b'\n',
    };
    if byte == b'\n' || byte == b'\r' || !byte.is_ascii() {
        return Err(Error::config(format!("`{key}` must be one ASCII character, not {text:?}"))
            .hint(format!("for example `{key}: \";\"`, or `\\t` for a tab")));
    }
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let f = |n: &str| FileName::parse(n).map(|f| (f.stem, f.format, f.compression));
        assert_eq!(f("a.csv"), Some(("a".into(), Format::Csv, Compression::None)));
        assert_eq!(f("a.b.NDJSON.gz"), Some(("a.b".into(), Format::Ndjson, Compression::Gzip)));
        assert_eq!(f("é.jsonl.zst"), Some(("é".into(), Format::Ndjson, Compression::Zstd)));
        assert_eq!(f("a.pq"), Some(("a".into(), Format::Parquet, Compression::None)));
        for no in ["a", "a.txt", ".csv", "a.gz", "a.parquet.gz", "csv"] {
            assert_eq!(f(no), None, "{no}");
        }
        assert!(FileName::parse("a.tsv").unwrap().tab);
        assert_eq!(FileName::make("x", Format::Csv, Compression::Zstd), "x.csv.zst");
        assert_eq!(FileName::make("x", Format::Parquet, Compression::Zstd), "x.parquet");
    }
    #[test]
    fn marks_are_checked() {
        assert_eq!(one_char("delimiter", "\\t").unwrap(), b'\t');
        for bad in ["", "ab", "é", "\n"] {
            assert!(one_char("delimiter", bad).is_err(), "{bad:?}");
        }
        assert!(CsvStyle { quote: b',', ..Default::default() }.check().is_err());
        assert!(CsvStyle { null: "a,b".into(), ..Default::default() }.check().is_err());
    }
}
