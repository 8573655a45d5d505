//! `xdb query`: SQL over `connection.schema.table` names. Needs profiles, no project.

use super::show::{limit, print, refuse_binary};
use crate::app::App;
use crate::args::Query;
use std::io::Read;
use xdb_core::{Error, Literal, Result};
use xdb_runner::{Options, QueryOptions};

pub(crate) async fn run(app: &App, args: Query) -> Result<u8> {
    refuse_binary(args.output)?;
    let sql = text(&args)?;
    let params = args.params.iter().map(|p| param(p)).collect::<Result<Vec<_>>>()?;
    let options =
        QueryOptions { compute: args.compute.compute, params, limit: limit(args.limit), ..Default::default() };
    let ad_hoc = app.ad_hoc(Options {
        threads: args.threads.threads.map(usize::from).unwrap_or(0),
        ..app.options(&args.project, "query")?
    })?;
    app.stoppable(async {
        let query = match &args.on {
            Some(name) => ad_hoc.on(name, &sql, &options).await?,
            None => ad_hoc.query(&sql, &options).await?,
        };
        print(query, args.output).await
    })
    .await?;
    Ok(0)
}

fn text(args: &Query) -> Result<String> {
    let sql = match (&args.sql, &args.file) {
        (_, Some(path)) => std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).with_message(|m| format!("cannot read {}: {m}", path.display())))?,
        (Some(s), None) if s == "-" => {
            let mut all = String::new();
            std::io::stdin()
                .read_to_string(&mut all)
                .map_err(|e| Error::from(e).with_message(|m| format!("cannot read SQL from stdin: {m}")))?;
            all
        }
        (Some(s), None) => s.clone(),
        (None, None) => String::new(),
    };
    if sql.trim().is_empty() {
        return Err(Error::config("there is no SQL").hint("xdb query \"select * from connection.schema.table\""));
    }
    Ok(sql)
}

/// `name=value`: null, true, false, whole numbers and decimals mean themselves, `'…'` and all else is text.
fn param(given: &str) -> Result<(String, Literal)> {
    let bad = || {
        Error::config(format!("--param `{given}` must be NAME=VALUE"))
            .hint("for example --param since=2024-01-01 --param n=5")
    };
    let (name, value) = given.split_once('=').ok_or_else(bad)?;
    let name = name.trim().trim_start_matches('$');
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(bad());
    }
    Ok((name.into(), literal(value)))
}

fn literal(value: &str) -> Literal {
    if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
        return Literal::Utf8(inner.replace("''", "'"));
    }
    match value {
        "null" | "NULL" => return Literal::Null,
        "true" | "TRUE" => return Literal::Bool(true),
        "false" | "FALSE" => return Literal::Bool(false),
        _ => {}
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    // 007 and the like are codes, not numbers.
    let number = digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && (!digits.starts_with('0') || digits.len() == 1 || digits.starts_with("0."));
    if number {
        if let Ok(i) = value.parse::<i64>() {
            return Literal::Int(i);
        }
        if let Some((whole, part)) = value.split_once('.')
            && let (Ok(value), Ok(scale)) = (format!("{whole}{part}").parse::<i128>(), i8::try_from(part.len()))
            && scale <= 38
        {
            return Literal::Decimal { value, scale };
        }
    }
    Literal::Utf8(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_have_the_type_they_look_like() {
        let text = |s: &str| Literal::Utf8(s.into());
        for (given, want) in [
            ("a=5", Literal::Int(5)),
            ("a=-5", Literal::Int(-5)),
            ("a=-1.50", Literal::Decimal { value: -150, scale: 2 }),
            ("a=0.05", Literal::Decimal { value: 5, scale: 2 }),
            ("a=true", Literal::Bool(true)),
            ("a=null", Literal::Null),
            ("a='5'", text("5")),
            ("a='it''s'", text("it's")),
            ("a=", text("")),
            ("a=x=y", text("x=y")),
            ("a=007", text("007")),
            ("a=1.2.3", text("1.2.3")),
            ("a=2024-01-01", text("2024-01-01")),
            ("a=99999999999999999999", text("99999999999999999999")),
        ] {
            assert_eq!(param(given).unwrap(), ("a".to_string(), want), "{given}");
        }
        for bad in ["a", "=5", "a b=5"] {
            assert!(param(bad).is_err(), "{bad}");
        }
    }
}
