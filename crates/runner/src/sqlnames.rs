//! Finds `connection.schema.table` names and `$param` placeholders in SQL that a person typed.
//!
//! Works on tokens, so that text, comments and any engine's own syntax are left as they are.

use sqlparser::ast::{Statement, visit_relations};
use sqlparser::dialect::{DuckDbDialect, GenericDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use xdb_core::{Error, ErrorKind, Relation, Result};

/// One place where the SQL names a relation of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As in profiles.yml.
    pub connection: String,
    pub relation: Relation,
    /// Bytes of the SQL that it takes.
    pub span: std::ops::Range<usize>,
}

/// Every such name. `connections`: the names that exist; compared without regard to case unless quoted.
pub(crate) fn relations(sql: &str, connections: &[&str]) -> Result<Vec<Name>> {
    let tokens = tokenize(sql)?;
    let known = parsed_names(sql);
    let mut out = Vec::new();
    let mut i = 0;
    let mut before: Option<String> = None; // the last significant token, upper case
    while i < tokens.len() {
        let Token::Word(first) = &tokens[i].token else {
            if !matches!(tokens[i].token, Token::Whitespace(_)) {
                before = Some(tokens[i].token.to_string().to_uppercase());
            }
            i += 1;
            continue;
        };
        let mut chain = vec![(first, i)];
        let mut j = i;
        while let (Some(Token::Period), Some(Token::Word(w))) =
            (tokens.get(j + 1).map(|t| &t.token), tokens.get(j + 2).map(|t| &t.token))
        {
            chain.push((w, j + 2));
            j += 2;
        }
        if let Some(c) = connections.iter().find(|c| same(first, c)) {
            let after_from = matches!(before.as_deref(), Some("FROM" | "JOIN"));
            let text = |n: usize| chain[..n].iter().map(|(w, _)| w.value.to_lowercase()).collect::<Vec<_>>();
            let is_relation =
                |n: usize| chain.len() >= n && (after_from && chain.len() == n || known.contains(&text(n)));
            // The longest reading first: connection.database.schema.table.
            let parts =
                [4, 3, 2].into_iter().find(|n| is_relation(*n)).or((chain.len() == 3 && known.is_empty()).then_some(3));
            if let Some(n) = parts {
                let p: Vec<&str> = chain[1..n].iter().map(|(w, _)| w.value.as_str()).collect();
                let relation = match p[..] {
                    [d, s, t] => Relation::new(Some(d), Some(s), t),
                    [s, t] => Relation::new(None, Some(s), t),
                    [t] => Relation::bare(t),
                    _ => return Err(Error::internal("name parts")),
                };
                let span = offset(sql, tokens[i].span.start)..offset(sql, tokens[chain[n - 1].1].span.end);
                out.push(Name { connection: c.to_string(), relation, span });
            }
        }
        before = Some(chain.last().map(|(w, _)| w.value.to_uppercase()).unwrap_or_default());
        i = j + 1;
    }
    Ok(out)
}

fn same(word: &Word, connection: &str) -> bool {
    if word.quote_style.is_some() { word.value == connection } else { word.value.eq_ignore_ascii_case(connection) }
}

/// Names in table position, lower case, where some dialect's parser understands the SQL; else empty.
fn parsed_names(sql: &str) -> BTreeSet<Vec<String>> {
    let parse = |s: &str| -> Option<Vec<Statement>> {
        Parser::parse_sql(&PostgreSqlDialect {}, s)
            .or_else(|_| Parser::parse_sql(&DuckDbDialect {}, s))
            .or_else(|_| Parser::parse_sql(&GenericDialect {}, s))
            .ok()
    };
    let mut out = BTreeSet::new();
    if let Some(statements) = parse(sql) {
        let _ = visit_relations(&statements, |name| {
            out.insert(name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.to_lowercase()).collect());
            ControlFlow::<()>::Continue(())
        });
    }
    out
}

/// The SQL with each name replaced by what `text` makes of it.
pub(crate) fn replace(sql: &str, names: &[Name], text: impl Fn(&Name) -> String) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut at = 0;
    for n in names {
        out.push_str(&sql[at..n.span.start]);
        out.push_str(&text(n));
        at = n.span.end;
    }
    out.push_str(&sql[at..]);
    out
}

/// `$name` placeholders turned into what `text(n)` gives, `n` counting from 1 in order of appearance; with the names in
/// that order (a name used twice comes twice).
pub(crate) fn positional(sql: &str, text: impl Fn(usize) -> String) -> Result<(String, Vec<String>)> {
    let mut out = String::with_capacity(sql.len());
    let mut names = Vec::new();
    let mut at = 0;
    for t in tokenize(sql)? {
        if let Token::Placeholder(p) = &t.token
            && let Some(name) = p.strip_prefix('$')
        {
            let (start, end) = (offset(sql, t.span.start), offset(sql, t.span.end));
            names.push(name.to_string());
            out.push_str(&sql[at..start]);
            out.push_str(&text(names.len()));
            at = end;
        }
    }
    out.push_str(&sql[at..]);
    Ok((out, names))
}

/// The statements of a text, without the semicolons between them. Where this reader cannot be sure where one ends (text
/// with backslashes, `#`, bodies of triggers and procedures), the whole text is one, for the server to judge.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let whole = || vec![sql.to_string()];
    let Ok(tokens) = tokenize(sql) else { return whole() };
    let body = |w: &Word| {
        let words = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE", "ATOMIC", "DELIMITER"];
        w.quote_style.is_none() && words.contains(&w.value.to_uppercase().as_str())
    };
    let unsure = tokens.iter().any(|t| match &t.token {
        Token::Sharp => true,
        Token::Word(w) => body(w),
        _ => false,
    });
    // Where a backslash escapes a quote and where it doesn't is each server's own.
    if unsure || sql.contains("\\'") || sql.contains("\\\"") || sql.contains("\\`") {
        return whole();
    }
    let mut out = Vec::new();
    let (mut from, mut empty) = (0, true);
    let mut end = |from: usize, to: usize, empty: bool| {
        if !empty {
            out.push(sql[from..to].trim().to_string());
        }
    };
    for t in &tokens {
        match t.token {
            Token::SemiColon => {
                end(from, offset(sql, t.span.start), empty);
                (from, empty) = (offset(sql, t.span.end), true);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => empty = false,
        }
    }
    end(from, sql.len(), empty);
    if out.is_empty() { whole() } else { out }
}

fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|e| Error::new(ErrorKind::Sql, format!("cannot read the SQL: {e}")))
}

/// Byte offset of a 1-based line and column (in characters).
fn offset(sql: &str, at: Location) -> usize {
    let mut start = 0;
    for (n, line) in sql.split_inclusive('\n').enumerate() {
        if n as u64 + 1 == at.line {
            let col = usize::try_from(at.column.saturating_sub(1)).unwrap_or(0);
            return start + line.char_indices().nth(col).map(|(i, _)| i).unwrap_or(line.len());
        }
        start += line.len();
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sql: &str) -> String {
        let names = relations(sql, &["pg", "my", "lake"]).unwrap();
        replace(sql, &names, |n| format!("<{}|{}>", n.connection, n.relation))
    }

    #[test]
    fn relations_are_found_where_tables_stand_and_nowhere_else() {
        assert_eq!(found("select 1 from pg.public.t"), "select 1 from <pg|public.t>");
        assert_eq!(
            found("select pg.id, 'from pg.public.x' -- from pg.a.b\nfrom PG.public.\"T x\" pg, my.orders o"),
            "select pg.id, 'from pg.public.x' -- from pg.a.b\nfrom <pg|public.T x> pg, <my|orders> o"
        );
        assert_eq!(
            found("select pg.public.t.id from pg.public.t join lake.\"raw/*.csv\" on é = 1"),
            "select <pg|public.t>.id from <pg|public.t> join <lake|raw/*.csv> on é = 1"
        );
        assert_eq!(found("select * from other.t where pg.x = 1"), "select * from other.t where pg.x = 1");
        assert_eq!(
            found("with pg as (select 1 as x) select pg.x from pg"),
            "with pg as (select 1 as x) select pg.x from pg"
        );
    }

    #[test]
    fn statements_end_at_semicolons_of_their_own() {
        assert_eq!(statements("select 1"), ["select 1"]);
        assert_eq!(statements("select 1;\n -- the end; really\n"), ["select 1"]);
        assert_eq!(
            statements("create table \"a;b\" (x int); insert into t values ('x;y') /* ; */; select 1 as é"),
            ["create table \"a;b\" (x int)", "insert into t values ('x;y') /* ; */", "select 1 as é"]
        );
        for one in [
            "do $$ begin perform 1; end $$",
            "create trigger t after insert on a begin delete from b; delete from c; end",
            "select 'it\\'s; here'; select 2",
            "select 1 # drop; drop table t",
            "begin not atomic select 1; end",
            "select 'open; ",
            ";",
        ] {
            assert_eq!(statements(one), [one]);
        }
    }

    #[test]
    fn placeholders_become_positional_outside_of_text() {
        let (sql, names) = positional("select '$a' where x = $a and y > $b or z = $a", |n| format!("?{n}")).unwrap();
        assert_eq!(sql, "select '$a' where x = ?1 and y > ?2 or z = ?3");
        assert_eq!(names, ["a", "b", "a"]);
    }
}
