//! One line of NDJSON to its keys and values, without losing a digit.
//!
//! A general JSON parser turns numbers into doubles; this one hands out each value's own text, and leaves nested values
//! whole.

use crate::infer::Cell;
use std::borrow::Cow;

/// A value of a top-level key. `None` is `null`.
pub(crate) type Value<'a> = Option<(Cell, Cow<'a, str>)>;

/// Calls `each` with every key and value of the object on `line`. The error says what is wrong, and where on the line.
pub(crate) fn object<'a>(
    line: &'a str,
    mut each: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut p = Parser { text: line, at: 0 };
    p.space();
    if p.peek() == Some(b'[') {
        return Err("a JSON array, not one object a line".into());
    }
    p.expect(b'{')?;
    p.space();
    if p.peek() == Some(b'}') {
        p.at += 1;
    } else {
        loop {
            p.space();
            let key = p.string()?;
            p.space();
            p.expect(b':')?;
            p.space();
            let value = p.value()?;
            each(key, value)?;
            p.space();
            match p.peek() {
                Some(b',') => p.at += 1,
                Some(b'}') => {
                    p.at += 1;
                    break;
                }
                _ => return Err(p.fault("expected `,` or `}`")),
            }
        }
    }
    p.space();
    if p.at < line.len() {
        return Err(p.fault("text follows the object"));
    }
    Ok(())
}

/// The JSON text of a value of [`object`]: quotes and escapes put back.
pub(crate) fn raw_text(cell: Cell, text: &str) -> String {
    if cell == Cell::JsonText { quote(text) } else { text.into() }
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}
impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
    fn fault(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at + 1)
    }
    fn expect(&mut self, b: u8) -> Result<(), String> {
        if self.peek() == Some(b) {
            self.at += 1;
            return Ok(());
        }
        Err(self.fault(&format!("expected `{}`", char::from(b))))
    }
    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let start = self.at;
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            match self.peek() {
                None => return Err(self.fault("a string never closes")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(b) if b < 0x20 => return Err(self.fault("a control character within a string")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let whole = self.text.get(start..self.at).ok_or_else(|| self.fault("a broken escape"))?;
        if !escaped {
            return Ok(Cow::Borrowed(&whole[1..whole.len() - 1]));
        }
        serde_json::from_str::<String>(whole).map(Cow::Owned).map_err(|e| self.fault(&e.to_string()))
    }
    fn value(&mut self) -> Result<Value<'a>, String> {
        let start = self.at;
        let b = self.peek().ok_or_else(|| self.fault("expected a value"))?;
        match b {
            b'"' => Ok(Some((Cell::JsonText, self.string()?))),
            b'{' | b'[' => {
                let mut depth = 0usize;
                loop {
                    match self.peek() {
                        None => return Err(self.fault("an array or object never closes")),
                        Some(b'"') => {
                            self.string()?;
                            continue;
                        }
                        Some(b'{' | b'[') => depth += 1,
                        Some(b'}' | b']') => depth -= 1,
                        Some(_) => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                let whole = &self.text[start..self.at];
                serde_json::from_str::<serde::de::IgnoredAny>(whole).map_err(|e| format!("{e}, in a nested value"))?;
                Ok(Some((Cell::JsonNested, Cow::Borrowed(whole))))
            }
            _ => {
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) {
                    self.at += 1;
                }
                let word = &self.text[start..self.at];
                match word {
                    "null" => Ok(None),
                    "true" | "false" => Ok(Some((Cell::JsonBool, Cow::Borrowed(word)))),
                    n if crate::values::number_shape(n.as_bytes()).is_some() => {
                        Ok(Some((Cell::JsonNumber, Cow::Borrowed(n))))
                    }
                    other => {
                        self.at = start;
                        Err(self.fault(&format!("`{other}` is not a JSON value")))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs = Vec<(String, Option<(Cell, String)>)>;
    fn read(line: &str) -> Result<Pairs, String> {
        let mut out = vec![];
        object(line, |k, v| {
            out.push((k.into_owned(), v.map(|(c, t)| (c, t.into_owned()))));
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn values_keep_their_text() {
        let got = read(r#" {"a": 1.10, "b\n": "x\u00e9\"", "c":null,"d":{"e":["}",1]} , "f":true}"#).unwrap();
        let want: Pairs = vec![
            ("a".into(), Some((Cell::JsonNumber, "1.10".into()))),
            ("b\n".into(), Some((Cell::JsonText, "xé\"".into()))),
            ("c".into(), None),
            ("d".into(), Some((Cell::JsonNested, r#"{"e":["}",1]}"#.into()))),
            ("f".into(), Some((Cell::JsonBool, "true".into()))),
        ];
        assert_eq!(got, want);
        assert_eq!(read("{}").unwrap(), vec![]);
    }
    #[test]
    fn faults_say_where() {
        for (line, at) in [
            ("[1]", "array"),
            ("{\"a\":1", "byte 7"),
            ("{\"a\":01}", "byte 6"),
            ("{\"a\":nul}", "`nul`"),
            ("{\"a\":\"x", "never closes"),
            ("{\"a\":1} x", "byte 9"),
            ("{\"a\":[1,]}", "nested"),
            ("{\"a\":\"\\", "never closes"),
            ("{\"a\" 1}", "expected `:`"),
            ("{\"a\":[}", "nested"),
        ] {
            let e = read(line).unwrap_err();
            assert!(e.contains(at), "{line}: {e}");
        }
    }
    proptest! {
        #[test]
        fn never_panics(line in "[{}\\[\\]\",:\\\\a1é ]{0,24}") {
            // Whatever is accepted, serde_json accepts too.
            if read(&line).is_ok() {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok(), "{}", line);
            }
        }
        #[test]
        fn strings_round_trip(s in any::<String>()) {
            let line = format!("{{\"a\":{}}}", quote(&s));
            prop_assert_eq!(read(&line).unwrap(), vec![("a".to_string(), Some((Cell::JsonText, s)))]);
        }
    }
}
