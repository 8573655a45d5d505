//! YAML with line numbers: a tree whose every value and key knows where it stands, so that errors can say so.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use std::fmt;
use std::path::Path;
use xdb_core::names::suggest;
use xdb_core::{Error, Result};

/// A YAML value and its line.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    /// 1-based.
    pub line: usize,
    /// Where the value is spelled, as byte offset and length; empty where that isn't known.
    span: (usize, usize),
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    /// The key's own line, 1-based.
    pub line: usize,
    pub value: Node,
}

/// Parse a whole file. An empty one (or one with only comments) is an empty mapping. Errors: not YAML, a key given
/// twice, several documents; with file and line.
pub fn parse(text: &str, path: &Path) -> Result<Node> {
    let options = serde_saphyr::options! {
        // `no` as a country or a password stays text; where a flag is wanted, `Node::as_bool` knows these words.
        strict_booleans: true,
        with_snippet: false,
    };
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l.trim() == "---") {
        return Ok(Node::new(Kind::Map(Vec::new()), 1));
    }
    let parsed = serde_saphyr::from_str_with_options::<Spanned<Kind>>(text, options).map(|s| {
        let mut node = Node::from(s);
        node.keep_spelling(text);
        node
    });
    parsed.map_err(|e| {
        let line = e.location().map_or(0, |l| l.line() as usize);
        let message = e.to_string();
        // The location is reported our way; the parser's own repeats it at the end of its message.
        let message = message.split(" at line ").next().unwrap_or(&message).trim_end_matches([' ', ',', ':']);
        let source = text.lines().nth(line.saturating_sub(1)).map(str::trim).unwrap_or_default();
        let e = Error::config(format!("{} is not valid YAML: {message}", path.display())).at(path.display(), line);
        if source.contains('\t') {
            e.hint("indent with spaces: YAML does not allow tabs")
        } else if source.contains("{{") {
            e.hint("put quotes around a value that begins with {{ … }}")
        } else if line > 0 && !looks_secret(source) {
            e.hint(format!("look at `{source}` and the line before it"))
        } else {
            e
        }
    })
}

/// A line that may hold a credential is not repeated in a message.
fn looks_secret(line: &str) -> bool {
    let lower = line.to_lowercase();
    ["pass", "secret", "token", "key", "://", "credential"].iter().any(|w| lower.contains(w))
}

impl From<Spanned<Kind>> for Node {
    fn from(s: Spanned<Kind>) -> Self {
        let span = s.defined.span();
        let span = (span.byte_offset().unwrap_or(0) as usize, span.byte_len().unwrap_or(0) as usize);
        Self { kind: s.value, line: s.referenced.line() as usize, span }
    }
}

struct KindVisitor;
impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Kind, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Kind, E> {
        Ok(Kind::Number(v.into()))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Kind, E> {
        Ok(Kind::Number(v.into()))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Kind, E> {
        Ok(Number::from_f64(v).map_or_else(|| Kind::Text(v.to_string()), Kind::Number))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Kind, E> {
        Ok(Kind::Text(v.into()))
    }
    fn visit_string<E: de::Error>(self, v: String) -> Result<Kind, E> {
        Ok(Kind::Text(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element::<Spanned<Kind>>()? {
            out.push(v.into());
        }
        Ok(Kind::List(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut out = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Kind>>()?;
            out.push(Entry { key: key.value, line: key.referenced.line() as usize, value: value.into() });
        }
        Ok(Kind::Map(out))
    }
}
impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(KindVisitor)
    }
}

impl Node {
    pub(crate) fn new(kind: Kind, line: usize) -> Self {
        Self { kind, line, span: (0, 0) }
    }

    /// A number that JSON's numbers would change is text, spelled as it stands: `00123` (a password, a postal code) and
    /// one with more digits than a double holds.
    fn keep_spelling(&mut self, text: &str) {
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|n| n.keep_spelling(text)),
            Kind::Map(entries) => entries.iter_mut().for_each(|e| e.value.keep_spelling(text)),
            Kind::Number(n) => {
                let spelled = text.get(self.span.0..self.span.0 + self.span.1).unwrap_or_default().trim();
                let digits = spelled.bytes().filter(u8::is_ascii_digit).count();
                let padded =
                    spelled.len() > 1 && spelled.starts_with('0') && spelled.bytes().all(|b| b.is_ascii_digit());
                if padded || (n.is_f64() && digits > 15) {
                    self.kind = Kind::Text(spelled.into());
                }
            }
            _ => {}
        }
    }

    /// The same tree with every number in the spelling of the file: for values where `1.10` is not `1.1`.
    pub(crate) fn spelled(&self, text: &str) -> Self {
        let mut out = self.clone();
        match &mut out.kind {
            Kind::List(items) => items.iter_mut().for_each(|n| *n = n.spelled(text)),
            Kind::Map(entries) => entries.iter_mut().for_each(|e| e.value = e.value.spelled(text)),
            Kind::Number(n) => {
                let spelled = text.get(self.span.0..self.span.0 + self.span.1).unwrap_or_default().trim();
                if !spelled.is_empty() && n.to_string() != spelled {
                    out.kind = Kind::Text(spelled.into());
                }
            }
            _ => {}
        }
        out
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }
    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(m) => m,
            _ => &[],
        }
    }
    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(l) => l,
            _ => &[],
        }
    }
    /// The value under `key`, `null` counting as absent.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value).filter(|v| !v.is_null())
    }
    /// What it is, in words.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
    /// As JSON, without the lines.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(n.clone()),
            Kind::Text(t) => Value::String(t.clone()),
            Kind::List(l) => Value::Array(l.iter().map(Node::to_json).collect()),
            Kind::Map(m) => Value::Object(m.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
        }
    }
    /// A mapping as a JSON object; an empty one for anything else.
    pub fn to_object(&self) -> Map<String, Value> {
        self.entries().iter().map(|e| (e.key.clone(), e.value.to_json())).collect()
    }
    /// Text, or a number or flag written as text.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(t) => Some(t.clone()),
            Kind::Number(n) => Some(n.to_string()),
            Kind::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }
    /// `true`/`false`, and YAML 1.1's `yes no on off`.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            Kind::Bool(b) => Some(*b),
            Kind::Text(t) => bool_word(t),
            _ => None,
        }
    }
}

/// `true false yes no on off`, in any case.
pub(crate) fn bool_word(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Reads one file's tree with errors that name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) path: &'a Path,
}
impl Reader<'_> {
    pub(crate) fn error(&self, line: usize, message: impl Into<String>) -> Error {
        Error::config(message).at(self.path.display(), line)
    }
    fn wrong(&self, node: &Node, what: &str, want: &str) -> Error {
        self.error(node.line, format!("`{what}` must be {want}, not {}", node.what()))
    }
    pub(crate) fn text(&self, node: &Node, what: &str) -> Result<String> {
        node.scalar_text().ok_or_else(|| self.wrong(node, what, "text"))
    }
    pub(crate) fn opt_text(&self, map: &Node, key: &str) -> Result<Option<String>> {
        map.get(key).map(|n| self.text(n, key)).transpose()
    }
    pub(crate) fn need_text(&self, map: &Node, key: &str, of: &str) -> Result<String> {
        match self.opt_text(map, key)? {
            Some(t) if !t.trim().is_empty() => Ok(t),
            _ => Err(self.error(map.line, format!("{of} needs a `{key}`"))),
        }
    }
    /// A list of texts; a single text is a list of one.
    pub(crate) fn texts(&self, node: &Node, what: &str) -> Result<Vec<String>> {
        match &node.kind {
            Kind::List(l) => l.iter().map(|n| self.text(n, what)).collect(),
            Kind::Null => Ok(Vec::new()),
            _ => Ok(vec![self.text(node, what)?]),
        }
    }
    pub(crate) fn list<'n>(&self, node: &'n Node, what: &str) -> Result<&'n [Node]> {
        match &node.kind {
            Kind::List(l) => Ok(l),
            Kind::Null => Ok(&[]),
            _ => Err(self.wrong(node, what, "a list")),
        }
    }
    pub(crate) fn map<'n>(&self, node: &'n Node, what: &str) -> Result<&'n [Entry]> {
        match &node.kind {
            Kind::Map(m) => Ok(m),
            Kind::Null => Ok(&[]),
            _ => Err(self.wrong(node, what, "a mapping")),
        }
    }
    /// A key that nobody knows.
    pub(crate) fn unknown_key(&self, entry: &Entry, of: &str, known: &[&str]) -> Error {
        let e = self.error(entry.line, format!("{of} has an unknown key `{}`", entry.key));
        match suggest(&entry.key, known.iter().copied()) {
            Some(h) => e.hint(h),
            None => e,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text, Path::new("x.yml")).unwrap()
    }

    #[test]
    fn keys_and_values_know_their_lines() {
        let t = tree("a: 1\nb:\n  - x\n  - y: true\n    z: 'no'\n");
        assert_eq!(t.get("b").unwrap().items()[0].line, 3);
        let y = &t.get("b").unwrap().items()[1];
        assert_eq!((y.entries()[0].line, y.entries()[1].line), (4, 5));
        assert_eq!(t.to_json(), serde_json::json!({"a": 1, "b": ["x", {"y": true, "z": "no"}]}));
    }

    #[test]
    fn words_that_only_look_like_flags_or_octal_numbers_stay_text() {
        let t = tree("country: no\npassword: 00123\nf: 1.5\nn: ~\nquoted: '5'\non: off\n");
        assert_eq!(
            t.to_json(),
            serde_json::json!({"country": "no", "password": "00123", "f": 1.5, "n": null, "quoted": "5", "on": "off"})
        );
        assert_eq!(t.get("country").unwrap().as_bool(), Some(false));
    }

    #[test]
    fn numbers_can_keep_their_spelling() {
        let text = "é: 1.10\nb: [1e3, 7, 0x1F]\nc: 12345678901234567890123\n";
        let t = tree(text);
        assert_eq!(t.to_json(), serde_json::json!({"é": 1.1, "b": [1000.0, 7, 31], "c": "12345678901234567890123"}));
        let s = t.spelled(text);
        assert_eq!(
            s.to_json(),
            serde_json::json!({"é": "1.10", "b": ["1e3", 7, "0x1F"], "c": "12345678901234567890123"})
        );
    }

    #[test]
    fn merge_keys_and_anchors_work() {
        let t = tree("base: &b {host: h, port: 1}\nx:\n  <<: *b\n  port: 2\n");
        assert_eq!(t.get("x").unwrap().to_json(), serde_json::json!({"port": 2, "host": "h"}));
    }

    #[test]
    fn errors_have_file_and_line() {
        for (text, line) in [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: 1\na: 2\n", 2), ("a:\n\tb: 1\n", 2), ("a: b: c\n", 1)]
        {
            let e = parse(text, Path::new("models/x.yml")).unwrap_err();
            assert_eq!(
                e.context().location.as_deref(),
                Some(format!("models/x.yml:{line}").as_str()),
                "{text:?} {e:?}"
            );
            assert!(e.message().starts_with("models/x.yml is not valid YAML: "), "{e:?}");
        }
    }

    #[test]
    fn a_line_with_a_credential_is_not_repeated() {
        let e = parse("a:\n  password: hunter2: x\n", Path::new("profiles.yml")).unwrap_err();
        assert!(!e.report().contains("hunter2"), "{e:?}");
    }

    #[test]
    fn nothing_is_an_empty_mapping() {
        assert!(tree("# only a comment\n\n").entries().is_empty());
        assert!(tree("").entries().is_empty());
    }
}
