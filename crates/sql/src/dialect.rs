//! [`Dialect`]: how one system spells names, constants and conditions.

use xdb_core::{Literal, Predicate, Relation};

#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub name: &'static str,
    /// Around identifiers; doubled inside them.
    pub quote: char,
    /// Longest identifier, in bytes.
    pub max_identifier: usize,
    /// A constant's text; `None` where this system can't write it (the predicate then stays local).
    pub literal: fn(&Literal) -> Option<String>,
    /// `column LIKE 'prefix%'` for a prefix free of surprises, or `None`. Arguments: column SQL, prefix.
    pub starts_with: fn(&str, &str) -> Option<String>,
}

/// Double quotes, standard literals; the base that other dialects override.
pub const ANSI: Dialect =
    Dialect { name: "ansi", quote: '"', max_identifier: 63, literal: ansi_literal, starts_with: ansi_starts_with };

/// `'text'` with quotes doubled; `None` for text with NUL, which no server takes.
pub fn quote_text_ansi(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

fn ansi_literal(l: &Literal) -> Option<String> {
    Some(match l {
        Literal::Null => "NULL".into(),
        Literal::Bool(b) => if *b { "TRUE" } else { "FALSE" }.into(),
        Literal::Int(i) if *i < 0 => format!("({i})"),
        Literal::Int(i) => i.to_string(),
        Literal::UInt(u) => u.to_string(),
        Literal::Float(f) if f.is_finite() => format!("{f:e}"),
        Literal::Float(_) => return None,
        Literal::Decimal { value, scale } => decimal_text(*value, *scale),
        Literal::Utf8(t) => quote_text_ansi(t)?,
        Literal::Binary(b) => format!("X'{}'", hex(b)),
        Literal::Date(d) => format!("DATE '{}'", date_text(*d)?),
        Literal::Time(us) => format!("TIME '{}'", time_text(*us)),
        Literal::Timestamp { micros, utc: false } => format!("TIMESTAMP '{}'", timestamp_text(*micros)?),
        Literal::Timestamp { micros, utc: true } => format!("TIMESTAMP '{}+00:00'", timestamp_text(*micros)?),
    })
}

fn ansi_starts_with(column: &str, prefix: &str) -> Option<String> {
    if prefix.contains(['%', '_', '\\']) {
        return None;
    }
    Some(format!("{column} LIKE {}", quote_text_ansi(&format!("{prefix}%"))?))
}

impl Dialect {
    pub fn ident(&self, name: &str) -> String {
        let q = self.quote;
        let mut out = String::with_capacity(name.len() + 2);
        out.push(q);
        for c in name.chars() {
            if c == q {
                out.push(q);
            }
            out.push(c);
        }
        out.push(q);
        out
    }
    /// All the parts that `rel` has, quoted.
    pub fn relation(&self, rel: &Relation) -> String {
        [rel.database.as_ref(), rel.schema.as_ref(), Some(&rel.name)]
            .into_iter()
            .flatten()
            .map(|p| self.ident(p))
            .collect::<Vec<_>>()
            .join(".")
    }
    pub fn literal(&self, l: &Literal) -> Option<String> {
        (self.literal)(l)
    }
    /// `column` turns a column's name into SQL (a quoted name, perhaps with a collation). `None` where some part cannot
    /// be written; never a weaker condition.
    pub fn predicate(&self, p: &Predicate, column: &dyn Fn(&str) -> String) -> Option<String> {
        let not = |negated: bool| if negated { "NOT " } else { "" };
        Some(match p {
            Predicate::Compare { column: c, op, value } => {
                format!("{} {} {}", column(c), op.sql(), self.literal(value)?)
            }
            Predicate::In { column: c, values, negated } => {
                let items = values.iter().map(|v| self.literal(v)).collect::<Option<Vec<_>>>()?;
                format!("{} {}IN ({})", column(c), not(*negated), items.join(", "))
            }
            Predicate::IsNull { column: c, negated } => format!("{} IS {}NULL", column(c), not(*negated)),
            Predicate::StartsWith { column: c, prefix, negated } => {
                let like = (self.starts_with)(&column(c), prefix)?;
                if *negated { format!("NOT ({like})") } else { like }
            }
            Predicate::And(ps) if ps.is_empty() => self.literal(&Literal::Bool(true))?,
            Predicate::Or(ps) if ps.is_empty() => self.literal(&Literal::Bool(false))?,
            Predicate::And(ps) => self.join(ps, " AND ", column)?,
            Predicate::Or(ps) => self.join(ps, " OR ", column)?,
            Predicate::Not(p) => format!("NOT ({})", self.predicate(p, column)?),
        })
    }
    fn join(&self, ps: &[Predicate], with: &str, column: &dyn Fn(&str) -> String) -> Option<String> {
        let parts = ps.iter().map(|p| self.predicate(p, column)).collect::<Option<Vec<_>>>()?;
        Some(format!("({})", parts.join(with)))
    }
    /// `SELECT columns FROM relation [WHERE …] [LIMIT n]`. `columns` are ready SQL; empty becomes a constant, so that row
    /// counts survive. `conditions` are ready SQL, all of which must hold.
    pub fn select(&self, columns: &[String], relation: &str, conditions: &[String], limit: Option<u64>) -> String {
        let list = if columns.is_empty() { "1".to_string() } else { columns.join(", ") };
        let mut sql = format!("SELECT {list} FROM {relation}");
        if !conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if let Some(n) = limit {
            sql.push_str(&format!(" LIMIT {n}"));
        }
        sql
    }
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|x| format!("{x:02X}")).collect()
}

/// `value * 10^-scale` as plain digits.
pub fn decimal_text(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let text = if scale <= 0 {
        format!("{digits}{}", "0".repeat(scale.unsigned_abs() as usize))
    } else {
        let s = scale as usize;
        let padded = format!("{digits:0>width$}", width = s + 1);
        let (a, b) = padded.split_at(padded.len() - s);
        format!("{a}.{b}")
    };
    if sign.is_empty() { text } else { format!("(-{text})") }
}

/// `YYYY-MM-DD`; `None` outside years 1 to 9999, where spellings differ.
pub fn date_text(days: i32) -> Option<String> {
    let (y, m, d) = civil(days as i64);
    (1..=9999).contains(&y).then(|| format!("{y:04}-{m:02}-{d:02}"))
}

pub fn time_text(us: i64) -> String {
    let (s, f) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let base = format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if f == 0 { base } else { format!("{base}.{f:06}") }
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`; `None` outside years 1 to 9999.
pub fn timestamp_text(micros: i64) -> Option<String> {
    let day = micros.div_euclid(86_400_000_000);
    Some(format!("{} {}", date_text(i32::try_from(day).ok()?)?, time_text(micros.rem_euclid(86_400_000_000))))
}

/// Days since 1970-01-01 to proleptic Gregorian (year, month, day), after Howard Hinnant's `civil_from_days`.
fn civil(z: i64) -> (i64, i64, i64) {
    let z = z + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xdb_core::CompareOp;

    #[test]
    fn identifiers_and_text_are_quoted_whatever_they_hold() {
        assert_eq!(ANSI.ident(r#"a"b; drop table x"#), r#""a""b; drop table x""#);
        assert_eq!(quote_text_ansi("O'Brien \\ \u{202e}"), Some("'O''Brien \\ \u{202e}'".into()));
        assert_eq!(quote_text_ansi("a\0b"), None);
    }
    #[test]
    fn literals() {
        let lit = |l: Literal| ANSI.literal(&l).unwrap();
        assert_eq!(lit(Literal::Decimal { value: -5, scale: 3 }), "(-0.005)");
        assert_eq!(lit(Literal::Decimal { value: 12345, scale: 2 }), "123.45");
        assert_eq!(lit(Literal::Decimal { value: 12, scale: -2 }), "1200");
        assert_eq!(lit(Literal::Date(0)), "DATE '1970-01-01'");
        assert_eq!(lit(Literal::Date(-719162)), "DATE '0001-01-01'");
        assert_eq!(lit(Literal::Date(19782)), "DATE '2024-02-29'");
        assert_eq!(lit(Literal::Timestamp { micros: -1, utc: false }), "TIMESTAMP '1969-12-31 23:59:59.999999'");
        assert_eq!(ANSI.literal(&Literal::Float(f64::NAN)), None);
    }
    #[test]
    fn a_predicate_is_written_whole_or_not_at_all() {
        let col = |c: &str| ANSI.ident(c);
        let p = Predicate::Or(vec![
            Predicate::IsNull { column: "a".into(), negated: false },
            Predicate::Compare { column: "b".into(), op: CompareOp::Lt, value: Literal::Int(-3) },
        ]);
        assert_eq!(ANSI.predicate(&p, &col).unwrap(), r#"("a" IS NULL OR "b" < (-3))"#);
        let bad = Predicate::And(vec![
            p,
            Predicate::Compare { column: "t".into(), op: CompareOp::Eq, value: Literal::Utf8("\0".into()) },
        ]);
        assert_eq!(ANSI.predicate(&bad, &col), None);
    }
}
