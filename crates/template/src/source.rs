//! Reading Jinja text before Jinja does: where its tags are, which macros a file defines, where calls stand.
//!
//! MiniJinja reports the line of an error but not of a call that works, and keeps macros of one file apart from those
//! of another. dbt's macros know each other across files, so each is cut out into a template of its own here.

use std::path::Path;
use xdb_core::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    Text,
    Comment,
    Variable,
    Block,
}

/// A stretch of the text; `start..end` are byte offsets with the delimiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: SegmentKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}
impl Segment {
    /// What stands between the delimiters and their `-`/`+`; with its offset in the text.
    pub(crate) fn inner<'t>(&self, text: &'t str) -> (usize, &'t str) {
        let whole = &text[self.start..self.end];
        if self.kind == SegmentKind::Text || whole.len() < 4 {
            return (self.start, whole);
        }
        let mut from = 2;
        let mut to = if whole.ends_with('}') { whole.len() - 2 } else { whole.len() };
        if whole[from..to].starts_with(['-', '+']) {
            from += 1;
        }
        if to > from && whole[from..to].ends_with(['-', '+']) {
            to -= 1;
        }
        (self.start + from, &whole[from..to])
    }
    /// The first word of a block: `set`, `macro`, `endif` …
    pub(crate) fn word<'t>(&self, text: &'t str) -> &'t str {
        let inner = self.inner(text).1.trim_start();
        &inner[..inner.find(|c: char| !is_word(c)).unwrap_or(inner.len())]
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// 1-based line of a byte offset.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

/// Where the tag that opens at `from` ends. Quoted text may hold the closing delimiter, as in Jinja.
fn tag_end(text: &str, from: usize, close: &str, quotes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut i = from;
    while i < bytes.len() {
        if text[i..].starts_with(close) {
            return i + close.len();
        }
        i = match bytes[i] {
            q @ (b'"' | b'\'') if quotes => string_end(bytes, i, q),
            _ => next_char(text, i),
        };
    }
    bytes.len()
}

fn next_char(text: &str, i: usize) -> usize {
    i + text[i..].chars().next().map_or(1, char::len_utf8)
}

/// One past the closing quote of the string that opens at `i`; always on a character boundary.
fn string_end(bytes: &[u8], i: usize, quote: u8) -> usize {
    let mut j = i + 1;
    while j < bytes.len() {
        match bytes[j] {
            b'\\' => j += 2,
            b if b == quote => return j + 1,
            _ => j += 1,
        }
    }
    bytes.len()
}

/// Cut the text into plain text, comments, `{{ }}` and `{% %}`; a raw block is plain text.
pub(crate) fn scan(text: &str) -> Vec<Segment> {
    let mut out = Vec::new();
    let mut push = |kind, start: usize, end: usize| {
        if end > start {
            out.push(Segment { kind, start, end });
        }
    };
    let (mut at, mut plain) = (0, 0);
    while let Some(found) = text[at..].find('{') {
        let start = at + found;
        let (kind, end) = match text.as_bytes().get(start + 1) {
            Some(b'#') => (SegmentKind::Comment, tag_end(text, start + 2, "#}", false)),
            Some(b'{') => (SegmentKind::Variable, tag_end(text, start + 2, "}}", true)),
            Some(b'%') => (SegmentKind::Block, tag_end(text, start + 2, "%}", true)),
            _ => {
                at = start + 1;
                continue;
            }
        };
        let segment = Segment { kind, start, end };
        if kind == SegmentKind::Block && segment.word(text) == "raw" {
            at = raw_end(text, end);
            continue;
        }
        push(SegmentKind::Text, plain, start);
        push(kind, start, end);
        at = end;
        plain = end;
    }
    push(SegmentKind::Text, plain, text.len());
    out
}

fn raw_end(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = text[at..].find("{%") {
        let start = at + found;
        let end = tag_end(text, start + 2, "%}", false);
        if (Segment { kind: SegmentKind::Block, start, end }).word(text) == "endraw" {
            return end;
        }
        at = start + 2;
    }
    text.len()
}

/// The name macros are given within their own template, so that their real name always leads to the project's macro.
pub(crate) const MACRO_ENTRY: &str = "_xdb_entry";
/// The function that makes lists and mappings changeable (`append`, `update`), as Python's are.
pub(crate) const MUTABLE: &str = "_xdb_mutable";
/// The same for the value of an expression, where only a list is certain to be nothing else.
pub(crate) const MUTABLE_LIST: &str = "_xdb_list";

/// One macro, as a template that holds only it, on its own lines.
#[derive(Clone, Debug)]
pub(crate) struct MacroText {
    pub(crate) name: String,
    pub(crate) template: String,
    pub(crate) line: usize,
}

/// The macros of a file, and its generic tests (`{% test x() %}`, as macro `test_x`). Everything else in a macro file
/// has no meaning, in dbt neither. Errors: a macro without an end or a name.
pub(crate) fn split_macros(text: &str, path: &Path) -> Result<Vec<MacroText>> {
    let segments = scan(text);
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(open) = segments.get(i) {
        i += 1;
        let word = if open.kind == SegmentKind::Block { open.word(text) } else { "" };
        let end_word = match word {
            "macro" => "endmacro",
            "test" => "endtest",
            "data_test" => "enddata_test",
            // dbt's own kinds of blocks: nothing that a model may call.
            "materialization" => "endmaterialization",
            "snapshot" => "endsnapshot",
            "docs" => "enddocs",
            _ => continue,
        };
        let line = line_at(text, open.start);
        let mut depth = 1;
        let mut close = None;
        while let Some(s) = segments.get(i) {
            i += 1;
            if s.kind != SegmentKind::Block {
                continue;
            }
            match s.word(text) {
                w if w == word => depth += 1,
                w if w == end_word => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                close = Some(*s);
                break;
            }
        }
        let Some(close) = close else {
            return Err(Error::config(format!("this {word} has no {{% {end_word} %}}")).at(path.display(), line));
        };
        if !matches!(word, "macro" | "test" | "data_test") {
            continue;
        }
        let (inner_at, inner) = open.inner(text);
        let after = inner.find(word).map_or(0, |p| p + word.len());
        let rest = inner[after..].trim_start();
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() || !rest[name.len()..].trim_start().starts_with('(') {
            return Err(
                Error::config(format!("a {word} is written {{% {word} name(arguments) %}}")).at(path.display(), line)
            );
        }
        let name_end = inner_at + inner.len() - rest.len() + name.len();
        // The lines above are kept empty, so that errors have the file's own line numbers.
        let mut template = "\n".repeat(line - 1);
        template.push_str(&text[open.start..inner_at]);
        template.push_str(&format!(" macro {MACRO_ENTRY}"));
        template.push_str(&text[name_end..open.end]);
        template.push_str(&text[open.end..close.start]);
        template.push_str(&text[close.start..close.end].replacen(end_word, "endmacro", 1));
        let name = if word == "macro" { name } else { format!("test_{name}") };
        out.push(MacroText { name, template: prepare(&template), line });
    }
    Ok(out)
}

/// Python's lists can be changed in place (`{% do columns.append(x) %}`); MiniJinja's cannot. Wrap what is assigned by
/// `{% set x = … %}` into one that can. No line is added or removed.
pub(crate) fn prepare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for s in scan(text) {
        if s.kind != SegmentKind::Block || s.word(text) != "set" {
            continue;
        }
        let (at, inner) = s.inner(text);
        let Some(value) = assigned(inner) else { continue };
        let from = at + (value.as_ptr() as usize - inner.as_ptr() as usize);
        let literal = value.starts_with(['[', '{']) && closing(value) == Some(value.len());
        let function = if literal { MUTABLE } else { MUTABLE_LIST };
        out.push_str(&text[done..from]);
        out.push_str(&format!("{function}({value})"));
        done = from + value.len();
    }
    out.push_str(&text[done..]);
    out
}

/// The value of ` set name = value `, if it is one value; a block set has none.
fn assigned(inner: &str) -> Option<&str> {
    let rest = inner.trim_start().strip_prefix("set")?.trim_start();
    let rest = rest.trim_start_matches(|c: char| is_word(c) || c == '.').trim_start();
    let value = rest.strip_prefix('=').filter(|v| !v.starts_with('='))?.trim();
    (!value.is_empty() && !has_comma(value)).then_some(value)
}

/// A comma outside of brackets and texts: a tuple.
fn has_comma(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (0i32, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            q @ (b'"' | b'\'') => {
                i = string_end(bytes, i, q);
                continue;
            }
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => return true,
            _ => {}
        }
        i += 1;
    }
    false
}

/// One past the bracket that closes the one `text` begins with.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (0usize, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            q @ (b'"' | b'\'') => {
                i = string_end(bytes, i, q);
                continue;
            }
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            _ => {}
        }
        i += 1;
    }
    None
}

/// Calls of `function` with literal text arguments inside Jinja tags: the arguments and the line.
pub(crate) fn literal_calls(text: &str, function: &str) -> Vec<(Vec<String>, usize)> {
    let mut out = Vec::new();
    for s in scan(text) {
        if !matches!(s.kind, SegmentKind::Variable | SegmentKind::Block) {
            continue;
        }
        let (at, inner) = s.inner(text);
        let mut from = 0;
        while let Some(found) = inner[from..].find(function) {
            let start = from + found;
            from = start + function.len();
            let before = inner[..start].chars().next_back();
            if before.is_some_and(|c| is_word(c) || c == '.' || c == '\'' || c == '"') {
                continue;
            }
            if let Some(arguments) = inner[from..].trim_start().strip_prefix('(') {
                out.push((literal_arguments(arguments), line_at(text, at + start)));
            }
        }
    }
    out
}

fn literal_arguments(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(quote) = rest.bytes().next().filter(|b| matches!(b, b'"' | b'\'')) {
        let end = string_end(rest.as_bytes(), 0, quote);
        out.push(rest.get(1..end.saturating_sub(1)).unwrap_or_default().to_string());
        rest = rest.get(end..).unwrap_or_default().trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    out
}

/// Names that the text itself gives a meaning: `set`, `for`, `macro`. For "did you mean".
pub(crate) fn local_names(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for s in scan(text).iter().filter(|s| s.kind == SegmentKind::Block) {
        let word = s.word(text);
        let inner = s.inner(text).1.trim_start();
        let rest = &inner[word.len().min(inner.len())..];
        let names = match word {
            "set" => rest.split('=').next(),
            "for" => rest.split(" in ").next(),
            "macro" => rest.split(')').next(),
            _ => None,
        };
        for name in names.unwrap_or_default().split(|c| !is_word(c)) {
            if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && !out.iter().any(|o| o == name) {
                out.push(name.to_string());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_with_quoted_delimiters_and_raw_blocks() {
        let t = "a {# x {{ #} {{ '}}' }} {% raw %}{{ no }}{% endraw %} {%- if x -%}b{% endif %} { c";
        let got: Vec<_> = scan(t).iter().map(|s| (s.kind, &t[s.start..s.end])).collect();
        use SegmentKind::*;
        assert_eq!(
            got,
            [
                (Text, "a "),
                (Comment, "{# x {{ #}"),
                (Text, " "),
                (Variable, "{{ '}}' }}"),
                (Text, " {% raw %}{{ no }}{% endraw %} "),
                (Block, "{%- if x -%}"),
                (Text, "b"),
                (Block, "{% endif %}"),
                (Text, " { c"),
            ]
        );
    }

    #[test]
    fn half_written_tags_do_not_panic() {
        for t in ["{", "{%", "{{", "{{ 'é", "{% set x = [", "{%-%}", "{##}", "{#", "é{{é}}", "{% raw %}", "{{ ref('\\"]
        {
            scan(t);
            prepare(t);
            literal_calls(t, "ref");
            local_names(t);
            let _ = split_macros(t, Path::new("m.sql"));
        }
    }

    #[test]
    fn macros_are_cut_out_on_their_own_lines() {
        let t = "-- text\n{% macro a(x) %}A{% endmacro %}\n\n{%- macro b() -%}\nB\n{%- endmacro -%}\n{% test t(model) %}T{% endtest %}";
        let got = split_macros(t, Path::new("m.sql")).unwrap();
        assert_eq!(
            got.iter().map(|m| (m.name.as_str(), m.line)).collect::<Vec<_>>(),
            [("a", 2), ("b", 4), ("test_t", 7)]
        );
        assert_eq!(got[0].template, "\n{% macro _xdb_entry(x) %}A{% endmacro %}");
        assert_eq!(got[1].template, "\n\n\n{%- macro _xdb_entry() -%}\nB\n{%- endmacro -%}");
        assert!(got[2].template.ends_with("{% macro _xdb_entry(model) %}T{% endmacro %}"), "{}", got[2].template);
    }

    #[test]
    fn a_macro_without_an_end_is_an_error_with_its_line() {
        let e = split_macros("\n{% macro a() %}", Path::new("macros/m.sql")).unwrap_err();
        assert_eq!(e.context().location.as_deref(), Some("macros/m.sql:2"));
        assert_eq!(e.message(), "this macro has no {% endmacro %}");
    }

    #[test]
    fn assigned_lists_become_changeable() {
        assert_eq!(prepare("{% set x = [] %}"), "{% set x = _xdb_mutable([]) %}");
        assert_eq!(prepare("{%- set x = [1,\n 2] -%}y"), "{%- set x = _xdb_mutable([1,\n 2]) -%}y");
        assert_eq!(prepare("{% set x = {'a]': 1} %}"), "{% set x = _xdb_mutable({'a]': 1}) %}");
        assert_eq!(prepare("{% set x = [1] + y %}"), "{% set x = _xdb_list([1] + y) %}");
        assert_eq!(prepare("{% set ns.x = y | list %}"), "{% set ns.x = _xdb_list(y | list) %}");
        for same in [
            "{% set a, b = 1, 2 %}",
            "{% set x = 1, 2 %}",
            "{% set x %}[]{% endset %}",
            "{{ [] }}",
            "{% set x | f('=') %}",
        ] {
            assert_eq!(prepare(same), same);
        }
    }

    #[test]
    fn calls_with_literal_names_have_lines() {
        let t = "{{ ref('a') }}\n{{ my_ref('no') }} ref('no')\n{% set x = ref( 'p' , \"b\") ~ ref(y) %}";
        assert_eq!(
            literal_calls(t, "ref"),
            [(vec!["a".to_string()], 1), (vec!["p".to_string(), "b".to_string()], 3), (vec![], 3)]
        );
    }
}
