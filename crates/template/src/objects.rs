//! Values that templates handle: relations, query results, changeable lists and mappings, times.

use crate::context::{QueryRows, RelationValue, SharedContext};
use crate::convert::{Args, bad, to_value};
use chrono::{DateTime, Datelike, Timelike, Utc};
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error as JinjaError, ErrorKind as JinjaKind, State};
use std::fmt;
use std::sync::{Arc, Mutex};

pub(crate) fn text_or_none(v: &Option<String>) -> Value {
    v.as_ref().map_or_else(|| Value::from(()), Value::from)
}

/// A relation: prints as SQL.
pub(crate) struct RelationObject {
    pub(crate) value: RelationValue,
    pub(crate) context: Option<SharedContext>,
}
impl fmt::Debug for RelationObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value.rendered)
    }
}
impl RelationObject {
    pub(crate) fn value(value: RelationValue, context: Option<SharedContext>) -> Value {
        Value::from_object(Self { value, context })
    }
    /// A relation made of names only, quoted as the context quotes.
    pub(crate) fn of(
        database: Option<String>,
        schema: Option<String>,
        identifier: String,
        context: Option<SharedContext>,
    ) -> Value {
        let mut value = RelationValue { database, schema, identifier, rendered: String::new(), kind: None };
        value.rendered = Self::render_parts(&value, [true, true, true], &context);
        Self::value(value, context)
    }
    fn render_parts(v: &RelationValue, with: [bool; 3], context: &Option<SharedContext>) -> String {
        let quote = |part: &str| match context {
            Some(c) => c.quote(part),
            None => part.to_string(),
        };
        let parts = [v.database.as_deref(), v.schema.as_deref(), Some(v.identifier.as_str())];
        parts.iter().zip(with).filter(|(_, w)| *w).filter_map(|(p, _)| p.map(quote)).collect::<Vec<_>>().join(".")
    }
}
impl Object for RelationObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let v = &self.value;
        let kind = v.kind.as_deref();
        Some(match key.as_str()? {
            "database" => text_or_none(&v.database),
            "schema" => text_or_none(&v.schema),
            "identifier" | "name" | "table" => Value::from(&v.identifier),
            "type" => text_or_none(&v.kind),
            "is_table" => Value::from(kind == Some("table")),
            "is_view" => Value::from(kind == Some("view")),
            "is_cte" => Value::from(kind == Some("cte")),
            _ => return None,
        })
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, JinjaError> {
        match method {
            "render" => Ok(Value::from(&self.value.rendered)),
            "include" | "without_identifier" => {
                let a = Args::new("include", args)?;
                let on = |name: &str| a.get(usize::MAX, name).is_none_or(Value::is_true);
                let with = [on("database"), on("schema"), method == "include" && on("identifier")];
                let mut value = self.value.clone();
                value.rendered = Self::render_parts(&value, with, &self.context);
                Ok(Self::value(value, self.context.clone()))
            }
            "quote" => Ok(Value::from_dyn_object(self.clone())),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.value.rendered.cmp(&other.downcast_ref::<Self>()?.value.rendered))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value.rendered)
    }
}

/// What `run_query()` gives: agate's table, as far as models use it.
#[derive(Debug)]
pub(crate) struct Table(pub(crate) Arc<QueryRows>);
impl Table {
    pub(crate) fn value(rows: QueryRows) -> Value {
        Value::from_object(Self(Arc::new(rows)))
    }
    fn row(&self, i: usize) -> Value {
        Value::from_object(Line { names: self.0.columns.clone(), values: self.cells(i) })
    }
    fn cells(&self, i: usize) -> Vec<Value> {
        self.0.rows.get(i).map(|r| r.iter().map(to_value).collect()).unwrap_or_default()
    }
    fn columns(&self) -> Value {
        let columns = self.0.columns.iter().enumerate().map(|(i, name)| {
            let values = self.0.rows.iter().map(|r| r.get(i).map_or_else(Value::default, to_value)).collect();
            Value::from_object(Column { name: name.clone(), values })
        });
        Value::from_object(Line { names: self.0.columns.clone(), values: columns.collect() })
    }
}
impl Object for Table {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Some(i) = key.as_usize() {
            return (i < self.0.rows.len()).then(|| self.row(i));
        }
        Some(match key.as_str()? {
            "columns" => self.columns(),
            "rows" => Value::from((0..self.0.rows.len()).map(|i| self.row(i)).collect::<Vec<_>>()),
            "column_names" => Value::from(self.0.columns.clone()),
            _ => return None,
        })
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.rows.len())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Result<Value, JinjaError> {
        match method {
            "print_table" => Ok(Value::from("")),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
}

/// A row (by position, by name), or the columns of a table.
#[derive(Debug)]
struct Line {
    names: Vec<String>,
    values: Vec<Value>,
}
impl Object for Line {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let i = match key.as_usize() {
            Some(i) => i,
            None => {
                let name = key.as_str()?;
                let exact = self.names.iter().position(|n| n == name);
                // Systems differ in how they fold the case of unquoted names; so does dbt's agate table.
                exact.or_else(|| self.names.iter().position(|n| n.eq_ignore_ascii_case(name)))?
            }
        };
        self.values.get(i).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, a: &[Value]) -> Result<Value, JinjaError> {
        match method {
            "values" => Ok(Value::from(self.values.clone())),
            "keys" => Ok(Value::from(self.names.clone())),
            "items" => Ok(self.names.iter().zip(&self.values).map(|(n, v)| vec![Value::from(n), v.clone()]).collect()),
            "dict" => Ok(Value::from_pairs(self.names.iter().cloned().zip(self.values.iter().cloned()))),
            "get" => Ok(a.first().and_then(|k| self.get_value(k)).or(a.get(1).cloned()).unwrap_or(Value::from(()))),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
}

#[derive(Debug)]
struct Column {
    name: String,
    values: Vec<Value>,
}
impl Object for Column {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_usize() {
            Some(i) => self.values.get(i).cloned(),
            None => (key.as_str()? == "name").then(|| Value::from(&self.name)),
        }
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Result<Value, JinjaError> {
        match method {
            "values" => Ok(Value::from(self.values.clone())),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
}

/// A list or mapping made changeable, all the way down. What is changeable already stays the same object, and so does
/// any list that is more than a list (a query's rows).
pub(crate) fn mutable(value: &Value) -> Value {
    match value.kind() {
        ValueKind::Map if value.downcast_object_ref::<Dict>().is_none() => {
            let keys = value.try_iter().into_iter().flatten();
            let pairs = keys.map(|k| (k.clone(), mutable(&value.get_item(&k).unwrap_or_default()))).collect();
            Value::from_object(Dict(Mutex::new(pairs)))
        }
        _ => mutable_list(value),
    }
}

/// [`mutable`] for lists only: a mapping may be a namespace, or something else with a life of its own.
pub(crate) fn mutable_list(value: &Value) -> Value {
    fn is<T: 'static>(v: &Value) -> bool {
        v.downcast_object_ref::<T>().is_some()
    }
    let plain = value.kind() == ValueKind::Seq && !value.is_tuple();
    if !plain || is::<List>(value) || is::<Table>(value) || is::<Line>(value) || is::<Column>(value) {
        return value.clone();
    }
    let items = value.try_iter().into_iter().flatten().map(|v| mutable(&v)).collect();
    Value::from_object(List(Mutex::new(items)))
}

fn locked<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Python's list.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<Vec<Value>>);
impl List {
    pub(crate) fn fill(&self, values: Vec<Value>) {
        *locked(&self.0) = values;
    }
}
impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        locked(&self.0).get(key.as_usize()?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(locked(&self.0).clone())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, JinjaError> {
        let first = || args.first().cloned().ok_or_else(|| bad(format!("{method}() needs an argument")));
        let none = Value::from(());
        match method {
            "append" => {
                let v = mutable(&first()?);
                locked(&self.0).push(v);
            }
            "extend" => {
                // Read before locking: a list may be extended by itself.
                let more: Vec<Value> = first()?.try_iter()?.map(|v| mutable(&v)).collect();
                locked(&self.0).extend(more);
            }
            "insert" => {
                let (at, v) = (first()?.as_usize().unwrap_or(0), args.get(1).cloned().unwrap_or_default());
                let mut l = locked(&self.0);
                let at = at.min(l.len());
                l.insert(at, v);
            }
            "pop" => {
                let mut l = locked(&self.0);
                let at = match args.first().and_then(Value::as_i64) {
                    None => l.len().checked_sub(1),
                    Some(i) if i < 0 => l.len().checked_sub(i.unsigned_abs() as usize),
                    Some(i) => Some(i as usize),
                };
                return match at.filter(|i| *i < l.len()) {
                    Some(i) => Ok(l.remove(i)),
                    None => Err(bad("pop() from a list that has no such element")),
                };
            }
            "remove" => {
                let v = first()?;
                let mut l = locked(&self.0);
                match l.iter().position(|x| *x == v) {
                    Some(i) => drop(l.remove(i)),
                    None => return Err(bad(format!("remove(): {v} is not in the list"))),
                }
            }
            "clear" => locked(&self.0).clear(),
            "reverse" => locked(&self.0).reverse(),
            "sort" => locked(&self.0).sort(),
            "copy" => return Ok(Value::from_object(Self(Mutex::new(locked(&self.0).clone())))),
            "index" => {
                let v = first()?;
                return match locked(&self.0).iter().position(|x| *x == v) {
                    Some(i) => Ok(Value::from(i)),
                    None => Err(bad(format!("index(): {v} is not in the list"))),
                };
            }
            _ => return Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
        Ok(none)
    }
}

/// Python's dict.
#[derive(Debug, Default)]
pub(crate) struct Dict(Mutex<Vec<(Value, Value)>>);
impl Dict {
    pub(crate) fn fill(&self, pairs: Vec<(String, Value)>) {
        *locked(&self.0) = pairs.into_iter().map(|(k, v)| (Value::from(k), v)).collect();
    }
    fn set(&self, key: Value, value: Value) {
        let value = mutable(&value);
        let mut m = locked(&self.0);
        match m.iter_mut().find(|(k, _)| *k == key) {
            Some((_, v)) => *v = value,
            None => m.push((key, value)),
        }
    }
}
impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        locked(&self.0).iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(locked(&self.0).iter().map(|(k, _)| k.clone()).collect())
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, JinjaError> {
        let none = Value::from(());
        match method {
            "update" => {
                let (positional, named) = crate::convert::split(args)?;
                if let Some(other) = positional.first() {
                    let pairs: Vec<(Value, Value)> =
                        other.try_iter()?.map(|k| (k.clone(), other.get_item(&k).unwrap_or_default())).collect();
                    pairs.into_iter().for_each(|(k, v)| self.set(k, v));
                }
                named.into_iter().for_each(|(k, v)| self.set(Value::from(k), v));
                Ok(none)
            }
            "setdefault" => {
                let (Some(key), default) = (args.first(), args.get(1).cloned().unwrap_or(none)) else {
                    return Err(bad("setdefault() needs a key"));
                };
                if self.get_value(key).is_none() {
                    self.set(key.clone(), default);
                }
                Ok(self.get_value(key).unwrap_or_default())
            }
            "pop" => {
                let mut m = locked(&self.0);
                match m.iter().position(|(k, _)| Some(k) == args.first()) {
                    Some(i) => Ok(m.remove(i).1),
                    None => args.get(1).cloned().ok_or_else(|| bad("pop(): there is no such key")),
                }
            }
            "clear" => {
                locked(&self.0).clear();
                Ok(none)
            }
            "copy" => Ok(Value::from_object(Self(Mutex::new(locked(&self.0).clone())))),
            // `get items keys values` come from the Python compatibility layer.
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
}

/// A point in time, UTC; as far as Python's `datetime` is used in models.
#[derive(Debug)]
pub(crate) struct Time(pub(crate) DateTime<Utc>);
impl Object for Time {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let t = &self.0;
        Some(match key.as_str()? {
            "year" => Value::from(t.year()),
            "month" => Value::from(t.month()),
            "day" => Value::from(t.day()),
            "hour" => Value::from(t.hour()),
            "minute" => Value::from(t.minute()),
            "second" => Value::from(t.second()),
            "microsecond" => Value::from(t.timestamp_subsec_micros()),
            _ => return None,
        })
    }
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, JinjaError> {
        match method {
            "strftime" => {
                let format = Args::new("strftime", args)?.text(0, "format")?;
                let mut out = String::new();
                // An unknown directive is an error of the formatter's `Display`, not a panic, when written this way.
                fmt::Write::write_fmt(&mut out, format_args!("{}", self.0.format(&format)))
                    .map_err(|_| bad(format!("strftime(): `{format}` is not a valid format")))?;
                Ok(Value::from(out))
            }
            "isoformat" => Ok(Value::from(self.0.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string())),
            "date" => Ok(Value::from(self.0.format("%Y-%m-%d").to_string())),
            "timestamp" => Ok(Value::from(self.0.timestamp_micros() as f64 / 1e6)),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d %H:%M:%S%.6f+00:00"))
    }
}
