//! Loading: replace, append and merge; what a replacement keeps; what a failure leaves.

use crate::common::{Db, batch, column, ints, load, with_schema};
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::json;
use sqlx::Executor;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xdb_core::{ErrorKind, LoadOptions, LogicalType, Relation, TypePolicy, WriteMode};

fn rows(ids: &[i64]) -> RecordBatch {
    let text: ArrayRef = Arc::new(ids.iter().map(|i| Some(format!("row {i}"))).collect::<StringArray>());
    batch(vec![("id", Arc::new(Int64Array::from(ids.to_vec()))), ("t", text)])
}

fn merge(key: &[&str]) -> WriteMode {
    WriteMode::Merge { unique_key: key.iter().map(|k| k.to_string()).collect() }
}

#[tokio::test]
async fn replace_append_merge() {
    let Some(db) = Db::new("modes").await else { return };
    let r = db.load("t", WriteMode::Replace, &[rows(&[1, 2]), rows(&[3])]).await.unwrap();
    assert_eq!((r.rows, r.notes.len()), (3, 0));
    db.load("t", WriteMode::Replace, &[rows(&[4, 5])]).await.unwrap();
    assert_eq!(ints(&db.read("t").await, "id"), [4, 5]);
    assert_eq!(db.load("t", WriteMode::Append, &[rows(&[5, 6])]).await.unwrap().rows, 2);
    assert_eq!(ints(&db.read("t").await, "id"), [4, 5, 5, 6]);
    let new = batch(vec![
        ("t", Arc::new(StringArray::from(vec!["new", "seven", "null key", "null key"]))),
        ("id", Arc::new(Int64Array::from(vec![Some(5), Some(7), None, None]))),
    ]);
    // Both rows with key 5 give way to the one; NULL keys match nothing, not even each other.
    assert_eq!(db.load("t", merge(&["id"]), &[new]).await.unwrap().rows, 4);
    let b = db.read("t").await;
    let mut got: Vec<_> = column(&b, "id").into_iter().zip(column(&b, "t")).collect();
    got.sort();
    let want =
        [("4", "row 4"), ("5", "new"), ("6", "row 6"), ("7", "seven"), ("NULL", "null key"), ("NULL", "null key")];
    assert_eq!(got, want.map(|(a, b)| (a.to_string(), b.to_string())));
    let e = db.load("t", merge(&["id"]), &[rows(&[8, 9, 8])]).await.unwrap_err();
    assert!(e.message().contains("2 rows of the model have one unique_key (id): 8"), "{e:?}");
    assert_eq!(db.value("select count(*) from t").await, "6");
    // An empty replacement is an empty table, not no table.
    db.load("t", WriteMode::Replace, &[rows(&[])]).await.unwrap();
    assert_eq!(db.read("t").await.num_rows(), 0);
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn several_connections_lose_and_double_nothing() {
    let Some(db) = Db::new("parallel").await else { return };
    let batches: Vec<_> = (0..60).map(|i| rows(&(i * 1000..(i + 1) * 1000).collect::<Vec<i64>>())).collect();
    let options = LoadOptions { parallelism: 4, ..LoadOptions::default() };
    let stats = options.stats.clone();
    let r = load(db.c.as_ref(), &db.rel("t"), &batches, options).await.unwrap();
    assert_eq!((r.rows, stats.rows()), (60_000, 60_000));
    assert_eq!(ints(&db.read("t").await, "id"), (0..60_000).collect::<Vec<i64>>());
    assert_eq!(db.describe("t").await.row_estimate, Some(60_000));
    db.done().await;
}

#[tokio::test]
async fn text_and_names_of_every_sort() {
    let Some(db) = Db::new("text").await else { return };
    let long = "n".repeat(63);
    let values = vec![
        Some(""),
        Some(" "),
        None,
        Some("NULL"),
        Some("\\N"),
        Some("O'Brien \"x\" $$ ; --"),
        Some("tab\tline\r\nend\\"),
        Some("🦀👩‍👩‍👧 e\u{301}"),
        Some("\u{202e}rtl\u{feff}"),
        Some("\u{1}\u{7f}"),
        Some("{a,b}"),
        Some("ÅÄÖ ﷽ 漢字"),
    ];
    let a: ArrayRef = Arc::new(StringArray::from(values.clone()));
    let b = batch(vec![("select", a.clone()), ("Ünï \"q\" 🦀", a.clone()), (&long, a.clone()), ("a.b", a)]);
    let name = "Order \"Items\" 🦀; drop";
    db.load(name, WriteMode::Replace, std::slice::from_ref(&b)).await.unwrap();
    let got = db.read(name).await;
    assert_eq!(got.columns(), b.columns());
    assert_eq!(got.schema().field(2).name(), &long);
    db.load(name, merge(&["Ünï \"q\" 🦀"]), std::slice::from_ref(&b)).await.unwrap();
    // NULL is never the same key.
    assert_eq!(db.read(name).await.num_rows(), values.len() + 1);
    let too_long = batch(vec![(&"n".repeat(64), b.column(0).clone())]);
    let e = db.load("t", WriteMode::Replace, &[too_long]).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Config && e.message().contains("64 bytes"), "{e:?}");
    let e = db.load(&"t".repeat(64), WriteMode::Replace, std::slice::from_ref(&b)).await.unwrap_err();
    assert!(e.message().contains("64 bytes"), "{e:?}");
    // A target name of full length still gets a staging table of its own.
    db.load(&"t".repeat(63), WriteMode::Replace, &[b]).await.unwrap();
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_old_table_stays() {
    let Some(db) = Db::new("inexactload").await else { return };
    db.load("t", WriteMode::Replace, &[rows(&[1])]).await.unwrap();
    let nul: ArrayRef = Arc::new(StringArray::from(vec!["ok", "a\0b"]));
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001]));
    for (a, shown) in [(nul, "NUL"), (nanos.clone(), "1001")] {
        let e = db.load("t", WriteMode::Replace, &[batch(vec![("when", a)])]).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Type && e.message().contains("`when`") && e.message().contains(shown), "{e:?}");
    }
    assert_eq!(ints(&db.read("t").await, "id"), [1]);
    let lossy = LoadOptions { types: TypePolicy::Lossy, ..LoadOptions::default() };
    load(db.c.as_ref(), &db.rel("t2"), &[batch(vec![("when", nanos)])], lossy).await.unwrap();
    assert_eq!(column(&db.read("t2").await, "when")[1], "1970-01-01T00:00:00.000001");
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn appended_values_must_fit_the_targets_columns() {
    let Some(db) = Db::new("casts").await else { return };
    db.sql("create table t (id int, n numeric(6,2), v varchar(3), u uuid, j jsonb, r real)").await;
    let make = |id: i64, n: f64, v: &str, r: f64| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(vec![id])) as ArrayRef),
            ("n", Arc::new(Float64Array::from(vec![n]))),
            ("v", Arc::new(StringArray::from(vec![v]))),
            ("u", Arc::new(StringArray::from(vec!["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]))),
            ("j", Arc::new(StringArray::from(vec!["{\"b\":1, \"a\":2}"]))),
            ("r", Arc::new(Float64Array::from(vec![r]))),
        ])
    };
    db.load("t", WriteMode::Append, &[make(1, 1.25, "abc", 0.5)]).await.unwrap();
    for (b, name) in
        [(make(2, 1.255, "abc", 0.5), "`n`"), (make(2, 1.25, "abcd", 0.5), "`v`"), (make(2, 1.25, "abc", 0.1), "`r`")]
    {
        let e = db.load("t", WriteMode::Append, &[b]).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Type && e.message().contains(name), "{e:?}");
    }
    let e = db.load("t", WriteMode::Append, &[make(1 << 40, 1.25, "abc", 0.5)]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Type, "{e:?}");
    assert_eq!(
        db.value("select string_agg(t::text, ' ') from t").await,
        "(1,1.25,abc,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,\"{\"\"a\"\": 2, \"\"b\"\": 1}\",0.5)"
    );
    let more = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("idd", Arc::new(Int64Array::from(vec![1]))),
    ]);
    let e = db.load("t", WriteMode::Append, &[more]).await.unwrap_err();
    assert!(
        e.kind() == ErrorKind::NotFound && e.message().contains("`idd`") && e.hint_text().unwrap().contains("`id`"),
        "{e:?}"
    );
    let e = db.load("nothing", WriteMode::Append, &[rows(&[1])]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    let e = db.load("t", merge(&["idx"]), &[make(1, 1.0, "a", 1.0)]).await.unwrap_err();
    assert!(e.message().contains("`idx`"), "{e:?}");
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn a_replacement_keeps_what_hung_on_the_table() {
    let Some(db) = Db::new("keep").await else { return };
    db.sql(
        "create table t (id bigint primary key deferrable, t text not null default 'x', gone int, check (id < 1000));
         create index \"by t\" on t using btree (lower(t) desc, id) where id > 0; comment on index \"by t\" is 'an index';
         create unique index t_gone on t (gone); create unique index u on t (t);
         comment on table t is 'The t''s'; comment on column t.t is 'text';
         grant select on t to xdb_reader; grant update (t), references (id) on t to public;
         create view v1 as select id, upper(t) as u from t; create view v2 with (security_barrier = true) as select * from v1 where id > 1;
         create materialized view m as select count(*) as n from v2; create unique index m_n on m (n);
         grant select on v2 to xdb_reader; comment on view v1 is 'first';
         create function touch() returns trigger language plpgsql as 'begin return new; end';
         create trigger tr before insert on t for each row execute function touch();
         alter table t enable row level security; create policy pol on t for select to xdb_reader using (id > 0);
         create statistics st on id, t from t",
    )
    .await;
    let r = db.load("t", WriteMode::Replace, &[rows(&[1, 2, 3])]).await.unwrap();
    let notes = r.notes.join("\n");
    for part in ["index \"t_gone\" was dropped", "v1\" was made again", "v2\" was made again", "m\" was made again"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let indexes = "select string_agg(indexname || ': ' || indexdef, E'\\n' order by indexname) from pg_indexes where schemaname = current_schema and tablename = 't'";
    assert_eq!(
        db.value(indexes).await.replace(&format!("{}.", db.schema), ""),
        "by t: CREATE INDEX \"by t\" ON t USING btree (lower(t) DESC, id) WHERE (id > 0)\n\
         t_pkey: CREATE UNIQUE INDEX t_pkey ON t USING btree (id)\nu: CREATE UNIQUE INDEX u ON t USING btree (t)"
    );
    let constraints = "select string_agg(pg_get_constraintdef(oid), '; ' order by contype) from pg_constraint where conrelid = 't'::regclass and contype <> 'n'";
    assert_eq!(db.value(constraints).await, "CHECK ((id < 1000)); PRIMARY KEY (id) DEFERRABLE");
    assert_eq!(db.value("select obj_description('t'::regclass) || ', ' || col_description('t'::regclass, 2) || ', ' || obj_description('\"by t\"'::regclass) || ', ' || obj_description('v1'::regclass)").await, "The t's, text, an index, first");
    let may = |what: &str| format!("select has_table_privilege('xdb_reader', '{what}', 'select')");
    assert_eq!(db.value(&may("t")).await, "true");
    assert_eq!(db.value("select has_column_privilege('xdb_reader', 't', 't', 'update') and not has_column_privilege('xdb_reader', 't', 'id', 'update')").await, "true");
    assert_eq!(db.value("select string_agg(u, ',' order by id) from v2").await, "ROW 2,ROW 3");
    assert_eq!(db.value("select n from m").await, "2");
    assert_eq!(db.value("select reloptions from pg_class where oid = 'v2'::regclass").await, "{security_barrier=true}");
    assert_eq!(db.value("select count(*) from pg_trigger where tgrelid = 't'::regclass and tgname = 'tr'").await, "1");
    assert_eq!(db.value("select relrowsecurity and exists (select from pg_policy where polrelid = c.oid) from pg_class c where oid = 't'::regclass").await, "true");
    assert_eq!(
        db.value("select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 't'::regclass").await,
        "'x'::text"
    );
    // Once more, from what it made itself.
    db.load("t", WriteMode::Replace, &[rows(&[5, 6])]).await.unwrap();
    assert_eq!(db.value(constraints).await, "CHECK ((id < 1000)); PRIMARY KEY (id) DEFERRABLE");
    // New rows that break a constraint: the old ones stay.
    for (bad, what) in [
        (rows(&[7, 7]), "t_pkey"),
        (rows(&[5000]), "constraint"),
        (
            batch(vec![
                ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
                ("t", Arc::new(StringArray::new_null(1))),
            ]),
            "NOT NULL",
        ),
    ] {
        let e = db.load("t", WriteMode::Replace, &[bad]).await.unwrap_err();
        assert!(e.message().contains("violate") && e.message().contains(what), "{what}: {e:?}");
    }
    // A view that needs a column the model has lost.
    let lost = batch(vec![("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let e = db.load("t", WriteMode::Replace, &[lost]).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Conflict && e.message().contains("v1"), "{e:?}");
    assert_eq!(db.value("select string_agg(u, ',' order by id) from v2").await, "ROW 5,ROW 6");
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn what_cannot_be_replaced_safely_is_not() {
    let Some(db) = Db::new("refuse").await else { return };
    db.sql(
        "create table p (id bigint, t text) partition by list (id); create table p1 partition of p default;
         create table parent (id bigint primary key, t text); create table child (id bigint references parent); create sequence s;
         insert into parent values (1, 'x')",
    )
    .await;
    for name in ["p", "p1", "s"] {
        let e = db.load(name, WriteMode::Replace, &[rows(&[1])]).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{name}: {e:?}");
        assert!(e.hint_text().is_some());
    }
    let e = db.load("parent", WriteMode::Replace, &[rows(&[1])]).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Conflict && e.report().contains("child"), "{e:?}");
    assert_eq!(db.value("select t from parent").await, "x");
    // A partitioned table can still be added to.
    assert_eq!(db.load("p", WriteMode::Append, &[rows(&[1, 2])]).await.unwrap().rows, 2);
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn a_locked_target_is_waited_for_and_then_named() {
    let Some(db) = Db::with("locked", json!({"lock_timeout": "300ms"})).await else { return };
    db.load("t", WriteMode::Replace, &[rows(&[1])]).await.unwrap();
    let mut holder = db.session().await;
    holder.execute("begin; lock table t in access share mode").await.unwrap();
    for mode in [WriteMode::Replace, merge(&["id"])] {
        if mode != WriteMode::Replace {
            holder.execute("lock table t in share mode").await.unwrap();
        }
        let start = Instant::now();
        let e = db.load("t", mode, &[rows(&[2])]).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
        assert!(e.message().contains("locked by another session") && e.report().contains("xdb test"), "{e:?}");
        assert!(e.hint_text().unwrap().contains("lock_timeout") && start.elapsed() < Duration::from_secs(5));
    }
    let e = db.c.execute().unwrap().drop_relation(&db.rel("t")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict, "{e:?}");
    holder.execute("rollback").await.unwrap();
    assert_eq!(ints(&db.read("t").await, "id"), [1]);
    db.no_staging().await;
    db.load("t", WriteMode::Replace, &[rows(&[2])]).await.unwrap();
    db.done().await;
}

#[tokio::test]
async fn abort_and_drop_leave_nothing() {
    let Some(db) = Db::new("abort").await else { return };
    let batches: Vec<_> = (0..20).map(|i| rows(&(i * 1000..(i + 1) * 1000).collect::<Vec<i64>>())).collect();
    for abort in [true, false] {
        let options = LoadOptions { parallelism: 2, ..LoadOptions::default() };
        let mut s = db.c.load().unwrap().begin(&db.rel("t"), batches[0].schema(), &options).await.unwrap();
        assert_eq!(db.value("select count(*) from pg_class where relname like '\\_xdb\\_new%' and relnamespace = current_schema::regnamespace").await, "1");
        for b in &batches {
            s.write(b.clone()).await.unwrap();
        }
        if abort {
            s.abort().await.unwrap();
        } else {
            drop(s);
        }
        db.no_staging().await;
    }
    assert_eq!(db.value("select to_regclass('t')").await, "NULL");
    // The staging table disappears under the session: an error, and the target as it was.
    db.load("t", WriteMode::Replace, &[rows(&[1])]).await.unwrap();
    let s = db.c.load().unwrap().begin(&db.rel("t"), batches[0].schema(), &LoadOptions::default()).await.unwrap();
    db.sql("do $$ declare n text; begin select relname into n from pg_class where relname like '\\_xdb\\_new%' and relnamespace = current_schema::regnamespace; execute format('drop table %I', n); end $$").await;
    let e = s.commit().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    assert_eq!(ints(&db.read("t").await, "id"), [1]);
    // The server ends the load's connection.
    let mut s = db.c.load().unwrap().begin(&db.rel("t"), batches[0].schema(), &LoadOptions::default()).await.unwrap();
    s.write(batches[0].clone()).await.unwrap();
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'COPY%' and query like '%' || current_schema || '%' and pid <> pg_backend_pid()";
    for _ in 0..100 {
        if db.value(ended).await == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut failed = None;
    for b in &batches {
        if let Err(e) = s.write(b.clone()).await {
            failed = Some(e);
            break;
        }
    }
    let e = match failed {
        Some(e) => {
            drop(s);
            e
        }
        None => s.commit().await.unwrap_err(),
    };
    assert_eq!(e.kind(), ErrorKind::Connect, "{e:?}");
    assert_eq!(ints(&db.read("t").await, "id"), [1]);
    db.no_staging().await;
    db.done().await;
}

#[tokio::test]
async fn readers_see_old_or_new_never_neither() {
    let Some(db) = Db::new("atomic").await else { return };
    db.load("t", WriteMode::Replace, &[rows(&[0])]).await.unwrap();
    let mut reader = db.session().await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = stop.clone();
    let watch = tokio::spawn(async move {
        let mut seen = 0;
        while !flag.load(std::sync::atomic::Ordering::Relaxed) {
            let n: i64 =
                sqlx::query_scalar("select count(*) from t").persistent(false).fetch_one(&mut reader).await.unwrap();
            assert_eq!(n, 1);
            seen += 1;
        }
        seen
    });
    for i in 1..20 {
        db.load("t", WriteMode::Replace, &[rows(&[i])]).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(watch.await.unwrap() > 0);
    db.done().await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_before_any_row() {
    let Some(db) = Db::new("rights").await else { return };
    db.load("t", WriteMode::Replace, &[rows(&[1])]).await.unwrap();
    db.sql(&format!("grant usage on schema {} to xdb_reader", db.schema)).await;
    let reader = db.other(json!({"user": "xdb_reader"}));
    for name in ["t", "other"] {
        let e = reader
            .load()
            .unwrap()
            .begin(&db.rel(name), rows(&[1]).schema(), &LoadOptions::default())
            .await
            .err()
            .unwrap();
        assert_eq!(e.kind(), ErrorKind::Permission, "{e:?}");
        assert!(e.hint_text().is_some() && e.context().connection.as_deref() == Some("crm"), "{e:?}");
    }
    let e = reader
        .load()
        .unwrap()
        .begin(&Relation::new(None, Some("brand_new"), "t"), rows(&[1]).schema(), &LoadOptions::default())
        .await
        .err()
        .unwrap();
    assert_eq!(e.kind(), ErrorKind::Permission, "{e:?}");
    // A read-only session, as on a standby.
    let sql = format!("begin read only; create table {}.x (id int)", db.schema);
    let e = db.c.execute().unwrap().run(&sql).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Permission && e.hint_text().unwrap().contains("primary"), "{e:?}");
    db.done().await;
}

#[tokio::test]
async fn a_schema_is_made_where_it_is_missing() {
    let Some(db) = Db::new("newschema").await else { return };
    let schema = format!("{}_new", db.schema);
    let target = Relation::new(None, Some(&schema), "t");
    load(db.c.as_ref(), &target, &[rows(&[1])], LoadOptions::default()).await.unwrap();
    assert_eq!(db.value(&format!("select count(*) from {schema}.t")).await, "1");
    db.sql(&format!("drop schema {schema} cascade")).await;
    db.done().await;
}

#[tokio::test]
async fn other_arrow_types_land_as_documented() {
    let Some(db) = Db::new("arrowtypes").await else { return };
    let marked = Arc::new(Schema::new(vec![
        LogicalType::Uuid.mark(Field::new("u", DataType::Utf8, true)),
        LogicalType::Json.mark(Field::new("j", DataType::Utf8, true)),
        Field::new("big", DataType::UInt64, true),
        Field::new("small", DataType::Int32, true),
    ]));
    let b = batch(vec![
        ("u", Arc::new(StringArray::from(vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"])) as ArrayRef),
        ("j", Arc::new(StringArray::from(vec!["{\"b\": 1,  \"b\":2}"]))),
        ("big", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("small", Arc::new(Int32Array::from(vec![None]))),
    ]);
    db.load("t", WriteMode::Replace, &[with_schema(&b, marked)]).await.unwrap();
    let types = "select string_agg(format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute where attrelid = 't'::regclass and attnum > 0";
    assert_eq!(db.value(types).await, "uuid, json, numeric(20,0), integer");
    assert_eq!(db.value("select j || ' ' || big from t").await, "{\"b\": 1,  \"b\":2} 18446744073709551615");
    db.done().await;
}
