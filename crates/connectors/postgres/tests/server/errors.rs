//! What a person reads when it doesn't work.

use crate::common::open;
use serde_json::json;
use std::time::{Duration, Instant};
use xdb_core::ErrorKind;

fn profile() -> Option<serde_json::Map<String, serde_json::Value>> {
    xdb_testkit::services::profile("postgres")
}

#[tokio::test]
async fn wrong_password_user_and_database() {
    let Some(p) = profile() else { return };
    let address = format!("(postgres at 127.0.0.1:{})", p["port"]);
    let e = open(&p, &json!({"password": "hunter2"})).unwrap().check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Auth, "{e:?}");
    assert_eq!(e.message(), format!("cannot log in to `crm` {address} as user `xdb`"));
    assert!(e.hint_text().unwrap().contains("`password` under `crm` in profiles.yml"), "{e:?}");
    assert!(!e.report().contains("hunter2") && !e.is_retryable());
    let e = open(&p, &json!({"user": "nobody_here"})).unwrap().check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Auth, "{e:?}");
    let e = open(&p, &json!({"database": "nothing"})).unwrap().check().await.unwrap_err();
    assert_eq!(
        (e.kind(), e.message()),
        (ErrorKind::NotFound, format!("cannot connect to `crm` {address}").as_str()),
        "{e:?}"
    );
    assert!(e.report().contains("\"nothing\" does not exist"), "{e:?}");
    let e = open(&p, &json!({"role": "nobody_here"})).unwrap().check().await.unwrap_err();
    assert!(e.message().contains("nobody_here"), "{e:?}");
}

#[tokio::test]
async fn unreachable_hosts() {
    let Some(p) = profile() else { return };
    // A port that was free a moment ago refuses.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let e = open(&p, &json!({"port": port})).unwrap().check().await.unwrap_err();
    assert_eq!(
        (e.kind(), e.message()),
        (ErrorKind::Connect, format!("cannot connect to `crm` (postgres at 127.0.0.1:{port})").as_str())
    );
    assert!(e.is_retryable() && e.report().contains("refused"), "{e:?}");
    let e = open(&p, &json!({"host": "no-such-host.invalid"})).unwrap().check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "{e:?}");
    let e = open(&p, &json!({"host": "/nonexistent"})).unwrap().check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "{e:?}");
    // Takes the connection, and then says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let changes = json!({"port": silent.local_addr().unwrap().port(), "connect_timeout": "300ms"});
    let e = open(&p, &changes).unwrap().check().await.unwrap_err();
    assert!(e.report().contains("timed out after 300ms") && start.elapsed() < Duration::from_secs(5), "{e:?}");
}

#[tokio::test]
async fn tls_is_verified_where_asked() {
    let Some(p) = profile() else { return };
    let e = open(&p, &json!({"sslmode": "verify-full", "host": "localhost"})).unwrap().check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "a self-signed certificate is not the system's: {e:?}");
    assert!(e.hint_text().unwrap().contains("sslrootcert"), "{e:?}");
    let e = open(&p, &json!({"sslmode": "verify-ca", "sslrootcert": "/nonexistent.pem"}))
        .unwrap()
        .check()
        .await
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Connect, "{e:?}");
    for mode in ["allow", "prefer", "require"] {
        assert!(open(&p, &json!({"sslmode": mode})).unwrap().check().await.is_ok(), "{mode}");
    }
}
