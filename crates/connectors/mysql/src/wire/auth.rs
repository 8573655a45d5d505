//! The handshake: greeting, TLS, capabilities, and whichever way of proving the password the server asks for.

use super::conn::{ConnectOptions, parse_error};
use super::parse::{Parser, put_lenenc, put_lenenc_bytes};
use super::transport::{Address, Socket, Transport};
use super::{Channel, SslMode, protocol};
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::constants::CapabilityFlags as Cap;
use mysql_common::packets::AuthPlugin;
use xdb_core::{Error, ErrorKind, Result};

/// utf8mb4_general_ci: the one utf8mb4 collation that every MySQL and MariaDB has under the same number.
const COLLATION: u8 = 45;
/// What this client may send in one message; the server's own limit is what counts.
const MAX_PACKET: u32 = 1 << 30;
/// MariaDB's own capabilities, above the 32 bits that it shares with MySQL.
const MARIADB_EXTENDED_METADATA: u32 = 1 << 3;
const SCRAMBLE: usize = 20;

/// The server's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) thread_id: u32,
    pub(super) capabilities: u32,
    pub(super) mariadb_capabilities: u32,
    pub(super) scramble: Vec<u8>,
    pub(super) plugin: Vec<u8>,
}
impl Greeting {
    pub(super) fn parse(packet: &[u8]) -> Result<Self> {
        let mut p = Parser(packet);
        match p.u8()? {
            10 => {}
            0xFF => return Err(parse_error(packet)),
            other => return Err(protocol(format_args!("handshake version {other}; version 10 is needed"))),
        }
        let version = String::from_utf8_lossy(p.nul_bytes()).into_owned();
        let thread_id = p.u32()?;
        let mut scramble = p.bytes(8)?.to_vec();
        p.u8()?;
        let low = u32::from(p.u16()?);
        let _charset = p.u8()?;
        let _status = p.u16()?;
        let capabilities = low | u32::from(p.u16()?) << 16;
        let auth_len = usize::from(p.u8()?);
        p.bytes(6)?;
        // MySQL leaves these zero. MariaDB says by the lowest bit's absence that it isn't MySQL, and what it can.
        let ext = p.u32()?;
        let mariadb_capabilities = if capabilities & Cap::CLIENT_LONG_PASSWORD.bits() == 0 { ext } else { 0 };
        if capabilities & Cap::CLIENT_SECURE_CONNECTION.bits() != 0 {
            let n = auth_len.saturating_sub(8).max(13).min(p.0.len());
            scramble.extend_from_slice(p.bytes(n)?);
        }
        while scramble.len() > SCRAMBLE && scramble.last() == Some(&0) {
            scramble.pop();
        }
        let plugin = if capabilities & Cap::CLIENT_PLUGIN_AUTH.bits() != 0 {
            p.nul_bytes().to_vec()
        } else {
            b"mysql_native_password".to_vec()
        };
        Ok(Self { version, thread_id, capabilities, mariadb_capabilities, scramble, plugin })
    }
    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }
}

pub(super) struct LoggedIn {
    pub(super) channel: Channel<Transport>,
    pub(super) greeting: Greeting,
    /// Column definitions carry MariaDB's extended types.
    pub(super) extended_metadata: bool,
}

/// From an open socket to a logged-in connection.
pub(super) fn log_in(socket: Socket, o: &ConnectOptions) -> Result<LoggedIn> {
    let mut plain = Channel::new(Transport::Plain(socket));
    let greeting = Greeting::parse(plain.read()?)?;
    if greeting.capabilities & Cap::CLIENT_PROTOCOL_41.bits() == 0 {
        return Err(Error::unsupported(format!("server version {} is older than MySQL 4.1", greeting.version)));
    }
    let mut flags = Cap::CLIENT_LONG_FLAG
        | Cap::CLIENT_LOCAL_FILES
        | Cap::CLIENT_PROTOCOL_41
        | Cap::CLIENT_TRANSACTIONS
        | Cap::CLIENT_SECURE_CONNECTION
        | Cap::CLIENT_MULTI_RESULTS
        | Cap::CLIENT_PS_MULTI_RESULTS
        | Cap::CLIENT_PLUGIN_AUTH
        | Cap::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | Cap::CLIENT_CONNECT_ATTRS;
    if o.database.is_some() {
        flags |= Cap::CLIENT_CONNECT_WITH_DB;
    }
    let mariadb = greeting.mariadb_capabilities & MARIADB_EXTENDED_METADATA;
    if mariadb == 0 {
        // Whoever sets this bit says "I do not speak MariaDB's extensions".
        flags |= Cap::CLIENT_LONG_PASSWORD;
    }
    let mut flags = flags.bits() & (greeting.capabilities | Cap::CLIENT_LONG_PASSWORD.bits());
    let mut channel = plain;
    let local = matches!(o.address, Address::Unix(_));
    let has_tls = greeting.capabilities & Cap::CLIENT_SSL.bits() != 0;
    let use_tls = match o.tls.mode {
        SslMode::Disabled => false,
        // Nobody can listen in on a unix socket.
        SslMode::Preferred => has_tls && !local,
        _ if local => return Err(Error::config("a unix socket cannot have TLS").hint("remove `ssl_mode` or `socket`")),
        _ if !has_tls => {
            return Err(Error::new(ErrorKind::Connect, "the server has no TLS, and `ssl_mode` asks for it")
                .retryable(false)
                .hint("turn on TLS in the server, or set `ssl_mode: preferred`"));
        }
        _ => true,
    };
    if use_tls {
        flags |= Cap::CLIENT_SSL.bits();
        channel.write(&head(flags, mariadb))?;
        let host = match &o.address {
            Address::Tcp { host, .. } => host.as_str(),
            Address::Unix(_) => "localhost",
        };
        channel = channel.upgrade(|t| match t {
            Transport::Plain(s) => o.tls.connect(s, host),
            tls => Ok(tls),
        })?;
    }
    let ctx =
        Ctx { password: o.password.expose().as_bytes(), tls: use_tls, local, scramble: greeting.scramble.clone() };
    let mut login = Login::new(ctx, &greeting.plugin);
    let first = match login.first() {
        Ok(first) => first,
        // The server names its default; the account's own way follows in a switch request.
        Err(_) => {
            login = Login::new(login.ctx, b"mysql_native_password");
            login.first().unwrap_or_default()
        }
    };
    channel.write(&response(flags, mariadb, o, &first, login.plugin.as_bytes()))?;
    login.finish(&mut channel)?;
    Ok(LoggedIn { channel, greeting, extended_metadata: mariadb != 0 })
}

/// The fixed part of the client's answer, which alone is the request for TLS.
fn head(flags: u32, mariadb: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(COLLATION);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&mariadb.to_le_bytes());
    out
}

fn response(flags: u32, mariadb: u32, o: &ConnectOptions, first: &[u8], plugin: &[u8]) -> Vec<u8> {
    let mut out = head(flags, mariadb);
    out.extend_from_slice(o.user.as_bytes());
    out.push(0);
    if flags & Cap::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA.bits() != 0 {
        put_lenenc_bytes(&mut out, first);
    } else {
        out.push(first.len() as u8);
        out.extend_from_slice(first);
    }
    if let (Some(db), true) = (&o.database, flags & Cap::CLIENT_CONNECT_WITH_DB.bits() != 0) {
        out.extend_from_slice(db.as_bytes());
        out.push(0);
    }
    if flags & Cap::CLIENT_PLUGIN_AUTH.bits() != 0 {
        out.extend_from_slice(plugin);
        out.push(0);
    }
    if flags & Cap::CLIENT_CONNECT_ATTRS.bits() != 0 {
        let mut attrs = vec![];
        for text in ["program_name", "xdb", "_client_name", "xdb", "_client_version", env!("CARGO_PKG_VERSION")] {
            put_lenenc_bytes(&mut attrs, text.as_bytes());
        }
        put_lenenc(&mut out, attrs.len() as u64);
        out.extend_from_slice(&attrs);
    }
    out
}

struct Ctx<'a> {
    password: &'a [u8],
    tls: bool,
    local: bool,
    scramble: Vec<u8>,
}
impl Context for &Ctx<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }
    fn is_ipc_transport(&self) -> bool {
        self.local
    }
    fn is_tls_transport(&self) -> bool {
        self.tls
    }
    fn scramble(&self) -> &[u8] {
        &self.scramble
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

/// One run of the challenge and response game.
struct Login<'a> {
    ctx: Ctx<'a>,
    plugin: AuthPlugin<'static>,
    procedure: Option<AuthProc>,
}
impl<'a> Login<'a> {
    fn new(ctx: Ctx<'a>, plugin: &[u8]) -> Self {
        Self { ctx, plugin: AuthPlugin::from_bytes(plugin).into_owned(), procedure: None }
    }
    /// The answer to the scramble.
    fn first(&mut self) -> Result<Vec<u8>> {
        let unsupported = |name: &[u8]| {
            Error::new(
                ErrorKind::Auth,
                format!("the server asks for the authentication plugin `{}`", String::from_utf8_lossy(name)),
            )
            .hint(
                "xdb knows caching_sha2_password, sha256_password, mysql_native_password, and mysql_clear_password \
                   over TLS: give the account one of them (ALTER USER ... IDENTIFIED VIA/WITH ...)",
            )
        };
        match &self.plugin {
            AuthPlugin::MysqlClearPassword if !(self.ctx.tls || self.ctx.local) => {
                return Err(Error::new(ErrorKind::Auth, "the server asks for the password in clear text")
                    .hint("set `ssl_mode: required`: xdb sends a password in clear only under TLS"));
            }
            // Answered by a hash too weak to send.
            AuthPlugin::MysqlOldPassword | AuthPlugin::Ed25519 | AuthPlugin::Parsec | AuthPlugin::Other(_) => {
                return Err(unsupported(self.plugin.as_bytes()));
            }
            _ => {}
        }
        let mut procedure = self.plugin.init().map_err(|_| unsupported(self.plugin.as_bytes()))?;
        let scramble = self.ctx.scramble.clone();
        let out = procedure.run(&self.ctx, &scramble).map_err(challenge_error)?;
        self.procedure = Some(procedure);
        Ok(out.data().unwrap_or_default().to_vec())
    }
    fn more(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        if challenge.starts_with(b"-----BEGIN") {
            self.check_key(challenge)?;
        }
        let procedure = self.procedure.as_mut().ok_or_else(|| protocol("a challenge before the handshake"))?;
        let out = procedure.run(&self.ctx, challenge).map_err(challenge_error)?;
        Ok(out.data().map(<[u8]>::to_vec))
    }
    /// RSA's own arithmetic takes for granted that the password fits the key.
    fn check_key(&self, pem: &[u8]) -> Result<()> {
        let key = mysql_common::crypto::rsa::PublicKey::from_pem(pem)
            .map_err(|_| protocol("the public key cannot be read"))?;
        // OAEP with SHA-1 takes 42 bytes; the password is sent with a NUL.
        if key.num_octets() < self.ctx.password.len() + 1 + 42 || self.ctx.scramble.is_empty() {
            return Err(Error::new(ErrorKind::Auth, "the password is too long for the server's public key")
                .hint("set `ssl_mode: required`"));
        }
        Ok(())
    }
    fn finish<T: std::io::Read + std::io::Write>(mut self, channel: &mut Channel<T>) -> Result<()> {
        // A login takes at most a switch and three challenges; more is a server that plays for time.
        for _ in 0..16 {
            let packet = channel.read()?;
            let mut p = Parser(packet);
            let answer = match p.u8()? {
                0x00 => return Ok(()),
                0xFF => return Err(parse_error(packet)),
                0xFE if p.is_empty() => {
                    return Err(Error::new(ErrorKind::Auth, "the server asks for a password hash of before MySQL 4.1"));
                }
                0xFE => {
                    self.plugin = AuthPlugin::from_bytes(p.nul_bytes()).into_owned();
                    let data = p.0.strip_suffix(&[0]).unwrap_or(p.0);
                    self.ctx.scramble = data.to_vec();
                    Some(self.first()?)
                }
                0x01 => {
                    let challenge = p.0.to_vec();
                    self.more(&challenge)?
                }
                other => return Err(protocol(format_args!("{other:#04x} during the login"))),
            };
            if let Some(a) = answer {
                channel.write(&a)?;
            }
        }
        Err(protocol("the login does not end"))
    }
}

fn challenge_error(e: mysql_common::auth::plugins::Error) -> Error {
    protocol(format_args!("authentication: {e}"))
}

#[cfg(test)]
mod tests {
    use super::super::channel::tests::Fake;
    use super::*;
    use proptest::prelude::*;

    /// The server's messages, each of which the client answers: every other sequence number is the client's.
    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![];
        for (i, m) in messages.iter().enumerate() {
            out.extend_from_slice(&(m.len() as u32).to_le_bytes()[..3]);
            out.push(2 * i as u8);
            out.extend_from_slice(m);
        }
        out
    }
    fn greeting() -> Vec<u8> {
        let mut g = vec![10];
        g.extend_from_slice(b"9.7.0\0");
        g.extend_from_slice(&7u32.to_le_bytes());
        g.extend_from_slice(b"abcdefgh\0");
        g.extend_from_slice(&0xFFFFu16.to_le_bytes());
        g.push(45);
        g.extend_from_slice(&2u16.to_le_bytes());
        g.extend_from_slice(&0xDFFFu16.to_le_bytes());
        g.push(21);
        g.extend_from_slice(&[0; 10]);
        g.extend_from_slice(b"ijklmnopqrst\0");
        g.extend_from_slice(b"caching_sha2_password\0");
        g
    }

    #[test]
    fn a_greeting() {
        let g = Greeting::parse(&greeting()).unwrap();
        assert_eq!((g.version.as_str(), g.thread_id), ("9.7.0", 7));
        assert_eq!(g.scramble, b"abcdefghijklmnopqrst");
        assert_eq!(g.plugin, b"caching_sha2_password");
        assert!(!g.is_mariadb());
    }
    #[test]
    fn a_refusal_instead_of_a_greeting() {
        let e = Greeting::parse(b"\xFF\x10\x04Too many connections").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Resource);
    }
    proptest! {
        #[test]
        fn any_greeting_is_an_error_or_a_greeting(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), real in any::<bool>()) {
            if real && !bytes.is_empty() { bytes[0] = 10; }
            let _ = Greeting::parse(&bytes);
            let n = bytes.len().min(greeting().len());
            let _ = Greeting::parse(&greeting()[..n]);
        }
        /// Whatever a server sends during the login: an error or a success, never a panic or an endless wait.
        #[test]
        fn any_login_ends(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6), head in 0u8..4) {
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|mut m| {
                if let Some(b) = m.first_mut() { *b = [0x01, 0xFE, 0xFF, *b][head as usize]; }
                m
            }).collect();
            let ctx = Ctx { password: b"secret", tls: false, local: false, scramble: vec![1; 20] };
            let mut login = Login::new(ctx, b"caching_sha2_password");
            login.first().unwrap();
            let _ = login.finish(&mut Channel::new(Fake::new(framed(&messages), 50)));
        }
    }

    fn log_in_with(plugin: &[u8], tls: bool, password: &str, messages: &[Vec<u8>]) -> (Result<()>, Vec<u8>) {
        let ctx = Ctx { password: password.as_bytes(), tls, local: false, scramble: b"abcdefghijklmnopqrst".to_vec() };
        let mut login = Login::new(ctx, plugin);
        login.first().unwrap();
        let mut channel = Channel::new(Fake::new(framed(messages), 50));
        let result = login.finish(&mut channel);
        let output = channel.io().output.clone();
        (result, output)
    }

    #[test]
    fn caching_sha2_sends_the_password_in_clear_only_under_tls() {
        let full = vec![vec![0x01, 4], vec![0, 0, 0]];
        let (r, sent) = log_in_with(b"caching_sha2_password", true, "hunter2", &full);
        assert!(r.is_ok() && sent.windows(8).any(|w| w == b"hunter2\0"));
        // Without TLS it asks for the server's key instead (one byte, 2).
        let (_, sent) = log_in_with(b"caching_sha2_password", false, "hunter2", &[vec![0x01, 4]]);
        assert_eq!(sent, [1, 0, 0, 1, 2]);
        // The fast way needs nothing more: the end of the input is all that is wrong.
        let (r, sent) = log_in_with(b"caching_sha2_password", false, "hunter2", &[vec![0x01, 3]]);
        assert!(r.unwrap_err().message().contains("closed") && sent.is_empty());
    }
    #[test]
    fn a_switch_to_clear_text_is_refused_without_tls() {
        let switch = [b"\xFEmysql_clear_password\0".to_vec()];
        let (r, sent) = log_in_with(b"mysql_native_password", false, "hunter2", &switch);
        assert_eq!(r.unwrap_err().kind(), ErrorKind::Auth);
        assert!(sent.is_empty());
    }
    #[test]
    fn an_unknown_plugin_is_named() {
        let (r, _) = log_in_with(b"mysql_native_password", true, "x", &[b"\xFEclient_ed25519\0abc".to_vec()]);
        assert!(r.unwrap_err().message().contains("client_ed25519"));
    }
    #[test]
    fn a_bad_public_key_is_an_error() {
        let (r, _) = log_in_with(
            b"caching_sha2_password",
            false,
            "x",
            &[vec![0x01, 4], b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec()],
        );
        assert!(r.is_err());
    }
}
