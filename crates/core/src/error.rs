//! The one error type. What failed, where, why, and what to do; never a secret.
//!
//! An [`Error`] has a [kind](ErrorKind) (which decides exit codes and retries), a message that names the thing that
//! failed, context (connection, model, relation, file and line, the SQL sent), an optional hint and a cause. Callers add
//! context as the error travels up; only the CLI prints it.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;
type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What sort of failure it is. The kind says who can mend it and whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The user's input is wrong: a flag, YAML, Jinja, a reference, a parameter.
    Config,
    /// A relation, column, file or connection that is named but isn't there.
    NotFound,
    /// The server refused the credentials.
    Auth,
    /// The credentials are fine but may not do this; read-only targets too.
    Permission,
    /// The server could not be reached, or the connection broke.
    Connect,
    /// A limit in time ran out.
    Timeout,
    /// The server or the engine rejected the SQL.
    Sql,
    /// A value or type cannot be carried exactly (`types: lossy` may allow it).
    Type,
    /// Something else holds what we need: a lock, a concurrent run.
    Conflict,
    /// Out of disk, memory or connections.
    Resource,
    /// xdb, an engine or a connector does not do this.
    Unsupported,
    /// The user or a failing sibling stopped it.
    Cancelled,
    /// The other side broke its own protocol.
    Protocol,
    /// A file could not be read or written.
    Io,
    /// A bug in xdb.
    Internal,
}

impl ErrorKind {
    /// The name used in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::NotFound => "not_found",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Sql => "sql",
            Self::Type => "type",
            Self::Conflict => "conflict",
            Self::Resource => "resource",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Protocol => "protocol",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }
}

/// Where it happened. Each is set at most once, by the innermost caller that knows it.
#[derive(Debug, Default, Clone)]
pub struct Context {
    /// The name of the connection, as in profiles.yml.
    pub connection: Option<String>,
    /// The model being run.
    pub model: Option<String>,
    /// The relation, quoted as the server would.
    pub relation: Option<String>,
    /// `path` or `path:line`.
    pub location: Option<String>,
    /// The SQL that was sent.
    pub sql: Option<String>,
    /// The server's own error code (SQLSTATE, errno).
    pub code: Option<String>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    retryable: bool,
    context: Context,
    hint: Option<String>,
    cause: Option<Cause>,
}

/// See the [module](self).
pub struct Error(Box<Inner>);

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retryable: matches!(kind, ErrorKind::Connect | ErrorKind::Timeout),
            context: Context::default(),
            hint: None,
            cause: None,
        }))
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// A value that its target cannot hold exactly. `value` is shown shortened.
    pub fn inexact(column: &str, value: impl fmt::Display, why: impl fmt::Display) -> Self {
        let mut shown = value.to_string();
        if shown.chars().count() > 80 {
            shown = shown.chars().take(77).collect::<String>() + "...";
        }
        Self::new(ErrorKind::Type, format!("column `{column}`: value {shown} {why}"))
            .hint("cast the column in SQL, or set `types: lossy` on the connection or model to accept the loss")
    }

    // -- building ---------------------------------------------------------------------------------------------------

    pub fn cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
    /// Set unless a hint is there already: the innermost knows best.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }
    pub fn connection(mut self, name: impl Into<String>) -> Self {
        self.0.context.connection.get_or_insert_with(|| name.into());
        self
    }
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.0.context.model.get_or_insert_with(|| name.into());
        self
    }
    pub fn relation(mut self, name: impl Into<String>) -> Self {
        self.0.context.relation.get_or_insert_with(|| name.into());
        self
    }
    /// `line` is 1-based; 0 means the whole file.
    pub fn at(mut self, path: impl fmt::Display, line: usize) -> Self {
        self.0
            .context
            .location
            .get_or_insert_with(|| if line > 0 { format!("{path}:{line}") } else { path.to_string() });
        self
    }
    pub fn sql(mut self, sql: impl Into<String>) -> Self {
        self.0.context.sql.get_or_insert_with(|| sql.into());
        self
    }
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.context.code.get_or_insert_with(|| code.into());
        self
    }
    pub fn with_message(mut self, f: impl FnOnce(&str) -> String) -> Self {
        self.0.message = f(&self.0.message);
        self
    }

    // -- reading ----------------------------------------------------------------------------------------------------

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    pub fn context(&self) -> &Context {
        &self.0.context
    }
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The causes below the message, outermost first, without repeats.
    pub fn causes(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(e) = next {
            let text = e.to_string();
            if !self.0.message.contains(&text) && !out.iter().any(|o| o.contains(&text)) {
                out.push(text);
            }
            next = e.source();
        }
        out
    }

    /// The whole report as people read it: `error: …`, where, causes, SQL, hint. No colour, no trailing newline.
    pub fn report(&self) -> String {
        let c = &self.0.context;
        let mut out = format!("error: {}", self.0.message);
        let mut line = |label: &str, text: &str| out.push_str(&format!("\n  {label}: {text}"));
        if let Some(v) = &c.location {
            line("at", v);
        }
        if let Some(v) = &c.model {
            line("model", v);
        }
        if let Some(v) = c.connection.as_ref().filter(|v| !self.0.message.contains(&format!("`{v}`"))) {
            line("connection", v);
        }
        if let Some(v) = c.relation.as_ref().filter(|v| !self.0.message.contains(v.as_str())) {
            line("relation", v);
        }
        for cause in self.causes() {
            line("caused by", cause.trim_end());
        }
        if let Some(v) = c.code.as_ref() {
            line("server code", v);
        }
        if let Some(v) = &c.sql {
            let one = v.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = if one.chars().count() > 600 { one.chars().take(597).collect::<String>() + "..." } else { one };
            line("SQL sent", &shown);
        }
        if let Some(h) = &self.0.hint {
            out.push_str(&format!("\nhint: {h}"));
        }
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.0.kind.as_str(), self.report())
    }
}
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|c| c as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        match e {
            // Our own errors travel through Arrow's readers as external ones: take them out whole.
            A::ExternalError(b) => match b.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::internal(other.to_string()).cause(other),
            },
            A::CastError(m) | A::ParseError(m) | A::ArithmeticOverflow(m) => Error::new(ErrorKind::Type, m),
            A::DivideByZero => Error::new(ErrorKind::Sql, "division by zero"),
            A::IoError(m, e) => Error::from(e).with_message(|_| m),
            other => Error::internal(other.to_string()).cause(other),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let kind = match e.kind() {
            K::NotFound => ErrorKind::NotFound,
            K::PermissionDenied | K::ReadOnlyFilesystem => ErrorKind::Permission,
            K::StorageFull | K::QuotaExceeded | K::OutOfMemory => ErrorKind::Resource,
            K::TimedOut => ErrorKind::Timeout,
            K::ConnectionRefused | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
                ErrorKind::Connect
            }
            _ => ErrorKind::Io,
        };
        let mut out = Error::new(kind, e.to_string());
        if kind == ErrorKind::Resource {
            out = out.hint("free some disk space, then run `xdb retry`");
        }
        out.cause(e)
    }
}

/// Adds context to the error of a `Result` as it passes.
pub trait ResultExt<T> {
    fn on_connection(self, name: &str) -> Result<T>;
    fn on_relation(self, name: impl fmt::Display) -> Result<T>;
    fn with_sql(self, sql: &str) -> Result<T>;
    fn map_error(self, f: impl FnOnce(Error) -> Error) -> Result<T>;
}
impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn on_connection(self, name: &str) -> Result<T> {
        self.map_err(|e| e.into().connection(name))
    }
    fn on_relation(self, name: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.into().relation(name.to_string()))
    }
    fn with_sql(self, sql: &str) -> Result<T> {
        self.map_err(|e| e.into().sql(sql))
    }
    fn map_error(self, f: impl FnOnce(Error) -> Error) -> Result<T> {
        self.map_err(|e| f(e.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_message_cause_and_hint_in_the_documented_order() {
        let e = Error::new(ErrorKind::Connect, "cannot connect to `crm` (postgres at db.internal:5432)")
            .connection("crm")
            .cause("connection timed out after 10s")
            .hint("check `host` and `port` under `crm` in profiles.yml, then run `xdb profiles test crm`");
        assert_eq!(
            e.report(),
            "error: cannot connect to `crm` (postgres at db.internal:5432)\n  caused by: connection timed out after 10s\n\
             hint: check `host` and `port` under `crm` in profiles.yml, then run `xdb profiles test crm`"
        );
        assert!(e.is_retryable());
    }

    #[test]
    fn the_innermost_context_wins() {
        let e = Error::config("x").hint("inner").hint("outer").at("a.yml", 3).at("b.yml", 9);
        assert_eq!(e.hint_text(), Some("inner"));
        assert_eq!(e.context().location.as_deref(), Some("a.yml:3"));
    }

    #[test]
    fn our_error_survives_a_trip_through_arrow() {
        let through = arrow::error::ArrowError::ExternalError(Box::new(Error::new(ErrorKind::Auth, "no")));
        assert_eq!(Error::from(through).kind(), ErrorKind::Auth);
    }
}
