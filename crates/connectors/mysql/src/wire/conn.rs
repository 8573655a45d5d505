//! One logged-in connection: commands and their replies.

use super::auth::{LoggedIn, log_in};
use super::parse::Parser;
use super::transport::{Address, Closer, Socket, Transport};
use super::{Channel, ColumnDef, TlsOptions, protocol};
use std::time::Duration;
use xdb_core::{Error, Result, Secret};

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const COM_PING: u8 = 14;
const COM_SET_OPTION: u8 = 27;
const MORE_RESULTS: u16 = 8;

#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) address: Address,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) database: Option<String>,
    pub(crate) tls: TlsOptions,
    pub(crate) connect_timeout: Duration,
}

/// What a statement without rows did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) affected: u64,
    pub(crate) warnings: u16,
    pub(crate) status: u16,
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Done(Done),
    /// Rows follow, of these columns.
    Rows(Vec<ColumnDef>),
    /// The server waits for the contents of a file.
    LocalInfile,
}

pub(crate) struct Conn {
    channel: Channel<Transport>,
    pub(crate) thread_id: u64,
    /// As the server says it, e.g. `10.11.19-MariaDB-0+deb12u1`.
    pub(crate) version: String,
    pub(crate) mariadb: bool,
    extended_metadata: bool,
    /// A reply is still under way, or the connection failed: it can't be used for another command.
    busy: bool,
}
impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("thread_id", &self.thread_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Conn {
    pub(crate) fn connect(o: &ConnectOptions) -> Result<Self> {
        let socket = Socket::connect(&o.address, o.connect_timeout)?;
        // A server that takes the connection and then says nothing must not hold us either.
        socket.set_timeout(Some(o.connect_timeout.max(Duration::from_millis(1))))?;
        let LoggedIn { channel, greeting, extended_metadata } = log_in(socket, o)?;
        channel.io().socket().set_timeout(None)?;
        Ok(Self {
            channel,
            thread_id: u64::from(greeting.thread_id),
            mariadb: greeting.is_mariadb(),
            // MariaDB up to 10.x says 5.5.5 first, for old replicas' sake.
            version: greeting.version.strip_prefix("5.5.5-").unwrap_or(&greeting.version).to_string(),
            extended_metadata,
            busy: false,
        })
    }
    pub(crate) fn closer(&self) -> Result<Closer> {
        Ok(self.channel.io().socket().closer()?)
    }
    pub(crate) fn tls_version(&self) -> Option<String> {
        self.channel.io().tls_version()
    }
    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.channel.received()
    }
    /// Ready for another command.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy && !self.channel.has_leftover()
    }

    pub(super) fn send(&mut self, command: u8, argument: &[u8]) -> Result<()> {
        if self.busy {
            return Err(Error::internal("a command on a busy connection"));
        }
        self.busy = true;
        let mut packet = Vec::with_capacity(argument.len() + 1);
        packet.push(command);
        packet.extend_from_slice(argument);
        self.channel.start_command();
        self.channel.write(&packet)
    }
    /// The next packet of a reply; an error packet ends the reply.
    #[inline]
    pub(super) fn packet(&mut self) -> Result<&[u8]> {
        let packet = self.channel.read()?;
        if packet.first() == Some(&0xFF) {
            self.busy = false;
            return Err(parse_error(packet));
        }
        Ok(packet)
    }
    pub(super) fn finished(&mut self) {
        self.busy = false;
    }
    pub(super) fn reply(&mut self) -> Result<Reply> {
        let packet = self.packet()?;
        let mut p = Parser(packet);
        match p.0.first() {
            Some(0x00) => {
                let ok = parse_ok(packet)?;
                self.busy = ok.status & MORE_RESULTS != 0;
                Ok(Reply::Done(ok))
            }
            Some(0xFB) => Ok(Reply::LocalInfile),
            _ => {
                let n = p.lenenc()?;
                if !p.is_empty() || n == 0 || n > 65_535 {
                    return Err(protocol("the start of a result set"));
                }
                Ok(Reply::Rows(self.columns(n as usize)?))
            }
        }
    }
    /// `n` column definitions and the packet that ends them.
    pub(super) fn columns(&mut self, n: usize) -> Result<Vec<ColumnDef>> {
        let extended = self.extended_metadata;
        let mut out = Vec::new();
        for _ in 0..n {
            out.push(ColumnDef::parse(self.packet()?, extended)?);
        }
        if n > 0 && parse_eof(self.packet()?).is_none() {
            return Err(protocol("the end of the column definitions"));
        }
        Ok(out)
    }
    /// The next row's packet, or `None` at the end of the result set.
    #[inline]
    pub(crate) fn row(&mut self) -> Result<Option<&[u8]>> {
        let packet = self.channel.read()?;
        match packet.first() {
            Some(0xFE) if packet.len() < 9 => {
                let status = parse_eof(packet).unwrap_or_default();
                self.busy = status & MORE_RESULTS != 0;
                Ok(None)
            }
            Some(0xFF) => {
                self.busy = false;
                Err(parse_error(packet))
            }
            // The borrow ends here for the others, so the packet is looked at again by the caller.
            Some(_) => Ok(Some(packet)),
            None => Err(protocol("an empty row")),
        }
    }

    /// One statement in the text protocol; its rows, if any, are thrown away. `warnings` counts the last one's.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<Done> {
        self.execute_bytes(sql.as_bytes())
    }
    /// Several statements, separated by semicolons.
    pub(crate) fn execute_many(&mut self, sql: &str) -> Result<Done> {
        self.multi_statements(true)?;
        let out = self.execute(sql);
        if !self.busy {
            self.multi_statements(false)?;
        }
        out
    }
    /// Off unless asked for: nothing that xdb makes up itself may turn into two statements.
    fn multi_statements(&mut self, on: bool) -> Result<()> {
        self.send(COM_SET_OPTION, &u16::from(!on).to_le_bytes())?;
        let packet = self.packet()?;
        if packet.first() != Some(&0) && parse_eof(packet).is_none() {
            return Err(protocol("the reply to COM_SET_OPTION"));
        }
        self.busy = false;
        Ok(())
    }
    /// As [`Conn::execute`], for SQL that holds bytes of no character set.
    pub(crate) fn execute_bytes(&mut self, sql: &[u8]) -> Result<Done> {
        let mut last = Done::default();
        self.results(sql, |r| {
            last = r;
            Ok(())
        })?;
        Ok(last)
    }
    fn results(&mut self, sql: &[u8], mut each: impl FnMut(Done) -> Result<()>) -> Result<()> {
        self.send(COM_QUERY, sql)?;
        loop {
            match self.reply()? {
                Reply::Done(ok) => each(ok)?,
                Reply::Rows(_) => {
                    while self.row()?.is_some() {}
                    each(Done::default())?;
                }
                Reply::LocalInfile => {
                    self.refuse_file()?;
                    continue;
                }
            }
            if !self.busy {
                return Ok(());
            }
        }
    }
    /// A server may ask any client for any file at any time; only a load of our own is answered.
    fn refuse_file(&mut self) -> Result<()> {
        self.channel.write(&[])
    }
    /// A query's rows as texts. For small answers.
    pub(crate) fn texts(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.send(COM_QUERY, sql.as_bytes())?;
        let n = match self.reply()? {
            Reply::Rows(columns) => columns.len(),
            Reply::Done(_) => return Ok(vec![]),
            Reply::LocalInfile => {
                self.refuse_file()?;
                self.reply()?;
                return Ok(vec![]);
            }
        };
        let mut out = vec![];
        while let Some(packet) = self.row()? {
            let mut p = Parser(packet);
            let row: Result<Vec<_>> =
                (0..n).map(|_| Ok(p.text_value()?.map(|v| String::from_utf8_lossy(v).into_owned()))).collect();
            out.push(row?);
        }
        Ok(out)
    }
    /// Start a query in the text protocol, whose rows the caller reads with [`Conn::row`].
    pub(crate) fn query(&mut self, sql: &str) -> Result<Reply> {
        self.send(COM_QUERY, sql.as_bytes())?;
        match self.reply()? {
            Reply::LocalInfile => {
                self.refuse_file()?;
                self.reply()
            }
            other => Ok(other),
        }
    }
    /// Start `LOAD DATA LOCAL INFILE`: then [`Conn::load_data`] any number of times, then [`Conn::load_end`].
    pub(crate) fn load_start(&mut self, sql: &str) -> Result<()> {
        self.send(COM_QUERY, sql.as_bytes())?;
        match self.reply()? {
            Reply::LocalInfile => Ok(()),
            _ => Err(protocol("LOAD DATA did not ask for data")),
        }
    }
    /// A piece of the data. The first four bytes of `packet` are for the header; at most 16 MiB.
    pub(crate) fn load_data(&mut self, packet: &mut [u8]) -> Result<()> {
        self.channel.write_reserved(packet)
    }
    pub(crate) fn load_end(&mut self) -> Result<Done> {
        self.channel.write(&[])?;
        match self.reply()? {
            Reply::Done(ok) => Ok(ok),
            _ => Err(protocol("the end of LOAD DATA")),
        }
    }
    /// Is the other side still there?
    pub(crate) fn ping(&mut self) -> bool {
        self.send(COM_PING, &[]).is_ok() && matches!(self.reply(), Ok(Reply::Done(_)))
    }
}

impl Drop for Conn {
    /// Says goodbye where that can't block: a closed socket does as well, but counts as an aborted client in the log.
    fn drop(&mut self) {
        if !self.busy {
            let _ = self.channel.io().socket().set_timeout(Some(Duration::from_millis(200)));
            let _ = self.send(COM_QUIT, &[]);
        } else {
            self.channel.io().socket().reset_on_close();
        }
    }
}

pub(super) fn parse_ok(packet: &[u8]) -> Result<Done> {
    let mut p = Parser(packet);
    p.u8()?;
    let affected = p.lenenc()?;
    p.lenenc()?; // last insert id
    Ok(Done { affected, status: p.u16()?, warnings: p.u16()? })
}

/// The status flags of an EOF packet; `None` if it isn't one.
pub(super) fn parse_eof(packet: &[u8]) -> Option<u16> {
    match packet {
        [0xFE, _, _, a, b, ..] if packet.len() < 9 => Some(u16::from_le_bytes([*a, *b])),
        [0xFE] => Some(0),
        _ => None,
    }
}

/// An error packet as an error of ours.
pub(super) fn parse_error(packet: &[u8]) -> Error {
    let mut p = Parser(packet);
    let code = match (p.u8(), p.u16()) {
        (Ok(_), Ok(c)) => c,
        _ => return protocol("an error packet without a code"),
    };
    let mut state = "HY000";
    if let [b'#', rest @ ..] = p.0
        && let Some((s, message)) = rest.split_at_checked(5)
    {
        state = std::str::from_utf8(s).unwrap_or(state);
        p = Parser(message);
    }
    crate::errors::server_error(code, state, &String::from_utf8_lossy(p.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xdb_core::ErrorKind;

    #[test]
    fn ok_eof_and_error_packets() {
        assert_eq!(
            parse_ok(&[0, 0xFC, 0x10, 0x27, 0, 2, 0, 3, 0]).unwrap(),
            Done { affected: 10_000, warnings: 3, status: 2 }
        );
        assert_eq!(parse_eof(&[0xFE, 0, 0, 8, 0]), Some(8));
        assert_eq!(parse_eof(&[0xFE, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        let e = parse_error(b"\xFF\x15\x04#28000Access denied for user 'x'");
        assert_eq!(e.kind(), ErrorKind::Auth);
        assert_eq!(e.context().code.as_deref(), Some("1045 (28000)"));
    }
    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_ok(&bytes);
            let _ = parse_eof(&bytes);
            let _ = parse_error(&bytes);
        }
    }
}
