//! The MySQL client/server protocol, as much of it as xdb needs, over blocking sockets.
//!
//! Packets and handshake, text and binary result sets, prepared statements, `LOAD DATA LOCAL INFILE` fed from memory.
//! Passwords are scrambled by `mysql_common`; nothing here knows about Arrow, SQL or profiles. Protocol facts are from
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and
//! <https://mariadb.com/kb/en/clientserver-protocol/>.
//!
//! Blocking, because every read or load has a thread of its own that decodes or encodes: a socket that waits there
//! costs nothing, and there is no executor between the kernel's buffer and the Arrow builders.

mod auth;
mod channel;
mod column;
mod conn;
mod parse;
mod statement;
mod tls;
mod transport;

pub(crate) use channel::Channel;
pub(crate) use column::{ColumnDef, ColumnType};
pub(crate) use conn::{Conn, ConnectOptions, Reply};
pub(crate) use parse::Parser;
pub(crate) use statement::Rows;
pub(crate) use tls::{SslMode, TlsOptions};
pub(crate) use transport::{Address, Closer};

/// The other side broke the protocol. Never shows the bytes, which may be user data.
pub(crate) fn protocol(what: impl std::fmt::Display) -> xdb_core::Error {
    xdb_core::Error::new(xdb_core::ErrorKind::Protocol, format!("the server broke the MySQL protocol: {what}"))
}
