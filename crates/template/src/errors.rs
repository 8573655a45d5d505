//! MiniJinja's errors as ours: file, line, the line's text, and the nearest name.

use crate::convert::take_ours;
use crate::engine::Template;
use crate::run::Run;
use crate::source::{MACRO_ENTRY, local_names};
use minijinja::value::Value;
use minijinja::{Environment, Error as JinjaError, ErrorKind as JinjaKind};
use std::path::Path;
use std::sync::Arc;
use xdb_core::names::{nearest, suggest};
use xdb_core::{Error, ErrorKind};

/// Filters worth suggesting.
const FILTERS: &[&str] = &[
    "abs",
    "as_bool",
    "as_native",
    "as_number",
    "as_text",
    "batch",
    "capitalize",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "fromjson",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "tuple",
    "unique",
    "upper",
    "zip",
];

/// A syntax error in a macro file.
pub(crate) fn syntax(e: &JinjaError, path: &Path, text: &str) -> Error {
    let line = e.line().unwrap_or(0);
    Error::config(with_line(&words(e), text, line)).at(path.display(), line)
}

fn with_line(message: &str, text: &str, line: usize) -> String {
    match text.lines().nth(line.wrapping_sub(1)).map(str::trim).filter(|l| !l.is_empty()) {
        Some(l) if l.chars().count() > 120 => format!("{message}, in: {}…", l.chars().take(119).collect::<String>()),
        Some(l) => format!("{message}, in: {l}"),
        None => message.to_string(),
    }
}

/// What went wrong, without the place.
fn words(e: &JinjaError) -> String {
    let detail = e.detail().unwrap_or_default();
    match (e.kind(), detail) {
        (JinjaKind::UndefinedError, "") => "a value is undefined".into(),
        (JinjaKind::UndefinedError, d) => d.into(),
        (JinjaKind::UnknownFunction, d) => match d.strip_suffix(" is unknown") {
            Some(name) => format!("`{name}` is not a function or macro"),
            None => d.into(),
        },
        (kind, "") => kind.to_string(),
        (JinjaKind::InvalidOperation, d) => d.into(),
        (kind, d) => format!("{kind}: {d}"),
    }
}

/// The error of a rendering.
pub(crate) fn convert(e: JinjaError, template: Template<'_>, run: &Arc<Run>, env: &Environment<'_>) -> Error {
    // Macros' templates are named `path#macro`.
    let name = e.name().unwrap_or_default();
    let in_macro =
        name.rsplit_once('#').and_then(|(path, m)| run.macros.get(m).filter(|i| i.template == name).map(|i| (path, i)));
    let line = e.line().unwrap_or(0);
    let place = in_macro.map_or_else(|| template.path.display().to_string(), |(path, _)| path.to_string());
    let own_name = name.rsplit_once('#').map_or("", |(_, m)| m);
    let text = match in_macro {
        Some((_, info)) => {
            let text = env.get_template(&info.template).map(|t| t.source().to_string()).unwrap_or_default();
            text.replacen(MACRO_ENTRY, own_name, 1)
        }
        None => template.text.to_string(),
    };
    if let Some(ours) = take_ours(&e) {
        return ours.at(place, line).model(template.name);
    }
    let message = with_line(&words(&e), &text, line);
    let mut out = Error::new(ErrorKind::Config, message).at(place, line).model(template.name);
    if let Some(hint) = hint(&e, &text, run) {
        out = out.hint(hint);
    }
    out
}

fn hint(e: &JinjaError, text: &str, run: &Arc<Run>) -> Option<String> {
    let detail = e.detail().unwrap_or_default();
    let known = || {
        let mut names = run.names();
        names.extend(local_names(text));
        names
    };
    let near = |name: &str| {
        let names = known();
        nearest(name, names.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"))
    };
    match e.kind() {
        JinjaKind::UndefinedError => {
            let expression = detail.split('`').nth(1)?;
            let mut parts = expression.split(['.', '[']);
            let (root, attribute) = (parts.next()?, parts.next());
            let value = run.lookup(root);
            match (value, attribute) {
                (Some(value), Some(attribute)) => attributes(&value, attribute),
                (None, _) if root == "dbt" || root.starts_with("dbt_") => Some(packages(root)),
                (None, _) => near(root)
                    .or_else(|| Some(format!("define it with {{% set {root} = … %}}, or read it with var('{root}')"))),
                (Some(_), None) => None,
            }
        }
        JinjaKind::UnknownFunction => near(detail.strip_suffix(" is unknown")?)
            .or_else(|| Some("macros come from the .sql files under `macro-paths`".into())),
        JinjaKind::UnknownMethod if detail.contains("undefined") => detail.split('`').nth(1).map(|root| match root {
            r if r == "dbt" || r.starts_with("dbt_") => packages(r),
            r if r.starts_with("modules.") => {
                "of dbt's `modules`, xdb has datetime: modules.datetime.datetime.now(), strftime, isoformat".into()
            }
            r => near(r).unwrap_or_else(|| format!("`{r}` is not defined")),
        }),
        JinjaKind::UnknownFilter => {
            let name = detail.split_whitespace().find(|w| *w != "filter").unwrap_or_default();
            nearest(name, FILTERS.iter().copied()).map(|n| format!("did you mean `{n}`?"))
        }
        _ => None,
    }
}

fn packages(name: &str) -> String {
    format!("`{name}` is a dbt package; xdb does not install packages: copy the macros you need into `macros/`")
}

fn attributes(value: &Value, attribute: &str) -> Option<String> {
    let keys: Vec<String> = value.try_iter().ok()?.filter_map(|k| k.as_str().map(String::from)).collect();
    suggest(attribute.trim_matches(['\'', '"', ']']), keys.iter().map(String::as_str))
}
