//! Prepared statements: the binary protocol, without a server-side cursor.

use super::conn::{Conn, Reply};
use super::parse::{Parser, put_lenenc_bytes};
use super::{ColumnDef, ColumnType, protocol};
use xdb_core::{Error, Literal, Result};

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;

/// How the rows of a running query come.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<ColumnDef>,
    /// Binary rows, not text.
    pub(crate) binary: bool,
    statement: Option<u32>,
}
impl Rows {
    pub(crate) fn text(columns: Vec<ColumnDef>) -> Self {
        Self { columns, binary: false, statement: None }
    }
}

impl Conn {
    /// Prepare, bind and run. `None` where the statement has no rows. The rows come next, by [`Conn::row`]; the caller
    /// then calls [`Conn::close_statement`].
    pub(crate) fn run_prepared(&mut self, sql: &str, params: &[Literal]) -> Result<Option<Rows>> {
        self.send(COM_STMT_PREPARE, sql.as_bytes())?;
        let mut p = Parser(self.packet()?);
        if p.u8()? != 0 {
            return Err(protocol("the reply to a prepare"));
        }
        let id = p.u32()?;
        let (columns, wanted) = (p.u16()?, p.u16()?);
        self.columns(usize::from(wanted))?;
        self.columns(usize::from(columns))?;
        self.finished();
        if usize::from(wanted) != params.len() {
            self.close(id)?;
            return Err(Error::config(format!(
                "the statement has {wanted} placeholders, but {} values came",
                params.len()
            )));
        }
        let mut body = Vec::with_capacity(64);
        body.extend_from_slice(&id.to_le_bytes());
        // No cursor: with one, the server materialises the result first (see docs/decisions/0003-mysql-driver.md).
        body.push(0);
        body.extend_from_slice(&1u32.to_le_bytes());
        if !params.is_empty() {
            bind(&mut body, params)?;
        }
        let ran = self.send(COM_STMT_EXECUTE, &body).and_then(|()| self.reply());
        match ran {
            Ok(Reply::Rows(columns)) => Ok(Some(Rows { columns, binary: true, statement: Some(id) })),
            Ok(Reply::Done(_)) => {
                if self.is_idle() {
                    self.close(id)?;
                }
                Ok(None)
            }
            Ok(Reply::LocalInfile) => Err(protocol("a prepared statement asks for a file")),
            Err(e) => {
                if self.is_idle() {
                    self.close(id)?;
                }
                Err(e)
            }
        }
    }
    /// After the last row.
    pub(crate) fn close_statement(&mut self, rows: &Rows) -> Result<()> {
        match rows.statement {
            Some(id) if self.is_idle() => self.close(id),
            _ => Ok(()),
        }
    }
    fn close(&mut self, id: u32) -> Result<()> {
        self.send(COM_STMT_CLOSE, &id.to_le_bytes())?;
        // There is no reply to this one.
        self.finished();
        Ok(())
    }
}

/// NULL bitmap, types and values of `params`, as COM_STMT_EXECUTE wants them.
fn bind(out: &mut Vec<u8>, params: &[Literal]) -> Result<()> {
    let bitmap = out.len();
    out.resize(bitmap + params.len().div_ceil(8), 0);
    for (i, p) in params.iter().enumerate() {
        if matches!(p, Literal::Null) {
            out[bitmap + i / 8] |= 1 << (i % 8);
        }
    }
    out.push(1); // types follow
    for p in params {
        use ColumnType as T;
        let (kind, unsigned) = match p {
            Literal::Null => (T::MYSQL_TYPE_NULL, false),
            Literal::Bool(_) => (T::MYSQL_TYPE_TINY, false),
            Literal::Int(_) => (T::MYSQL_TYPE_LONGLONG, false),
            Literal::UInt(_) => (T::MYSQL_TYPE_LONGLONG, true),
            Literal::Float(_) => (T::MYSQL_TYPE_DOUBLE, false),
            Literal::Decimal { .. } => (T::MYSQL_TYPE_NEWDECIMAL, false),
            Literal::Utf8(_) => (T::MYSQL_TYPE_VAR_STRING, false),
            Literal::Binary(_) => (T::MYSQL_TYPE_BLOB, false),
            Literal::Date(_) => (T::MYSQL_TYPE_DATE, false),
            Literal::Time(_) => (T::MYSQL_TYPE_TIME, false),
            Literal::Timestamp { .. } => (T::MYSQL_TYPE_DATETIME, false),
        };
        out.extend_from_slice(&[kind as u8, if unsigned { 0x80 } else { 0 }]);
    }
    for p in params {
        match p {
            Literal::Null => {}
            Literal::Bool(b) => out.push(u8::from(*b)),
            Literal::Int(v) => out.extend_from_slice(&v.to_le_bytes()),
            Literal::UInt(v) => out.extend_from_slice(&v.to_le_bytes()),
            Literal::Float(v) if v.is_finite() => out.extend_from_slice(&v.to_le_bytes()),
            Literal::Float(v) => return Err(Error::config(format!("MySQL has no {v}"))),
            Literal::Decimal { value, scale } => {
                let text = xdb_sql::decimal_text(*value, *scale);
                put_lenenc_bytes(out, text.trim_matches(['(', ')']).as_bytes());
            }
            Literal::Utf8(t) => put_lenenc_bytes(out, t.as_bytes()),
            Literal::Binary(b) => put_lenenc_bytes(out, b),
            Literal::Date(d) => {
                let (y, m, d) = date(i64::from(*d))?;
                out.push(4);
                out.extend_from_slice(&y.to_le_bytes());
                out.extend_from_slice(&[m, d]);
            }
            Literal::Time(us) => {
                let s = us.div_euclid(1_000_000);
                if !(0..=86_400).contains(&s) {
                    return Err(Error::config("a time parameter beyond a day"));
                }
                out.extend_from_slice(&[12, 0, 0, 0, 0, 0]);
                out.extend_from_slice(&[(s / 3600) as u8, (s / 60 % 60) as u8, (s % 60) as u8]);
                out.extend_from_slice(&(us.rem_euclid(1_000_000) as u32).to_le_bytes());
            }
            Literal::Timestamp { micros, .. } => {
                let (y, m, d) = date(micros.div_euclid(86_400_000_000))?;
                let us = micros.rem_euclid(86_400_000_000);
                let s = us / 1_000_000;
                out.push(11);
                out.extend_from_slice(&y.to_le_bytes());
                out.extend_from_slice(&[m, d, (s / 3600) as u8, (s / 60 % 60) as u8, (s % 60) as u8]);
                out.extend_from_slice(&((us % 1_000_000) as u32).to_le_bytes());
            }
        }
    }
    Ok(())
}

fn date(days: i64) -> Result<(u16, u8, u8)> {
    let (y, m, d) = crate::calendar::civil(days);
    match u16::try_from(y) {
        Ok(y) if y <= 9999 => Ok((y, m, d)),
        _ => Err(Error::config(format!("the year {y} is beyond what MySQL has"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bound_as_the_manual_says() {
        let mut out = vec![];
        let params = [Literal::Int(-1), Literal::Null, Literal::Utf8("é".into()), Literal::Date(0)];
        bind(&mut out, &params).unwrap();
        let want: &[u8] = &[
            0b0010, 1, 8, 0, 6, 0, 253, 0, 10, 0, // bitmap, flag, types
            255, 255, 255, 255, 255, 255, 255, 255, 2, 0xC3, 0xA9, 4, 0xB2, 0x07, 1, 1,
        ];
        assert_eq!(out, want);
        assert!(bind(&mut vec![], &[Literal::Float(f64::NAN)]).is_err());
    }
}
