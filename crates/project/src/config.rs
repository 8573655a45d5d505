//! A model's settings: the layers they come from, how layers merge, and what they mean once merged.

use crate::yaml::bool_word;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xdb_core::names::{nearest, suggest};
use xdb_core::{Error, PushdownMode, Result, TypePolicy};

/// What becomes of a model's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Materialized {
    Table,
    /// dbt's default too.
    #[default]
    View,
    Incremental,
    /// Not built: put into the queries that refer to it.
    Ephemeral,
    /// Parquet, CSV or NDJSON; `format`, `location` are in [`ModelConfig::extra`].
    File,
    /// dbt knows it (`materialized_view`, `snapshot`, `seed`), xdb doesn't build it.
    Other(String),
}
impl Materialized {
    /// Names that a model may be given.
    pub const NAMES: [&str; 5] = ["table", "view", "incremental", "ephemeral", "file"];
    const OTHER: [&str; 5] = ["materialized_view", "seed", "snapshot", "test", "dynamic_table"];

    pub fn as_str(&self) -> &str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Incremental => "incremental",
            Self::Ephemeral => "ephemeral",
            Self::File => "file",
            Self::Other(name) => name,
        }
    }
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "view" => Self::View,
            "incremental" => Self::Incremental,
            "ephemeral" => Self::Ephemeral,
            "file" => Self::File,
            n if Self::OTHER.contains(&n) => Self::Other(n.into()),
            _ => return None,
        })
    }
}

/// A model's settings after all layers, checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelConfig {
    pub materialized: Materialized,
    /// `false` where no layer set `materialized`, so that the caller may choose a better default than `view`.
    pub materialized_given: bool,
    /// The connection to write to; `None` is the project's.
    pub target: Option<String>,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub alias: Option<String>,
    pub tags: Vec<String>,
    pub enabled: bool,
    /// The engine's name, or `auto`.
    pub compute: Option<String>,
    pub unique_key: Vec<String>,
    /// `append`, `merge`, `delete+insert` …: the runner knows which.
    pub incremental_strategy: Option<String>,
    /// `ignore`, `fail`, `append_new_columns`, `sync_all_columns`.
    pub on_schema_change: Option<String>,
    pub full_refresh: Option<bool>,
    /// Jinja, not yet rendered.
    pub pre_hook: Vec<String>,
    /// Jinja, not yet rendered.
    pub post_hook: Vec<String>,
    pub meta: Map<String, Value>,
    pub types: Option<TypePolicy>,
    /// `off`, `safe`, `aggressive`.
    pub pushdown: Option<PushdownMode>,
    /// Every other key: `format`, `location`, `indexes`, `contract` …
    pub extra: Map<String, Value>,
    /// The merged keys as they were written, for `config.get()`, `config.x:y` and the manifest.
    #[serde(skip)]
    pub raw: Map<String, Value>,
}

/// One layer of settings, with the place of each key for errors.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub values: Map<String, Value>,
    pub file: PathBuf,
    /// The line of each key; a key that isn't in it stands at `line`.
    pub lines: BTreeMap<String, usize>,
    pub line: usize,
}

/// Keys that may be written with `-` too.
fn canonical(key: &str) -> String {
    let key = key.strip_prefix('+').unwrap_or(key);
    match key {
        "pre-hook" => "pre_hook".into(),
        "post-hook" => "post_hook".into(),
        // dbt's names of the same things on other adapters.
        "dataset" => "schema".into(),
        "project" => "database".into(),
        k => k.into(),
    }
}

/// Keys xdb gives a meaning to. A key near one of these that nobody knows is a typo.
pub(crate) const KNOWN: &[&str] = &[
    "materialized",
    "target",
    "database",
    "schema",
    "alias",
    "tags",
    "enabled",
    "compute",
    "unique_key",
    "incremental_strategy",
    "on_schema_change",
    "full_refresh",
    "pre_hook",
    "post_hook",
    "meta",
    "types",
    "pushdown",
    "format",
    "location",
    "indexes",
    "contract",
    "persist_docs",
    "docs",
    "grants",
    "group",
    "access",
    "quoting",
    "sql_header",
    "column_types",
    "delimiter",
    "quote_columns",
    "partition_by",
    "cluster_by",
    "compression",
    "engine",
    "event_time",
    "begin",
    "batch_size",
    "lookback",
    "concurrent_batches",
    "incremental_predicates",
    "merge_update_columns",
    "merge_exclude_columns",
    "severity",
    "where",
    "limit",
    "store_failures",
    "error_if",
    "warn_if",
    "fail_calc",
    "freshness",
    "loaded_at_field",
    "description",
    "updated_at",
    "strategy",
    "check_cols",
    "unlogged",
    "order_by",
    "options",
    "charset",
    "collation",
    "connection",
    "profile",
    "deprecation_date",
    "version",
    "snapshot_meta_column_names",
    "target_schema",
    "target_database",
    "hard_deletes",
    "invalidate_hard_deletes",
    "dbt_valid_to_current",
    "static_analysis",
    "unrendered_config",
    "packages",
    "sort",
    "dist",
    "transient",
    "on_configuration_change",
    "partitions",
    "labels",
    "primary_key",
    "retry",
    "timeout",
    "parallelism",
];

/// Put `layer` over `into`, as dbt does: `tags` add up, hooks add up, `meta` and other mappings of settings merge key by
/// key, all else replaces.
pub fn merge(into: &mut Map<String, Value>, layer: &Map<String, Value>) {
    for (key, value) in layer {
        let key = canonical(key);
        match key.as_str() {
            "tags" | "pre_hook" | "post_hook" => {
                let mut all = as_list(into.remove(&key));
                for v in as_list(Some(value.clone())) {
                    if key != "tags" || !all.contains(&v) {
                        all.push(v);
                    }
                }
                into.insert(key, Value::Array(all));
            }
            "meta" | "docs" | "quoting" | "column_types" | "persist_docs" | "grants" => {
                match (into.get_mut(&key), value) {
                    (Some(Value::Object(old)), Value::Object(new)) => {
                        for (k, v) in new {
                            old.insert(k.strip_prefix('+').unwrap_or(k).to_string(), v.clone());
                        }
                    }
                    _ => {
                        into.insert(key, value.clone());
                    }
                }
            }
            _ => {
                into.insert(key, value.clone());
            }
        }
    }
}

/// Keys whose value is a mapping.
pub(crate) fn is_mapping_key(key: &str) -> bool {
    const KEYS: [&str; 11] = [
        "meta",
        "docs",
        "column_types",
        "grants",
        "persist_docs",
        "contract",
        "quoting",
        "labels",
        "options",
        "freshness",
        "snapshot_meta_column_names",
    ];
    KEYS.contains(&key)
}

fn as_list(v: Option<Value>) -> Vec<Value> {
    match v {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(a)) => a,
        Some(other) => vec![other],
    }
}

/// Merge `layers` (weakest first) and check the result. Errors name the file and line of the layer that set the value.
pub fn resolve(model: &str, layers: &[Layer]) -> Result<ModelConfig> {
    let mut raw = Map::new();
    for layer in layers {
        check_layer(model, layer)?;
        merge(&mut raw, &layer.values);
    }
    // Checked layer by layer already: what is left here is well typed.
    let place = layers.last().map(|l| (l.file.as_path(), l.line)).unwrap_or((Path::new(""), 0));
    let mut config = convert(model, &raw, &|_| place)?;
    config.raw = raw;
    Ok(config)
}

fn check_layer(model: &str, layer: &Layer) -> Result<()> {
    let lines: BTreeMap<String, usize> = layer.lines.iter().map(|(k, l)| (canonical(k), *l)).collect();
    let place = |key: &str| (layer.file.as_path(), lines.get(key).copied().unwrap_or(layer.line));
    let mut values = Map::new();
    merge(&mut values, &layer.values);
    for key in values.keys() {
        if KNOWN.contains(&key.as_str()) {
            continue;
        }
        // Unknown keys are somebody's own (dbt allows them); one letter off a known key is a typo.
        if let Some(near) = nearest(key, KNOWN.iter().copied()).filter(|_| key.len() > 3) {
            let (file, line) = place(key);
            return Err(Error::config(format!("model `{model}` has an unknown config key `{key}`"))
                .at(file.display(), line)
                .hint(format!("did you mean `{near}`? A value of your own goes under `meta`")));
        }
    }
    convert(model, &values, &place).map(|_| ())
}

fn convert<'p>(
    model: &str,
    raw: &Map<String, Value>,
    place: &dyn Fn(&str) -> (&'p Path, usize),
) -> Result<ModelConfig> {
    let wrong = |key: &str, want: &str, got: &Value| {
        let (file, line) = place(key);
        Error::config(format!("model `{model}`: `{key}` must be {want}, not {got}")).at(file.display(), line)
    };
    let text = |key: &str| match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(Value::Number(n)) => Ok(Some(n.to_string())),
        Some(other) => Err(wrong(key, "text", other)),
    };
    let flag = |key: &str| match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(Value::String(s)) if bool_word(s).is_some() => Ok(bool_word(s)),
        Some(other) => Err(wrong(key, "true or false", other)),
    };
    let texts = |key: &str| -> Result<Vec<String>> {
        as_list(raw.get(key).cloned())
            .into_iter()
            .map(|v| match v {
                Value::String(s) => Ok(s),
                Value::Number(n) => Ok(n.to_string()),
                other => Err(wrong(key, "text or a list of texts", &other)),
            })
            .collect()
    };
    let hooks = |key: &str| -> Result<Vec<String>> {
        as_list(raw.get(key).cloned())
            .into_iter()
            .map(|v| match v {
                Value::String(s) => Ok(s),
                // dbt's long form: {sql: ..., transaction: false}
                Value::Object(m) if m.get("sql").is_some_and(Value::is_string) => {
                    Ok(m.get("sql").and_then(Value::as_str).unwrap_or_default().to_string())
                }
                other => Err(wrong(key, "SQL text or a list of them", &other)),
            })
            .filter(|r| !matches!(r, Ok(s) if s.trim().is_empty()))
            .collect()
    };
    let one_of = |key: &str, allowed: &[&str], hint: Option<&str>| -> Result<Option<String>> {
        let Some(value) = text(key)? else { return Ok(None) };
        if allowed.contains(&value.as_str()) {
            return Ok(Some(value));
        }
        let (file, line) = place(key);
        let e = Error::config(format!("model `{model}`: unknown {key} `{value}`")).at(file.display(), line);
        let e = if let Some(h) = hint { e.hint(h) } else { e };
        Err(match suggest(&value, allowed.iter().copied()) {
            Some(h) => e.hint(h),
            None => e,
        })
    };

    let materialized = match text("materialized")? {
        None => None,
        Some(name) => match Materialized::parse(&name) {
            Some(m) => Some(m),
            None => {
                one_of("materialized", &Materialized::NAMES, None)?;
                None
            }
        },
    };
    let types = match raw.get("types") {
        Some(Value::Null) | None => None,
        Some(_) => match one_of("types", &["exact", "lossy"], None)?.as_deref() {
            Some("lossy") => Some(TypePolicy::Lossy),
            _ => Some(TypePolicy::Exact),
        },
    };
    let pushdown = match raw.get("pushdown") {
        Some(Value::Bool(true)) => Some(PushdownMode::Safe),
        Some(Value::Bool(false)) => Some(PushdownMode::Off),
        _ => match one_of("pushdown", &["off", "safe", "aggressive"], None)?.as_deref() {
            Some("off") => Some(PushdownMode::Off),
            Some("safe") => Some(PushdownMode::Safe),
            Some("aggressive") => Some(PushdownMode::Aggressive),
            _ => None,
        },
    };
    let meta = match raw.get("meta") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(m)) => m.clone(),
        Some(other) => return Err(wrong("meta", "a mapping", other)),
    };
    const TAKEN: &[&str] = &[
        "materialized",
        "target",
        "database",
        "schema",
        "alias",
        "tags",
        "enabled",
        "compute",
        "unique_key",
        "incremental_strategy",
        "on_schema_change",
        "full_refresh",
        "pre_hook",
        "post_hook",
        "meta",
        "types",
        "pushdown",
    ];
    Ok(ModelConfig {
        materialized_given: materialized.is_some(),
        materialized: materialized.unwrap_or_default(),
        target: text("target")?,
        database: text("database")?,
        schema: text("schema")?,
        alias: text("alias")?,
        tags: texts("tags")?,
        enabled: flag("enabled")?.unwrap_or(true),
        compute: text("compute")?,
        unique_key: texts("unique_key")?,
        incremental_strategy: one_of(
            "incremental_strategy",
            &["append", "merge", "delete+insert", "insert_overwrite", "microbatch", "default"],
            None,
        )?,
        on_schema_change: one_of(
            "on_schema_change",
            &["ignore", "fail", "append_new_columns", "sync_all_columns"],
            None,
        )?,
        full_refresh: flag("full_refresh")?,
        pre_hook: hooks("pre_hook")?,
        post_hook: hooks("post_hook")?,
        meta,
        types,
        pushdown,
        extra: raw.iter().filter(|(k, _)| !TAKEN.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect(),
        raw: Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(file: &str, line: usize, values: Value) -> Layer {
        let values = values.as_object().unwrap().clone();
        let lines = values.keys().enumerate().map(|(i, k)| (k.clone(), line + i)).collect();
        Layer { values, file: file.into(), lines, line }
    }
    fn one(values: Value) -> Result<ModelConfig> {
        resolve("m", &[layer("models/m.sql", 3, values)])
    }
    fn location(e: &Error) -> &str {
        e.context().location.as_deref().unwrap_or_default()
    }

    #[test]
    fn later_layers_override_and_lists_add_up() {
        let c = resolve(
            "m",
            &[
                layer("p.yml", 1, json!({"materialized": "view", "tags": "a", "meta": {"x": 1, "y": 1}, "pre-hook": "one", "schema": "s"})),
                layer("m.yml", 1, json!({"+tags": ["b", "a"], "meta": {"y": 2}, "materialized": "table"})),
                layer("m.sql", 1, json!({"pre_hook": ["two", {"sql": "three", "transaction": false}], "schema": null, "unique_key": "id"})),
            ],
        )
        .unwrap();
        assert_eq!(c.materialized, Materialized::Table);
        assert_eq!(
            (c.tags, c.pre_hook),
            (vec!["a".to_string(), "b".into()], vec!["one".to_string(), "two".into(), "three".into()])
        );
        assert_eq!(
            (Value::Object(c.meta), c.schema, c.unique_key),
            (json!({"x": 1, "y": 2}), None, vec!["id".to_string()])
        );
        assert_eq!(c.raw.get("materialized"), Some(&json!("table")));
    }

    #[test]
    fn defaults_and_extras() {
        let c = one(json!({"format": "parquet", "indexes": [{"columns": ["a"]}], "my_own": 1, "types": "lossy", "pushdown": false})).unwrap();
        assert!(c.enabled && !c.materialized_given && c.materialized == Materialized::View);
        assert_eq!(c.extra.keys().collect::<Vec<_>>(), ["format", "indexes", "my_own"]);
        assert_eq!((c.types, c.pushdown), (Some(TypePolicy::Lossy), Some(PushdownMode::Off)));
        assert_eq!(one(json!({"enabled": "False", "full_refresh": "yes"})).unwrap().full_refresh, Some(true));
        assert_eq!(
            one(json!({"materialized": "materialized_view"})).unwrap().materialized,
            Materialized::Other("materialized_view".into())
        );
    }

    #[test]
    fn errors_name_the_value_the_place_and_the_nearest() {
        for (values, message, hint) in [
            (
                json!({"materialized": "tabel"}),
                "model `m`: unknown materialized `tabel`",
                Some("did you mean `table`?"),
            ),
            (
                json!({"materialised": "table"}),
                "model `m` has an unknown config key `materialised`",
                Some("did you mean `materialized`? A value of your own goes under `meta`"),
            ),
            (json!({"enabled": 3}), "model `m`: `enabled` must be true or false, not 3", None),
            (json!({"meta": "x"}), "model `m`: `meta` must be a mapping, not \"x\"", None),
            (json!({"tags": {"a": 1}}), "model `m`: `tags` must be text or a list of texts, not {\"a\":1}", None),
            (json!({"schema": ["a"]}), "model `m`: `schema` must be text, not [\"a\"]", None),
            (json!({"types": "loosy"}), "model `m`: unknown types `loosy`", Some("did you mean `lossy`?")),
            (
                json!({"on_schema_change": "sync"}),
                "model `m`: unknown on_schema_change `sync`",
                Some("there is: ignore, fail, append_new_columns, sync_all_columns"),
            ),
        ] {
            let e = one(values).unwrap_err();
            assert_eq!((e.message(), e.hint_text(), location(&e)), (message, hint, "models/m.sql:3"));
        }
    }

    #[test]
    fn an_error_in_a_weak_layer_is_reported_there() {
        let e = resolve(
            "m",
            &[layer("p.yml", 8, json!({"schema": "s", "enabled": []})), layer("m.sql", 1, json!({"enabled": true}))],
        );
        assert_eq!(location(&e.unwrap_err()), "p.yml:9");
    }
}
