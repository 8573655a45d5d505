//! One rendering: what its names mean, and calls from one macro to another.

use crate::builtins::{Builtin, NAMES};
use crate::context::{NodeInfo, RelationValue, Settings, SharedContext, TargetValues};
use crate::convert::{bad, returned, split, to_value};
use crate::objects::{Dict, List, RelationObject, Time, text_or_none};
use crate::record::Recorded;
use crate::source::MACRO_ENTRY;
use chrono::{DateTime, Utc};
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error as JinjaError, State};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Macros calling macros deeper than this is a recursion without an end; well below what a 2 MB stack holds.
const MAX_DEPTH: usize = 40;

/// A macro of the project.
#[derive(Clone, Debug)]
pub(crate) struct MacroInfo {
    /// The template's name: `path#macro`.
    pub(crate) template: String,
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    /// The macro's text asks for `varargs` or `kwargs`, so it takes any arguments.
    pub(crate) varargs: bool,
    pub(crate) kwargs: bool,
}

pub(crate) type MacroMap = BTreeMap<String, MacroInfo>;

/// The state of one rendering.
pub(crate) struct Run {
    pub(crate) macros: Arc<MacroMap>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) node: NodeInfo,
    /// `None` while parsing.
    pub(crate) context: Option<SharedContext>,
    /// What `is_incremental()` says while parsing.
    pub(crate) assume_incremental: bool,
    recorded: Mutex<Recorded>,
    /// Of `statement()`, by name.
    pub(crate) results: Mutex<BTreeMap<String, Value>>,
    depth: AtomicUsize,
}
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({})", self.name)
    }
}

impl Run {
    pub(crate) fn new(
        macros: Arc<MacroMap>,
        settings: Arc<Settings>,
        (name, path): (&str, PathBuf),
        node: NodeInfo,
        context: Option<SharedContext>,
        assume_incremental: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            macros,
            settings,
            name: name.into(),
            path,
            node,
            context,
            assume_incremental,
            recorded: Mutex::default(),
            results: Mutex::default(),
            depth: AtomicUsize::new(0),
        })
    }

    pub(crate) fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn execute(&self) -> bool {
        self.context.as_ref().is_some_and(|c| c.execute())
    }

    pub(crate) fn target(&self) -> TargetValues {
        self.context.as_ref().map_or_else(|| self.settings.target.clone(), |c| c.target())
    }

    /// What the name `key` means at the top of every template and macro; `None` is undefined.
    pub(crate) fn lookup(self: &Arc<Self>, key: &str) -> Option<Value> {
        if self.macros.contains_key(key) {
            return Some(self.macro_value(key));
        }
        if let Some(b) = Builtin::named(key, self) {
            return Some(b);
        }
        Some(match key {
            "execute" => Value::from(self.execute()),
            "this" => self.this(),
            "target" => self.target_value(),
            "schema" => text_or_none(&self.target().schema),
            "database" => text_or_none(&self.target().database),
            "model" => self.model_value(),
            "project_name" => Value::from(&self.settings.project_name),
            "invocation_id" => Value::from(&self.settings.invocation_id),
            "run_started_at" => Value::from_object(Time(self.started())),
            "dbt_version" => Value::from(crate::engine::DBT_VERSION),
            "xdb_version" => Value::from(env!("CARGO_PKG_VERSION")),
            "flags" => Value::from_pairs([
                ("FULL_REFRESH", Value::from(self.settings.full_refresh)),
                ("WHICH", Value::from(&self.settings.command)),
                ("STORE_FAILURES", Value::from(false)),
            ]),
            "modules" => Value::from_pairs([("datetime", self.namespace("datetime"))]),
            "builtins" => self.namespace("builtins"),
            // Macros of the project under its own name, as dbt has them.
            k if !k.is_empty() && k == self.settings.project_name => self.namespace("project"),
            _ => return None,
        })
    }

    /// Names that [`lookup`](Self::lookup) knows, for suggestions.
    pub(crate) fn names(&self) -> Vec<String> {
        let fixed = ["execute", "this", "target", "schema", "database", "model", "project_name", "invocation_id"];
        let more = [
            "run_started_at",
            "dbt_version",
            "xdb_version",
            "flags",
            "modules",
            "builtins",
            "loop",
            "range",
            "namespace",
            "dict",
        ];
        let builtin = NAMES.iter().map(|(n, _)| *n).filter(|n| !n.starts_with('_'));
        fixed.into_iter().chain(more).chain(builtin).map(String::from).chain(self.macros.keys().cloned()).collect()
    }

    pub(crate) fn macro_value(self: &Arc<Self>, name: &str) -> Value {
        Value::from_object(MacroObject { run: self.clone(), name: name.into() })
    }

    fn namespace(self: &Arc<Self>, which: &'static str) -> Value {
        Value::from_object(Namespace { run: self.clone(), which })
    }

    fn started(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.settings.run_started_at_micros).unwrap_or_default()
    }

    fn this(&self) -> Value {
        self.recorded().uses_this = true;
        let value = match &self.context {
            Some(c) => c.this(),
            None => {
                let t = &self.settings.target;
                let (database, schema) = (t.database.clone(), t.schema.clone());
                Some(RelationValue {
                    database,
                    schema,
                    identifier: self.name.clone(),
                    rendered: self.name.clone(),
                    kind: None,
                })
            }
        };
        value.map_or_else(|| Value::from(()), |v| RelationObject::value(v, self.context.clone()))
    }

    fn target_value(&self) -> Value {
        let t = self.target();
        let mut pairs: BTreeMap<String, Value> = t.extra.iter().map(|(k, v)| (k.clone(), to_value(v))).collect();
        pairs.extend([
            ("name".to_string(), Value::from(&t.name)),
            ("target_name".to_string(), Value::from(&t.name)),
            ("profile_name".to_string(), Value::from(&t.name)),
            ("type".to_string(), Value::from(&t.adapter)),
            ("database".to_string(), text_or_none(&t.database)),
            ("dbname".to_string(), text_or_none(&t.database)),
            ("schema".to_string(), text_or_none(&t.schema)),
            ("threads".to_string(), Value::from(t.threads)),
        ]);
        Value::from_pairs(pairs)
    }

    fn model_value(&self) -> Value {
        let mut pairs: BTreeMap<String, Value> =
            self.node.extra.iter().map(|(k, v)| (k.clone(), to_value(v))).collect();
        let config = self.node.config.iter().map(|(k, v)| (k.clone(), to_value(v)));
        pairs.extend([
            ("name".to_string(), Value::from(&self.name)),
            ("unique_id".to_string(), Value::from(&self.node.unique_id)),
            ("fqn".to_string(), Value::from(self.node.fqn.clone())),
            ("original_file_path".to_string(), Value::from(self.path.display().to_string())),
            ("config".to_string(), Value::from_pairs(config)),
        ]);
        Value::from_pairs(pairs)
    }
}

/// The names at the bottom of a template; in a macro with its surplus arguments.
pub(crate) struct Root {
    run: Arc<Run>,
    /// `varargs` and `kwargs`: empty at first and filled when the macro's own arguments are known, because a macro takes
    /// hold of the names it uses when it is declared.
    extra: Option<(Arc<List>, Arc<Dict>)>,
}
impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}
impl Root {
    pub(crate) fn new(run: Arc<Run>) -> Arc<Self> {
        Arc::new(Self { run, extra: None })
    }
}
impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if matches!(key, "varargs" | "kwargs")
            && let Some((varargs, kwargs)) = &self.extra
        {
            let (varargs, kwargs) = (varargs.clone(), kwargs.clone());
            return Some(if key == "varargs" {
                Value::from_dyn_object(varargs)
            } else {
                Value::from_dyn_object(kwargs)
            });
        }
        self.run.lookup(key)
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `builtins.ref`, `modules.datetime`, `my_project.macro`.
#[derive(Debug)]
struct Namespace {
    run: Arc<Run>,
    which: &'static str,
}
impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        match self.which {
            "builtins" => Builtin::named(key, &self.run),
            "project" => self.run.macros.contains_key(key).then(|| self.run.macro_value(key)),
            "datetime" => matches!(key, "datetime" | "date").then(|| self.run.namespace("datetime.datetime")),
            _ => None,
        }
    }
    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        a: &[Value],
    ) -> Result<Value, JinjaError> {
        match (self.which, method) {
            ("datetime.datetime", "now" | "utcnow" | "today") => Ok(Value::from_object(Time(self.run.started()))),
            _ => match self.get_value(&Value::from(method)) {
                Some(f) => f.call(state, a),
                None => Err(bad(format!("`{}` has no `{method}` here", self.which))),
            },
        }
    }
}

/// A macro of the project, callable from everywhere.
#[derive(Debug)]
struct MacroObject {
    run: Arc<Run>,
    name: String,
}
impl Object for MacroObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str()? == "name").then(|| Value::from(&self.name))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<macro {}>", self.name)
    }
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, JinjaError> {
        let Some(info) = self.run.macros.get(&self.name) else {
            return Err(bad(format!("macro `{}` is gone", self.name)));
        };
        {
            let mut recorded = self.run.recorded();
            if !recorded.macros.contains(&self.name) {
                recorded.macros.push(self.name.clone());
            }
        }
        if self.run.depth.fetch_add(1, Ordering::Relaxed) >= MAX_DEPTH {
            self.run.depth.fetch_sub(1, Ordering::Relaxed);
            return Err(bad(format!("macro `{}` calls itself without end ({MAX_DEPTH} calls deep)", self.name)));
        }
        let result = self.call_inner(info, state, args);
        self.run.depth.fetch_sub(1, Ordering::Relaxed);
        match result {
            Err(e) => returned(&e).ok_or(e),
            ok => ok,
        }
    }
}
impl MacroObject {
    fn call_inner(&self, info: &MacroInfo, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, JinjaError> {
        let (positional, mut named) = split(args)?;
        let mut positional = positional.to_vec();
        // The caller's block belongs to the caller's state and can't be run in the macro's: run it now.
        for (_, v) in named.iter_mut().filter(|(k, v)| k == "caller" && v.kind() != ValueKind::String) {
            let text = v.call(state, &[]).map_err(|e| match e.kind() {
                minijinja::ErrorKind::MissingArgument => {
                    bad(format!("{{% call(…) {}() %}}: a call block with arguments isn't supported here", self.name))
                }
                _ => e,
            })?;
            *v = Value::from_function(move || text.clone());
        }
        let extra = (info.varargs || info.kwargs).then(<(Arc<List>, Arc<Dict>)>::default);
        let root = Arc::new(Root { run: self.run.clone(), extra: extra.clone() });
        let template = state.env().get_template(&info.template)?;
        let mut captured = template.render_captured(Value::from_dyn_object(root))?;
        captured.with_state_mut(|state| {
            let entry = state.lookup(MACRO_ENTRY).ok_or_else(|| bad(format!("macro `{}` is empty", self.name)))?;
            if let Some((varargs, kwargs)) = extra {
                let known: Vec<String> = entry.get_attr("arguments")?.try_iter()?.map(|v| v.to_string()).collect();
                let surplus = positional.split_off(known.len().min(positional.len()));
                let (own, other): (Vec<_>, Vec<_>) =
                    named.into_iter().partition(|(k, _)| k == "caller" || known.contains(k) || !info.kwargs);
                named = own;
                match info.varargs {
                    true => varargs.fill(surplus),
                    false => positional.extend(surplus),
                }
                kwargs.fill(other);
            }
            if !named.is_empty() {
                positional.push(Value::from(named.into_iter().collect::<Kwargs>()));
            }
            entry.call(state, &positional)
        })
    }
}
