//! Between MiniJinja's values and errors and ours.

use minijinja::value::{Kwargs, Serde, Value, ValueKind, from_args};
use minijinja::{Error as JinjaError, ErrorKind as JinjaKind};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Mutex;
use xdb_core::Error;

/// One of our errors on its way through MiniJinja, which clones its errors' sources but gives them out only borrowed.
pub(crate) struct Carrier(Mutex<Option<Error>>);
impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}
impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of the caller")
    }
}
impl std::error::Error for Carrier {}

/// What `return()` throws; a macro's call catches it.
#[derive(Debug)]
pub(crate) struct ReturnSignal(pub(crate) Value);
impl fmt::Display for ReturnSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("return() outside of a macro")
    }
}
impl std::error::Error for ReturnSignal {}

/// Our error as MiniJinja's, to be taken out again by [`take_ours`].
pub(crate) fn throw(e: Error) -> JinjaError {
    JinjaError::new(JinjaKind::InvalidOperation, e.message().to_string()).with_source(Carrier(Mutex::new(Some(e))))
}

pub(crate) fn bad(message: impl Into<String>) -> JinjaError {
    throw(Error::config(message))
}

fn find<T: std::error::Error + 'static>(e: &JinjaError) -> Option<&T> {
    let mut next = std::error::Error::source(e);
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref::<T>() {
            return Some(found);
        }
        next = source.source();
    }
    None
}

/// Our own error, if that is what stopped the template.
pub(crate) fn take_ours(e: &JinjaError) -> Option<Error> {
    find::<Carrier>(e).and_then(|c| c.0.lock().ok()?.take())
}

/// The value of a `return()`, if that is what stopped the macro.
pub(crate) fn returned(e: &JinjaError) -> Option<Value> {
    find::<ReturnSignal>(e).map(|r| r.0.clone())
}

pub(crate) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        other => Value::from(Serde(other)),
    }
}

/// Undefined is null; an object that is no list and no mapping is its text.
pub(crate) fn to_json(value: &Value) -> Json {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map(|items| Json::Array(items.map(|v| to_json(&v)).collect())).unwrap_or(Json::Null)
        }
        ValueKind::Map => {
            let pairs = value.try_iter().into_iter().flatten().map(|k| {
                let v = value.get_item(&k).map(|v| to_json(&v)).unwrap_or(Json::Null);
                (k.to_string(), v)
            });
            Json::Object(pairs.collect())
        }
        ValueKind::Bool | ValueKind::Number => serde_json::to_value(value).unwrap_or(Json::Null),
        _ => Json::String(value.to_string()),
    }
}

/// Positional and keyword arguments, taken apart.
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(String, Value)>,
    function: &'static str,
}
impl Args {
    pub(crate) fn new(function: &'static str, args: &[Value]) -> Result<Self, JinjaError> {
        let (positional, kwargs) = split(args)?;
        Ok(Self { positional: positional.to_vec(), named: kwargs, function })
    }
    /// The argument `name`, or the one at `position`; neither undefined nor absent.
    pub(crate) fn get(&self, position: usize, name: &str) -> Option<&Value> {
        let found = self.named.iter().find(|(k, _)| k == name).map(|(_, v)| v).or(self.positional.get(position));
        found.filter(|v| !v.is_undefined())
    }
    pub(crate) fn text(&self, position: usize, name: &str) -> Result<String, JinjaError> {
        match self.opt_text(position, name)? {
            Some(t) => Ok(t),
            None => Err(bad(format!("{}() needs `{name}`", self.function))),
        }
    }
    pub(crate) fn opt_text(&self, position: usize, name: &str) -> Result<Option<String>, JinjaError> {
        match self.get(position, name) {
            None => Ok(None),
            Some(v) if v.is_none() => Ok(None),
            Some(v) => match v.kind() {
                ValueKind::String | ValueKind::Number | ValueKind::Plain => Ok(Some(v.to_string())),
                kind => Err(bad(format!("{}(): `{name}` must be text, not a {kind}", self.function))),
            },
        }
    }
    pub(crate) fn flag(&self, position: usize, name: &str) -> bool {
        self.get(position, name).is_some_and(Value::is_true)
    }
    pub(crate) fn expect_none(&self) -> Result<(), JinjaError> {
        if self.positional.is_empty() && self.named.is_empty() {
            return Ok(());
        }
        Err(bad(format!("{}() takes no arguments", self.function)))
    }
}

/// The positional arguments and the keyword ones.
#[allow(clippy::type_complexity)] // a pair of lists, used twice
pub(crate) fn split(args: &[Value]) -> Result<(&[Value], Vec<(String, Value)>), JinjaError> {
    let (positional, kwargs) = from_args::<(&[Value], Kwargs)>(args)?;
    let mut named = Vec::new();
    for key in kwargs.args() {
        named.push((key.to_string(), kwargs.peek::<Value>(key)?));
    }
    Ok((positional, named))
}

/// Python's way of printing, which dbt users see: `True`, `None`, and texts in lists in single quotes (so that a
/// printed tuple is good SQL).
pub(crate) fn python(value: &Value, nested: bool, out: &mut String) {
    let list = |open: char, close: &str, out: &mut String| {
        out.push(open);
        for (i, v) in value.try_iter().into_iter().flatten().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            python(&v, true, out);
        }
        out.push_str(close);
    };
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String if nested => {
            let text = value.to_string();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    c if c == quote => {
                        out.push('\\');
                        out.push(c);
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq if value.is_tuple() => list('(', if value.len() == Some(1) { ",)" } else { ")" }, out),
        ValueKind::Seq | ValueKind::Iterable => list('[', "]", out),
        ValueKind::Map => {
            out.push('{');
            for (i, k) in value.try_iter().into_iter().flatten().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                python(&k, true, out);
                out.push_str(": ");
                python(&value.get_item(&k).unwrap_or_default(), true, out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}
