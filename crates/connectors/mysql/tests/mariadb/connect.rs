//! Logging in, TLS, errors of connecting, check, list, describe.

use crate::support::*;
use std::time::{Duration, Instant};
use xdb_core::types::SOURCE_TYPE_KEY;
use xdb_core::*;

#[tokio::test]
async fn check_says_what_the_server_is() {
    let Some(db) = Db::new("check", "").await else { return };
    let i = db.c.check().await.unwrap();
    assert_eq!(
        (i.product.as_str(), i.database.as_deref(), i.read_only),
        ("MariaDB", Some(db.name.as_str()), Some(false))
    );
    assert!(i.version.starts_with("10.") || i.version.starts_with("11."), "{}", i.version);
    assert_eq!(i.tls, None);
    let reader = db.with(serde_json::json!({"user": "xdb_reader", "password": "reader-Pa55"}));
    assert_eq!(reader.check().await.unwrap().read_only, Some(true));
    db.done().await;
}

#[tokio::test]
async fn tls_in_every_mode() {
    let Some(db) = Db::new("tls", "CREATE TABLE t AS SELECT seq, REPEAT('x', 200) x FROM seq_1_to_5000").await else {
        return;
    };
    let dir = std::env::var("XDB_TEST_SERVICES").unwrap();
    let ca = format!("{dir}/mariadb/ca.pem");
    if !std::path::Path::new(&ca).exists() {
        return; // No openssl here: the server has no TLS.
    }
    for mode in ["preferred", "required"] {
        let c = db.with(serde_json::json!({"ssl_mode": mode}));
        assert_eq!(c.check().await.unwrap().tls.as_deref(), Some("TLSv1.3"), "{mode}");
        assert_eq!(scan(&*c, "t", |_| {}).await.unwrap().num_rows(), 5000);
    }
    // The server's certificate is for `localhost` and 127.0.0.1.
    for (mode, host) in [("verify_ca", "127.0.0.1"), ("verify_identity", "127.0.0.1"), ("verify_identity", "localhost")]
    {
        let c = db.with(serde_json::json!({"ssl_mode": mode, "ssl_ca": ca, "host": host}));
        assert!(c.check().await.unwrap().tls.is_some(), "{mode} {host}");
    }
    // Not signed by anybody this machine trusts.
    let c = db.with(serde_json::json!({"ssl_mode": "verify_ca"}));
    let e = c.check().await.unwrap_err();
    assert_eq!((e.kind(), e.is_retryable()), (ErrorKind::Connect, false), "{e:?}");
    db.done().await;
}

#[tokio::test]
async fn unix_socket() {
    let Some(db) = Db::new("socket", "").await else { return };
    let path = format!("{}/mariadb/s.sock", std::env::var("XDB_TEST_SERVICES").unwrap());
    let c = db.with(serde_json::json!({"socket": path, "ssl_mode": "preferred"}));
    assert_eq!(c.check().await.unwrap().tls, None);
    let e = db.with(serde_json::json!({"socket": "/nowhere/s.sock"})).check().await.unwrap_err();
    assert_eq!(e.message(), "cannot connect to `crm` (mysql at /nowhere/s.sock)");
    db.done().await;
}

#[tokio::test]
async fn errors_of_connecting_say_what_to_do_and_no_secret() {
    let Some(db) = Db::new("errors", "").await else { return };
    let e = db.with(serde_json::json!({"password": "hunter2-wrong"})).check().await.unwrap_err();
    assert_eq!((e.kind(), e.is_retryable()), (ErrorKind::Auth, false));
    assert!(e.report().contains("caused by: Access denied") && !e.report().contains("hunter2"), "{}", e.report());
    assert!(e.hint_text().unwrap().contains("xdb profiles test crm"), "{e:?}");

    let e = db.with(serde_json::json!({"database": "xdb_no_such_db"})).check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");

    // A port where nobody listens: bound once, then free again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let e = db.with(serde_json::json!({"port": port})).check().await.unwrap_err();
    assert_eq!(
        e.report(),
        format!(
            "error: cannot connect to `crm` (mysql at 127.0.0.1:{port})\n  caused by: connection refused\n\
             hint: check `host` and `port` under `crm` in profiles.yml, then run `xdb profiles test crm`"
        )
    );
    assert!(e.is_retryable());

    // A server that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let start = Instant::now();
    let e = db.with(serde_json::json!({"port": port, "connect_timeout": "300ms"})).check().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    db.done().await;
}

#[tokio::test]
async fn list_and_describe() {
    let Some(db) = Db::new(
        "describe",
        "CREATE TABLE orders (a INT UNSIGNED NOT NULL, b VARCHAR(20) COLLATE utf8mb4_bin COMMENT 'what', c DATE NOT NULL, \
         j JSON, u UUID, e ENUM('x','y'), d DECIMAL(40,3), z DATETIME(3), g POINT, PRIMARY KEY (c, a)); \
         INSERT INTO orders (a, c) VALUES (1, '2024-01-01'); \
         CREATE VIEW recent AS SELECT a, c FROM orders; CREATE SEQUENCE s; CREATE TABLE _xdb_new_1_x (a INT)",
    )
    .await
    else {
        return;
    };
    let all = db.c.list(&RelationPattern { schema: Some(db.name.clone()), name: None }).await.unwrap();
    let names: Vec<_> = all.iter().map(|r| (r.relation.name.as_str(), r.kind)).collect();
    assert_eq!(names, [("orders", RelationKind::Table), ("recent", RelationKind::View)]);
    let some =
        db.c.list(&RelationPattern { schema: Some("xdb_t_desc*".into()), name: Some("o*".into()) }).await.unwrap();
    assert_eq!(some.len(), 1);

    let t = db.c.describe(&Relation::bare("orders")).await.unwrap();
    assert_eq!(t.relation, Relation::new(None, Some(&db.name), "orders"));
    assert_eq!(t.primary_key, ["c", "a"]);
    let types: Vec<String> = t.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(
        types,
        ["UInt32", "Utf8", "Date32", "Utf8", "Utf8", "Utf8", "Decimal256(40, 3)", "Timestamp(µs)", "Binary"]
    );
    assert_eq!(t.columns[1].collation.as_deref(), Some("utf8mb4_bin"));
    assert_eq!(t.columns[1].comment.as_deref(), Some("what"));
    assert_eq!(LogicalType::of(t.schema.field(3)), Some(LogicalType::Json));
    assert_eq!(LogicalType::of(t.schema.field(4)), Some(LogicalType::Uuid));
    assert!(!t.schema.field(0).is_nullable() && t.schema.field(2).is_nullable(), "zero dates may become NULL");
    assert_eq!(t.schema.field(5).metadata()[SOURCE_TYPE_KEY], "enum('x','y')");

    let e = db.c.describe(&Relation::bare("ordres")).await.unwrap_err();
    assert_eq!((e.kind(), e.hint_text()), (ErrorKind::NotFound, Some("did you mean `orders`?")));
    let e = db.c.describe(&Relation::new(None, Some("xdb_t_descrieb"), "orders")).await.unwrap_err();
    assert!(e.hint_text().unwrap().contains("did you mean `xdb_t_describe`?"), "{e:?}");
    db.done().await;
}
