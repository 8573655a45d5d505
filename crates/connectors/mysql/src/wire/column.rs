//! Column definitions of a result set.

use super::parse::Parser;
pub(crate) use mysql_common::constants::ColumnType;
use xdb_core::Result;

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_column_definition.html>
#[derive(Clone, Debug)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    /// `None`: a type number that is not known here.
    pub(crate) kind: Option<ColumnType>,
    pub(crate) charset: u16,
    /// Longest value, in bytes (for numbers: digits and signs).
    pub(crate) length: u32,
    pub(crate) flags: u16,
    pub(crate) decimals: u8,
    /// MariaDB only: the plugin type's name (`uuid`, `inet6`, `point` …), where it is one.
    pub(crate) extended_type: Option<String>,
    /// MariaDB only: the value's format, `json` where a column is declared so.
    pub(crate) format: Option<String>,
}

/// The collation number of `binary`: no character set.
const BINARY_CHARSET: u16 = 63;
const NOT_NULL: u16 = 1;
const UNSIGNED: u16 = 32;

impl ColumnDef {
    pub(crate) fn parse(packet: &[u8], mariadb_extended: bool) -> Result<Self> {
        let mut p = Parser(packet);
        for _catalog_schema_table_orgtable in 0..4 {
            p.lenenc_bytes()?;
        }
        let name = String::from_utf8_lossy(p.lenenc_bytes()?).into_owned();
        p.lenenc_bytes()?; // the column's own name, before AS
        let (mut extended_type, mut format) = (None, None);
        if mariadb_extended {
            let mut info = Parser(p.lenenc_bytes()?);
            while !info.is_empty() {
                let what = info.u8()?;
                let text = String::from_utf8_lossy(info.lenenc_bytes()?).into_owned();
                match what {
                    0 => extended_type = Some(text),
                    1 => format = Some(text),
                    _ => {}
                }
            }
        }
        p.lenenc()?; // length of what follows, always 12
        let charset = p.u16()?;
        let length = p.u32()?;
        let kind = ColumnType::try_from(p.u8()?).ok();
        Ok(Self { name, kind, charset, length, flags: p.u16()?, decimals: p.u8()?, extended_type, format })
    }
    pub(crate) fn is_unsigned(&self) -> bool {
        self.flags & UNSIGNED != 0
    }
    pub(crate) fn is_binary(&self) -> bool {
        self.charset == BINARY_CHARSET
    }
    pub(crate) fn is_not_null(&self) -> bool {
        self.flags & NOT_NULL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn packet() -> Vec<u8> {
        let mut out = vec![];
        for text in ["def", "db", "t", "t", "id", "id_org"] {
            super::super::parse::put_lenenc_bytes(&mut out, text.as_bytes());
        }
        out.push(12);
        out.extend_from_slice(&[63, 0, 20, 0, 0, 0, 8, 33, 0, 0, 0, 0]);
        out
    }

    #[test]
    fn a_column_definition() {
        let c = ColumnDef::parse(&packet(), false).unwrap();
        assert_eq!((c.name.as_str(), c.kind, c.length), ("id", Some(ColumnType::MYSQL_TYPE_LONGLONG), 20));
        assert!(c.is_unsigned() && c.is_binary() && c.is_not_null());
    }
    #[test]
    fn cut_anywhere_it_is_an_error() {
        // The last two bytes are filler.
        for n in 0..packet().len() - 2 {
            assert!(ColumnDef::parse(&packet()[..n], false).is_err(), "{n}");
        }
    }
    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_column(bytes in proptest::collection::vec(any::<u8>(), 0..200), x in any::<bool>()) {
            let _ = ColumnDef::parse(&bytes, x);
        }
    }
}
