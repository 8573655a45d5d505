//! The functions and objects dbt gives to templates.

use crate::context::RelationValue;
use crate::convert::{Args, ReturnSignal, bad, split, throw, to_json, to_value};
use crate::filters::from_json;
use crate::objects::{RelationObject, Table, mutable, mutable_list};
use crate::record::{EnvCall, RefCall, SourceCall};
use crate::run::Run;
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error as JinjaError, ErrorKind as JinjaKind, State};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;
use xdb_core::Error;
use xdb_core::names::suggest;

/// Environment variables that may hold a secret: read in profiles.yml only.
const SECRET_PREFIXES: [&str; 2] = ["XDB_ENV_SECRET_", "DBT_ENV_SECRET_"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ref,
    Source,
    Config,
    Var,
    EnvVar,
    IsIncremental,
    RunQuery,
    Log,
    Print,
    Return,
    Statement,
    LoadResult,
    LoadRelation,
    ToJson,
    FromJson,
    Set,
    Zip,
    Mutable,
    MutableList,
    Exceptions,
    Adapter,
    Api,
    RelationType,
}

/// Each with the name it has in templates.
pub(crate) const NAMES: &[(&str, Kind)] = &[
    ("ref", Kind::Ref),
    ("source", Kind::Source),
    ("config", Kind::Config),
    ("var", Kind::Var),
    ("env_var", Kind::EnvVar),
    ("is_incremental", Kind::IsIncremental),
    ("run_query", Kind::RunQuery),
    ("log", Kind::Log),
    ("print", Kind::Print),
    ("return", Kind::Return),
    ("statement", Kind::Statement),
    ("load_result", Kind::LoadResult),
    ("load_relation", Kind::LoadRelation),
    ("tojson", Kind::ToJson),
    ("fromjson", Kind::FromJson),
    ("set", Kind::Set),
    ("zip", Kind::Zip),
    (crate::source::MUTABLE, Kind::Mutable),
    (crate::source::MUTABLE_LIST, Kind::MutableList),
    ("exceptions", Kind::Exceptions),
    ("adapter", Kind::Adapter),
    ("api", Kind::Api),
];

/// One of them, bound to its rendering.
pub(crate) struct Builtin {
    run: Arc<Run>,
    name: &'static str,
    kind: Kind,
}
impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", self.name)
    }
}

type Outcome = Result<Value, JinjaError>;

fn empty() -> Value {
    Value::from("")
}
fn none() -> Value {
    Value::from(())
}

impl Builtin {
    pub(crate) fn named(name: &str, run: &Arc<Run>) -> Option<Value> {
        let (name, kind) = NAMES.iter().find(|(n, _)| *n == name)?;
        Some(Value::from_object(Self { run: run.clone(), name, kind: *kind }))
    }

    fn relation(&self, value: RelationValue) -> Value {
        RelationObject::value(value, self.run.context.clone())
    }

    fn reference(&self, a: &Args) -> Outcome {
        // ref(name), ref(package, name), and dbt's version=, which xdb's models don't have.
        let (package, name) = match a.positional.len() {
            1 => (None, a.text(0, "name")?),
            2 => (Some(a.text(0, "package")?), a.text(1, "name")?),
            _ => return Err(bad("ref() takes a model's name, or a package and a name")),
        };
        let call = RefCall { package: package.clone(), name: name.clone(), line: 0 };
        {
            let mut recorded = self.run.recorded();
            if !recorded.refs.contains(&call) {
                recorded.refs.push(call);
            }
        }
        match &self.run.context {
            Some(c) => Ok(self.relation(c.ref_(package.as_deref(), &name).map_err(throw)?)),
            None => Ok(self.placeholder(name)),
        }
    }

    fn placeholder(&self, name: String) -> Value {
        let t = &self.run.settings.target;
        self.relation(RelationValue {
            database: t.database.clone(),
            schema: t.schema.clone(),
            rendered: name.clone(),
            identifier: name,
            kind: None,
        })
    }

    fn source(&self, a: &Args) -> Outcome {
        if a.positional.len() + a.named.len() != 2 {
            return Err(bad("source() takes a source's name and a table's"));
        }
        let (source, table) = (a.text(0, "source_name")?, a.text(1, "table_name")?);
        let call = SourceCall { source: source.clone(), table: table.clone(), line: 0 };
        {
            let mut recorded = self.run.recorded();
            if !recorded.sources.contains(&call) {
                recorded.sources.push(call);
            }
        }
        match &self.run.context {
            Some(c) => Ok(self.relation(c.source(&source, &table).map_err(throw)?)),
            None => Ok(self.placeholder(table)),
        }
    }

    fn config(&self, args: &[Value]) -> Outcome {
        let (positional, named) = split(args)?;
        let mut recorded = self.run.recorded();
        let mut put = |key: String, value: Json| {
            let key = key.replace('-', "_");
            match (key.as_str(), recorded.config.get_mut(&key)) {
                ("tags" | "pre_hook" | "post_hook", Some(old)) => {
                    let mut all = std::mem::take(old);
                    if !all.is_array() {
                        all = Json::Array(vec![all]);
                    }
                    if let Json::Array(list) = &mut all {
                        match value {
                            Json::Array(more) => list.extend(more),
                            one => list.push(one),
                        }
                    }
                    *old = all;
                }
                _ => {
                    recorded.config.insert(key, value);
                }
            }
        };
        for p in positional {
            let Json::Object(m) = to_json(p) else {
                return Err(bad("config() takes name=value arguments, for example config(materialized='table')"));
            };
            m.into_iter().for_each(|(k, v)| put(k, v));
        }
        named.into_iter().for_each(|(k, v)| put(k, to_json(&v)));
        Ok(empty())
    }

    /// What `config.get(key)` sees: the merged config while rendering, what was said so far while parsing.
    fn config_value(&self, key: &str) -> Option<Value> {
        let found = match &self.run.context {
            Some(_) => self.run.node.config.get(key).cloned(),
            None => self.run.recorded().config.get(key).cloned(),
        };
        found.filter(|v| !v.is_null()).map(|v| to_value(&v))
    }

    fn config_method(&self, method: &str, args: &[Value]) -> Outcome {
        let a = Args::new("config.get", args)?;
        match method {
            "get" | "meta_get" => {
                let key = a.text(0, "name")?;
                Ok(self.config_value(&key).or_else(|| a.get(1, "default").cloned()).unwrap_or_else(none))
            }
            "require" => {
                let key = a.text(0, "name")?;
                self.config_value(&key).or_else(|| self.run.context.is_none().then(none)).ok_or_else(|| {
                    throw(
                        Error::config(format!("config.require('{key}'): the model has no such config"))
                            .hint(format!("add `{key}` to the model's config()")),
                    )
                })
            }
            "set" => {
                let (key, value) = (a.text(0, "name")?, a.get(1, "value").map(to_json).unwrap_or_default());
                self.run.recorded().config.insert(key, value);
                Ok(empty())
            }
            "persist_relation_docs" | "persist_column_docs" => Ok(Value::from(false)),
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }

    fn var(&self, a: &Args) -> Outcome {
        let name = a.text(0, "name")?;
        {
            let mut recorded = self.run.recorded();
            if !recorded.vars.contains(&name) {
                recorded.vars.push(name.clone());
            }
        }
        if let Some(v) = self.run.settings.vars.get(&name) {
            return Ok(to_value(v));
        }
        // A default of `none` is a default too.
        if let Some(default) = a.get(1, "default") {
            return Ok(default.clone());
        }
        let known = self.run.settings.vars.keys().map(String::as_str);
        let e = Error::config(format!("var '{name}' is not set and has no default"));
        let how = format!("set it under `vars:` in the project file, or with --vars '{{{name}: …}}'");
        Err(throw(match suggest(&name, known).filter(|s| s.starts_with("did you mean")) {
            Some(near) => e.hint(near),
            None => e.hint(how),
        }))
    }

    fn env_var(&self, a: &Args) -> Outcome {
        let name = a.text(0, "name")?;
        if SECRET_PREFIXES.iter().any(|p| name.starts_with(p)) {
            return Err(throw(
                Error::config(format!("env_var('{name}'): secrets may only be read in profiles.yml"))
                    .hint("what a model reads ends up in compiled files; name the variable without the secret prefix if it is none"),
            ));
        }
        self.run.recorded().env_vars.push(EnvCall { name: name.clone(), line: 0 });
        match (std::env::var(&name), a.get(1, "default")) {
            (Ok(v), _) => Ok(Value::from(v)),
            (Err(_), Some(default)) => Ok(default.clone()),
            (Err(_), None) => Err(throw(
                Error::config(format!("environment variable `{name}` is not set"))
                    .hint(format!("set it, or give a default: env_var('{name}', '…')")),
            )),
        }
    }

    fn run_query(&self, sql: &str) -> Outcome {
        self.run.recorded().uses_query = true;
        match &self.run.context {
            Some(c) if c.execute() => c.run_query(sql).map(Table::value).map_err(throw),
            _ => Ok(none()),
        }
    }

    /// `{% call statement('name', fetch_result=true) %} sql {% endcall %}`.
    fn statement(&self, a: &Args, state: &mut State<'_, '_>) -> Outcome {
        let name = a.opt_text(0, "name")?;
        let Some(caller) = a.get(usize::MAX, "caller") else {
            return Err(bad("statement() is written {% call statement('name') %} … {% endcall %}"));
        };
        let sql = caller.call(state, &[])?.to_string();
        let table = self.run_query(&sql)?;
        if let (Some(name), Ok(mut results), true) = (name, self.run.results.lock(), self.run.execute()) {
            let data = table.get_attr("rows").unwrap_or_default();
            let result = Value::from_pairs([("table", table), ("data", data), ("response", Value::from("OK"))]);
            results.insert(name, result);
        }
        Ok(empty())
    }

    fn get_relation(&self, database: Option<String>, schema: Option<String>, name: &str) -> Outcome {
        self.run.recorded().uses_query = true;
        match &self.run.context {
            Some(c) if c.execute() => {
                let found = c.get_relation(database.as_deref(), schema.as_deref(), name).map_err(throw)?;
                Ok(found.map_or_else(none, |r| self.relation(r)))
            }
            _ => Ok(none()),
        }
    }

    fn adapter(&self, method: &str, args: &[Value]) -> Outcome {
        let a = Args::new("adapter", args)?;
        match method {
            "quote" => {
                let name = a.text(0, "identifier")?;
                Ok(Value::from(match &self.run.context {
                    Some(c) => c.quote(&name),
                    None => format!("\"{}\"", name.replace('"', "\"\"")),
                }))
            }
            "type" => Ok(Value::from(self.run.target().adapter)),
            "get_relation" => {
                self.get_relation(a.opt_text(0, "database")?, a.opt_text(1, "schema")?, &a.text(2, "identifier")?)
            }
            "get_columns_in_relation" => {
                self.run.recorded().uses_query = true;
                let relation = a.get(0, "relation").and_then(|r| r.downcast_object_ref::<RelationObject>());
                match (&self.run.context, relation) {
                    (Some(c), Some(r)) if c.execute() => {
                        let columns = c.columns(&r.value).map_err(throw)?;
                        Ok(columns
                            .into_iter()
                            .map(|(name, kind)| {
                                Value::from_pairs([
                                    ("quoted", Value::from(c.quote(&name))),
                                    ("column", Value::from(&name)),
                                    ("name", Value::from(name)),
                                    ("dtype", Value::from(&kind)),
                                    ("data_type", Value::from(kind)),
                                ])
                            })
                            .collect())
                    }
                    (_, None) => {
                        Err(bad("adapter.get_columns_in_relation() needs a relation: a ref(), source() or this"))
                    }
                    _ => Ok(Value::from(Vec::<Value>::new())),
                }
            }
            "dispatch" => {
                let name = a.text(0, "macro_name")?;
                let adapter = self.run.target().adapter;
                let candidates = [format!("{adapter}__{name}"), format!("default__{name}"), name.clone()];
                match candidates.iter().find(|c| self.run.macros.contains_key(*c)) {
                    Some(found) => Ok(self.run.macro_value(found)),
                    None => Err(bad(format!(
                        "adapter.dispatch('{name}'): the project has no macro `{adapter}__{name}` or `default__{name}`"
                    ))),
                }
            }
            _ => Err(throw(
                Error::unsupported(format!("adapter.{method}() is not supported by xdb"))
                    .hint("there is: quote, type, get_relation, get_columns_in_relation, dispatch"),
            )),
        }
    }

    fn exceptions(&self, method: &str, args: &[Value]) -> Outcome {
        let a = Args::new("exceptions", args)?;
        let message = a.text(0, "msg")?;
        match method {
            "raise_compiler_error" | "raise_not_implemented" | "raise_database_error" | "raise_parsing_error" => {
                Err(bad(message))
            }
            "warn" => {
                if let Some(c) = &self.run.context {
                    c.warn(&message);
                }
                Ok(empty())
            }
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }
}

impl Object for Builtin {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Outcome {
        if self.kind == Kind::Config {
            return self.config(args);
        }
        let a = Args::new(self.name, args)?;
        match self.kind {
            Kind::Ref => self.reference(&a),
            Kind::Source => self.source(&a),
            Kind::Var => self.var(&a),
            Kind::EnvVar => self.env_var(&a),
            Kind::IsIncremental => {
                a.expect_none()?;
                self.run.recorded().uses_incremental = true;
                Ok(Value::from(match &self.run.context {
                    Some(c) => c.is_incremental(),
                    None => self.run.assume_incremental,
                }))
            }
            Kind::RunQuery => self.run_query(&a.text(0, "sql")?),
            Kind::Log | Kind::Print => {
                let message = a.get(0, "msg").map(ToString::to_string).unwrap_or_default();
                if let Some(c) = &self.run.context {
                    c.log(&message, self.kind == Kind::Print || a.flag(1, "info"));
                }
                Ok(empty())
            }
            Kind::Return => Err(JinjaError::new(JinjaKind::InvalidOperation, "return() outside of a macro")
                .with_source(ReturnSignal(a.get(0, "value").cloned().unwrap_or_else(none)))),
            Kind::Statement => self.statement(&a, state),
            Kind::LoadResult => {
                let name = a.text(0, "name")?;
                Ok(self.run.results.lock().ok().and_then(|r| r.get(&name).cloned()).unwrap_or_else(none))
            }
            Kind::LoadRelation => match a.get(0, "relation").and_then(|r| r.downcast_object_ref::<RelationObject>()) {
                Some(r) => self.get_relation(r.value.database.clone(), r.value.schema.clone(), &r.value.identifier),
                None => Err(bad("load_relation() needs a relation: a ref(), source() or this")),
            },
            Kind::ToJson => match a.get(0, "value") {
                Some(v) => Ok(Value::from(to_json(v).to_string())),
                None => Ok(a.get(1, "default").cloned().unwrap_or_else(none)),
            },
            Kind::FromJson => from_json(a.text(0, "string")?, a.get(1, "default")),
            Kind::Set => {
                let mut out: Vec<Value> = Vec::new();
                for v in a.get(0, "value").map(Value::try_iter).transpose()?.into_iter().flatten() {
                    if !out.contains(&v) {
                        out.push(v);
                    }
                }
                Ok(Value::from(out))
            }
            Kind::Zip => {
                let lists: Vec<Vec<Value>> =
                    a.positional.iter().map(|l| Ok(l.try_iter()?.collect())).collect::<Result<_, JinjaError>>()?;
                let shortest = lists.iter().map(Vec::len).min().unwrap_or(0);
                Ok((0..shortest).map(|i| lists.iter().filter_map(|l| l.get(i).cloned()).collect::<Vec<_>>()).collect())
            }
            // The argument itself where there is nothing to do, so that an undefined one remembers its name.
            Kind::Mutable => Ok(a.positional.first().map(mutable).unwrap_or_default()),
            Kind::MutableList => Ok(a.positional.first().map(mutable_list).unwrap_or_default()),
            Kind::Config | Kind::Exceptions | Kind::Adapter | Kind::Api | Kind::RelationType => {
                Err(bad(format!("`{}` is not a function; it has functions, such as `{}`", self.name, self.example())))
            }
        }
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Outcome {
        match self.kind {
            Kind::Config => self.config_method(method, args),
            Kind::Exceptions => self.exceptions(method, args),
            Kind::Adapter => self.adapter(method, args),
            Kind::Var if method == "has_var" => {
                let name = Args::new("var.has_var", args)?.text(0, "name")?;
                Ok(Value::from(self.run.settings.vars.contains_key(&name)))
            }
            Kind::RelationType if method == "create" => {
                let a = Args::new("api.Relation.create", args)?;
                Ok(RelationObject::of(
                    a.opt_text(usize::MAX, "database")?,
                    a.opt_text(usize::MAX, "schema")?,
                    a.opt_text(usize::MAX, "identifier")?.unwrap_or_default(),
                    self.run.context.clone(),
                ))
            }
            _ => Err(JinjaError::from(JinjaKind::UnknownMethod)),
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        match self.kind {
            // config.materialized, as some macros write it
            Kind::Config => self.config_value(key),
            Kind::Api if key == "Relation" => {
                Some(Value::from_object(Self { run: self.run.clone(), name: "api.Relation", kind: Kind::RelationType }))
            }
            _ => None,
        }
    }
}
impl Builtin {
    fn example(&self) -> &'static str {
        match self.kind {
            Kind::Exceptions => "exceptions.raise_compiler_error()",
            Kind::Adapter => "adapter.quote()",
            _ => "api.Relation.create()",
        }
    }
}
