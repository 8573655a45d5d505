//! Sockets: TCP or unix, plain or under TLS, and closing one from another thread.

use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use xdb_core::{Error, ErrorKind, Result};

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}
impl Socket {
    pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Self> {
        match address {
            Address::Tcp { host, port } => {
                let mut last = None;
                let deadline = Instant::now() + timeout;
                let found = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(|e| Error::new(ErrorKind::Connect, format!("cannot find the host `{host}`: {e}")))?;
                for a in found {
                    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                    match TcpStream::connect_timeout(&a, left) {
                        Ok(s) => {
                            s.set_nodelay(true)?;
                            // A peer that vanished (a firewall, a lost laptop) is noticed also where nothing is sent.
                            let alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
                            socket2::SockRef::from(&s).set_tcp_keepalive(&alive)?;
                            return Ok(Self::Tcp(s));
                        }
                        Err(e) => last = Some(e),
                    }
                }
                Err(match last {
                    Some(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                        Error::new(ErrorKind::Timeout, format!("connection timed out after {}s", timeout.as_secs_f64()))
                    }
                    Some(e) => Error::new(ErrorKind::Connect, plain_io(&e)),
                    None => Error::new(ErrorKind::Connect, format!("the host `{host}` has no address")),
                })
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                UnixStream::connect(path).map(Self::Unix).map_err(|e| Error::new(ErrorKind::Connect, plain_io(&e)))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(Error::unsupported("unix sockets do not exist on this system")),
        }
    }
    fn try_clone(&self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Tcp(s) => Self::Tcp(s.try_clone()?),
            #[cfg(unix)]
            Self::Unix(s) => Self::Unix(s.try_clone()?),
        })
    }
    /// How long a read or write may take; `None` is for ever.
    pub(crate) fn set_timeout(&self, t: Option<Duration>) -> std::io::Result<()> {
        match self {
            Self::Tcp(s) => s.set_read_timeout(t).and_then(|()| s.set_write_timeout(t)),
            #[cfg(unix)]
            Self::Unix(s) => s.set_read_timeout(t).and_then(|()| s.set_write_timeout(t)),
        }
    }
    /// Close by a reset instead of a farewell. A server that is writing to a full socket learns of a farewell only when
    /// it can write again, which after a shutdown may be a minute (Linux sends no window update then); it learns of a
    /// reset at once.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(s) = self {
            let _ = socket2::SockRef::from(s).set_linger(Some(Duration::ZERO));
        }
    }
    pub(crate) fn closer(&self) -> std::io::Result<Closer> {
        Ok(Closer(self.try_clone()?))
    }
}
fn plain_io(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::NotFound => "there is no such socket".into(),
        _ => e.to_string(),
    }
}

/// Ends a connection from outside: a thread that waits in a read or write on it gets an error.
#[derive(Debug)]
pub(crate) struct Closer(Socket);
impl Closer {
    pub(crate) fn close(&self) {
        self.0.reset_on_close();
        // It may be closed already, which is as good.
        let _ = match &self.0 {
            Socket::Tcp(s) => s.shutdown(Shutdown::Both),
            #[cfg(unix)]
            Socket::Unix(s) => s.shutdown(Shutdown::Both),
        };
    }
}

#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}
impl Transport {
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Self::Plain(s) => s,
            Self::Tls(t) => &t.sock,
        }
    }
    /// `TLSv1.3`, or `None` for plain text.
    pub(crate) fn tls_version(&self) -> Option<String> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(t) => Some(match t.conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
                other => format!("{other:?}"),
            }),
        }
    }
}
impl Read for Socket {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(s) => s.read(buf),
            #[cfg(unix)]
            Self::Unix(s) => s.read(buf),
        }
    }
}
impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(s) => s.write(buf),
            #[cfg(unix)]
            Self::Unix(s) => s.write(buf),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
impl Read for Transport {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(s) => s.read(buf),
            Self::Tls(t) => t.read(buf),
        }
    }
}
impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(s) => s.write(buf),
            Self::Tls(t) => t.write(buf),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(s) => s.flush(),
            Self::Tls(t) => t.flush(),
        }
    }
}
