//! How Jinja behaves here: strictness, Python's ways of printing and of methods, and the filters dbt adds.

use crate::convert::{bad, python, throw, to_value};
use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error as JinjaError, UndefinedBehavior};
use serde_json::Value as Json;
use xdb_core::{Error, ErrorKind};

/// Filters that dbt adds, and Python's ways where MiniJinja has its own.
pub(crate) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(|state, value, method, args| {
        if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map)
            && matches!(method, "append" | "extend" | "insert" | "update" | "pop" | "remove" | "clear")
        {
            return Err(bad(format!(
                "{method}(): this {} can't be changed; one that is assigned as it is written can: {{% set x = [] %}}",
                value.kind()
            )));
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let mut text = String::new();
            python(value, false, &mut text);
            out.write_str(&text).map_err(JinjaError::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.add_filter("as_text", |v: &Value| v.to_string());
    env.add_filter("as_number", as_number);
    env.add_filter("as_bool", as_bool);
    env.add_filter("as_native", |v: Value| v);
    env.add_filter("fromjson", |text: String| from_json(text, None));
    env.add_filter("tuple", |v: &Value| -> Result<Value, JinjaError> {
        Ok(Value::from(Tuple::from(v.try_iter()?.collect::<Vec<_>>())))
    });
    env
}

/// `fromjson(text, default)`: the default where the text is no JSON; without one an error.
pub(crate) fn from_json(text: String, default: Option<&Value>) -> Result<Value, JinjaError> {
    match (serde_json::from_str::<Json>(&text), default) {
        (Ok(v), _) => Ok(to_value(&v)),
        (Err(_), Some(d)) => Ok(d.clone()),
        (Err(e), None) => Err(throw(Error::new(ErrorKind::Config, format!("fromjson(): {e}")))),
    }
}

/// `as_number`: the number a text stands for.
fn as_number(v: &Value) -> Result<Value, JinjaError> {
    match v.kind() {
        ValueKind::Number => Ok(v.clone()),
        _ => {
            let text = v.to_string();
            let t = text.trim();
            t.parse::<i64>()
                .map(Value::from)
                .or_else(|_| t.parse::<f64>().map(Value::from))
                .map_err(|_| bad(format!("as_number: `{text}` is not a number")))
        }
    }
}

/// `as_bool`: the flag a text stands for.
fn as_bool(v: &Value) -> Result<Value, JinjaError> {
    match v.to_string().trim().to_lowercase().as_str() {
        "true" => Ok(Value::from(true)),
        "false" => Ok(Value::from(false)),
        other => Err(bad(format!("as_bool: `{other}` is neither true nor false"))),
    }
}
