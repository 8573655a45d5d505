//! Plans over sources that note what they are asked, and filter as they are asked.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{RemoteScanExec, configure, physical_rules, register};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xdb_core::engine::SourceRead;
use xdb_core::*;

static FAKE: ConnectorDef = ConnectorDef {
    name: "fake",
    aliases: &[],
    title: "Fake",
    about: "",
    params: &[],
    capabilities: Capabilities {
        read: true,
        filter: true,
        limit: false,
        parallel_read: true,
        consistent_splits: true,
        load: false,
        append: false,
        merge: false,
        atomic_replace: false,
        execute: false,
        parameters: false,
        views: false,
        schemas: false,
        tls: false,
        unix_socket: false,
        cancel: true,
    },
    source_types: &[],
    target_type: |_| Err(Error::unsupported("write")),
    validate: |_| Err(Error::unsupported("configure")),
};

#[derive(Clone, Debug)]
struct Fake {
    rows: RecordBatch,
    splits: usize,
    /// Whether it says how many splits to expect.
    lazy: bool,
    /// Before each batch.
    delay: Duration,
    plans: Arc<Mutex<Vec<ScanRequest>>>,
}

#[async_trait]
impl Connector for Fake {
    fn def(&self) -> &'static ConnectorDef {
        &FAKE
    }
    fn context_id(&self) -> ContextId {
        ContextId("fake".into())
    }
    fn resolve(&self, rel: &Relation) -> Relation {
        rel.clone()
    }
    fn relation_sql(&self, rel: &Relation) -> String {
        rel.to_string()
    }
    fn budget(&self) -> usize {
        8
    }
    async fn check(&self) -> Result<ServerInfo> {
        Err(Error::unsupported("check"))
    }
    async fn list(&self, _: &RelationPattern) -> Result<Vec<RelationInfo>> {
        Ok(vec![])
    }
    async fn describe(&self, _: &Relation) -> Result<TableInfo> {
        Err(Error::unsupported("describe"))
    }
    fn extract(&self) -> Option<&dyn Extract> {
        Some(self)
    }
}

fn passes(p: &Predicate, rows: &RecordBatch, i: usize) -> Option<bool> {
    let value = |c: &str| -> Option<Literal> {
        let a = rows.column_by_name(c)?;
        if a.is_null(i) {
            return None;
        }
        Some(match a.data_type() {
            DataType::Int64 => Literal::Int(a.as_primitive::<Int64Type>().value(i)),
            DataType::Int32 => Literal::Int(a.as_primitive::<Int32Type>().value(i).into()),
            _ => Literal::Utf8(a.as_string::<i32>().value(i).into()),
        })
    };
    let order = |a: &Literal, b: &Literal| match (a, b) {
        (Literal::Int(a), Literal::Int(b)) => a.cmp(b),
        (Literal::Utf8(a), Literal::Utf8(b)) => a.cmp(b),
        other => panic!("{other:?}"),
    };
    match p {
        Predicate::And(ps) => Some(ps.iter().all(|p| passes(p, rows, i) == Some(true))),
        Predicate::Compare { column, op, value: want } => {
            let o = order(&value(column)?, want);
            Some(match op {
                CompareOp::Eq => o.is_eq(),
                CompareOp::NotEq => o.is_ne(),
                CompareOp::Lt => o.is_lt(),
                CompareOp::LtEq => o.is_le(),
                CompareOp::Gt => o.is_gt(),
                CompareOp::GtEq => o.is_ge(),
            })
        }
        Predicate::In { column, values, negated: false } => Some(values.contains(&value(column)?)),
        other => panic!("{other:?}"),
    }
}

#[async_trait]
impl Extract for Fake {
    fn pushdown(&self, _: &TableInfo, predicates: &[Predicate]) -> Vec<Pushdown> {
        let answer = |p: &Predicate| match p {
            Predicate::Compare { .. } | Predicate::And(_) | Predicate::In { negated: false, .. } => Pushdown::Exact,
            _ => Pushdown::no("not here"),
        };
        predicates.iter().map(answer).collect()
    }
    fn expected_splits(&self, r: &ScanRequest) -> Option<usize> {
        self.lazy.then_some(self.splits.min(r.parallelism))
    }
    async fn plan(&self, r: &ScanRequest) -> Result<ScanPlan> {
        self.plans.lock().unwrap().push(r.clone());
        // A filtered read has one split fewer, to have partitions without any.
        let n = self.splits.min(r.parallelism);
        let n = if r.predicates.is_empty() { n } else { n.saturating_sub(1).max(1) };
        let split = |i| Split {
            payload: serde_json::json!({"i": i, "n": n, "projection": r.projection, "predicates": r.predicates}),
            sql: format!("{} {}/{n}: {:?}", r.table.relation.name, i + 1, r.predicates),
            row_estimate: None,
        };
        Ok(ScanPlan { schema: r.schema(), splits: (0..n).map(split).collect(), guard: None })
    }
    async fn read(&self, s: &Split, ctx: &ReadContext) -> Result<ArrowStream> {
        let get = |k: &str| s.payload[k].clone();
        let (i, n) = (get("i").as_u64().unwrap() as usize, get("n").as_u64().unwrap() as usize);
        let predicates: Vec<Predicate> = serde_json::from_value(get("predicates")).unwrap();
        let projection: Option<Vec<usize>> = serde_json::from_value(get("projection")).unwrap();
        let keep: BooleanArray = (0..self.rows.num_rows())
            .map(|r| Some(r % n == i && predicates.iter().all(|p| passes(p, &self.rows, r) == Some(true))))
            .collect();
        let rows = arrow::compute::filter_record_batch(&self.rows, &keep).unwrap();
        let rows = match projection {
            Some(p) => rows.project(&p).unwrap(),
            None => rows,
        };
        ctx.stats.add_rows(rows.num_rows() as u64);
        let (delay, schema) = (self.delay, rows.schema());
        let s = futures::stream::once(async move {
            tokio::time::sleep(delay).await;
            Ok(rows)
        });
        Ok(ArrowStream::new(schema, s))
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn info(name: &str, fields: SchemaRef, rows: usize) -> TableInfo {
    let column = |f: &Arc<Field>| ColumnInfo {
        name: f.name().clone(),
        source_type: f.data_type().to_string(),
        nullable: true,
        collation: None,
        binary_equality: true,
        comment: None,
    };
    TableInfo {
        relation: Relation::bare(name),
        kind: RelationKind::Table,
        columns: fields.fields().iter().map(column).collect(),
        schema: fields,
        primary_key: vec![],
        row_estimate: Some(rows as u64),
        bytes_estimate: None,
    }
}

/// Sources `a.main.<table>`, …
struct World {
    tables: Vec<(&'static str, Fake)>,
    pushdown: PushdownMode,
    threads: usize,
    spare: Arc<tokio::sync::Semaphore>,
}

impl World {
    fn new(tables: Vec<(&'static str, RecordBatch)>) -> Self {
        let fake =
            |rows: RecordBatch| Fake { rows, splits: 2, lazy: true, delay: Duration::ZERO, plans: Arc::default() };
        Self {
            tables: tables.into_iter().map(|(n, b)| (n, fake(b))).collect(),
            pushdown: PushdownMode::Safe,
            threads: 2,
            spare: Arc::new(tokio::sync::Semaphore::new(8)),
        }
    }
    fn inputs(&self) -> Vec<TableInput> {
        let input = |(name, f): &(&'static str, Fake)| TableInput {
            connection: "s".into(),
            connector: Arc::new(f.clone()),
            table: Arc::new(info(name, f.rows.schema(), f.rows.num_rows())),
            stats: Arc::default(),
            spare: self.spare.clone(),
            parallelism: 2,
            types: TypePolicy::Exact,
            pushdown: self.pushdown,
        };
        self.tables.iter().map(input).collect()
    }
    fn session(&self) -> SessionContext {
        let mut config = SessionConfig::new().with_target_partitions(self.threads);
        let o = config.options_mut();
        o.sql_parser.map_string_types_to_utf8view = false;
        configure(o);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rules(physical_rules())
            .build();
        let ctx = SessionContext::new_with_state(state);
        self.inputs().into_iter().for_each(|i| register(&ctx, i).unwrap());
        ctx
    }
    /// The sorted rows, and what each scan did.
    async fn run(&self, sql: &str) -> (String, Vec<SourceRead>) {
        tokio::time::timeout(Duration::from_secs(20), self.run_now(sql)).await.unwrap()
    }
    async fn run_now(&self, sql: &str) -> (String, Vec<SourceRead>) {
        let mut sql = sql.to_string();
        for (name, _) in &self.tables {
            sql = sql.replace(&format!("@{name}"), &format!("s.main.{name}"));
        }
        let ctx = self.session();
        let state = ctx.state();
        let plan = state.create_physical_plan(&state.create_logical_plan(&sql).await.unwrap()).await.unwrap();
        let rows = datafusion::physical_plan::collect(plan.clone(), ctx.task_ctx()).await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        let mut lines: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
        lines.sort_unstable();
        let mut reads = vec![];
        let mut todo: Vec<Arc<dyn ExecutionPlan>> = vec![plan];
        while let Some(n) = todo.pop() {
            if let Some(s) = n.downcast_ref::<RemoteScanExec>() {
                reads.push(s.source_read(true).await.unwrap());
            }
            todo.extend(n.children().into_iter().cloned());
        }
        (lines.join("\n"), reads)
    }
    /// The same rows as without pushdown; rows read of each relation.
    async fn check(&self, sql: &str) -> Vec<SourceRead> {
        let plain = World {
            tables: self.tables.clone(),
            pushdown: PushdownMode::Off,
            threads: self.threads,
            spare: self.spare.clone(),
        };
        let (want, _) = plain.run(sql).await;
        let (got, reads) = self.run(sql).await;
        assert_eq!(got, want, "{sql}");
        reads
    }
}

fn rows_of(reads: &[SourceRead], relation: &str) -> u64 {
    reads.iter().filter(|r| r.relation == relation).filter_map(|r| r.actual).map(|a| a.rows).sum()
}

fn ints(v: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(v.into_iter().collect::<Int64Array>())
}

/// `big`: 10,000 rows, ids from 0. `small`: ten rows with keys 0, 700, 1400, …, one of them NULL.
fn world() -> World {
    let big = batch(vec![
        ("id", ints(0..10_000)),
        ("grp", Arc::new((0..10_000).map(|i| i % 100).collect::<Int32Array>())),
        ("name", Arc::new((0..10_000).map(|i| Some(format!("n{i}"))).collect::<StringArray>())),
    ]);
    let key: Int64Array = (0..10).map(|i| (i != 3).then_some(i * 700)).collect();
    let small = batch(vec![
        ("id", ints(0..10)),
        ("big_id", Arc::new(key)),
        ("grp", ints((0..10).map(|i| i % 3))),
        ("name", Arc::new((0..10).map(|i| Some(format!("n{}", i * 5))).collect::<StringArray>())),
    ]);
    let narrow = batch(vec![
        ("n", ints(0..40)),
        ("big_id", Arc::new((0..40).map(|i| (i != 7).then_some(i * 130)).collect::<Int32Array>())),
    ]);
    World::new(vec![("big", big), ("small", small), ("narrow", narrow)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_side_filters_the_large_one() {
    for lazy in [true, false] {
        for threads in [1, 2, 5] {
            let mut w = world();
            w.threads = threads;
            w.tables.iter_mut().for_each(|(_, f)| f.lazy = lazy);
            let reads = w.check("select b.name, s.id from @big b join @small s on b.id = s.big_id").await;
            assert_eq!(rows_of(&reads, "big"), 9, "{reads:#?}");
            let big = reads.iter().find(|r| r.relation == "big").unwrap();
            assert_eq!(big.dynamic[0].outcome.as_deref(), Some("9 values"));
            assert!(big.dynamic[0].sent && big.sql[0].contains("In {"), "{big:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_join_kind_keeps_its_answer() {
    let w = world();
    for (sql, most) in [
        ("select s.id, b.grp from @small s left join @big b on b.id = s.big_id", 9),
        ("select s.id from @small s where s.big_id in (select id from @big)", 9),
        ("select s.id from @small s where not exists (select 1 from @big b where b.id = s.big_id)", 9),
        ("select b.id from @big b where b.id in (select big_id from @small)", 9),
        ("select s.id, b.name from @small s join @big b on s.name = b.name and s.big_id >= b.id", 10),
        // Widened to Int64 for the comparison.
        ("select s.id, count(*) from @small s join @big b on s.grp = b.grp group by s.id", 300),
        ("select b.id from @big b join @narrow s on b.id = s.big_id join @narrow t on t.n = s.n where t.n < 9", 9),
        // Two keys, each by itself.
        ("select s.id, b.id from @small s join @big b on s.grp = b.grp and s.big_id = b.id", 9),
        ("select s.id, b.n from @small s join (select id, count(*) n from @big group by id) b on s.big_id = b.id", 9),
        (
            "select s.id, b.id from @small s join (select id from @big union all select id + 1 from @big) b on s.big_id = b.id",
            10_009,
        ),
        // Every row of the large side must come.
        ("select s.id, b.id from @small s right join @big b on b.id = s.big_id", 10_000),
        ("select s.id, b.id from @small s full join @big b on b.id = s.big_id", 10_000),
        ("select b.id from @big b where b.id not in (select big_id from @small where big_id is not null)", 10_000),
        ("select s.id from @small s where s.big_id not in (select id from @big)", 10_000),
        (
            "select s.id from @small s join (select id from @big order by id desc limit 5000) b on b.id = s.big_id",
            10_000,
        ),
        (
            "select s.id from @small s join (select id, sum(grp) over (order by id) t from @big) b on b.id = s.big_id",
            10_000,
        ),
        ("select big_id from @small intersect select id from @big", 10_000),
        ("select big_id from @small except select id from @big", 10_000),
    ] {
        let reads = w.check(sql).await;
        let n = rows_of(&reads, "big");
        assert!(n <= most, "{n} rows of big, more than {most}: {sql}\n{reads:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_matters_to_not_in_and_to_set_operations() {
    let nulls = |n: i64, every: i64| -> ArrayRef {
        Arc::new((0..n).map(|i| (i % every != 0).then_some(i)).collect::<Int64Array>())
    };
    let w = World::new(vec![
        ("few", batch(vec![("k", nulls(4, 3))])),
        ("none", batch(vec![("k", ints([]))])),
        ("many", batch(vec![("k", nulls(1000, 10))])),
    ]);
    for sql in [
        "select k from @few where k not in (select k from @many)",
        "select k from @few where k not in (select k from @many where k > 500)",
        "select k from @few where k not in (select k from @none)",
        "select k from @none where k not in (select k from @many)",
        "select k from @few intersect select k from @many",
        "select k from @few except select k from @many",
        "select k from @many except select k from @few",
        "select f.k, m.k from @few f join @many m on f.k is not distinct from m.k",
    ] {
        w.check(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_values_become_a_range_and_none_reads_nothing() {
    let w = World::new(vec![
        ("big", batch(vec![("id", ints(0..60_000))])),
        ("mid", batch(vec![("k", ints((0..25_000).map(|i| 1000 + 2 * i)))])),
        ("none", batch(vec![("k", ints([]))])),
        ("nulls", batch(vec![("k", Arc::new(Int64Array::from(vec![None, None])))])),
        ("dense", batch(vec![("k", ints(5..500))])),
    ]);
    let reads = w.check("select count(*) from @mid m join @big b on m.k = b.id").await;
    let big = reads.iter().find(|r| r.relation == "big").unwrap();
    assert_eq!(big.dynamic[0].outcome.as_deref(), Some("1000 to 50998"));
    assert_eq!(rows_of(&reads, "big"), 49_999);
    for empty in ["none", "nulls"] {
        let reads = w.check(&format!("select b.id from @{empty} m join @big b on m.k = b.id")).await;
        assert_eq!(rows_of(&reads, "big"), 0, "{empty}");
    }
    let reads = w.check("select count(*) from @dense m join @big b on m.k = b.id").await;
    let big = reads.iter().find(|r| r.relation == "big").unwrap();
    assert_eq!(big.dynamic[0].outcome.as_deref(), Some("5 to 499"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_pass_their_keys_on() {
    let customers = batch(vec![("id", ints(0..50)), ("region", ints((0..50).map(|i| i % 10)))]);
    let orders = batch(vec![("id", ints(0..2000)), ("customer_id", ints((0..2000).map(|i| i % 50)))]);
    let items = batch(vec![("id", ints(0..20_000)), ("order_id", ints((0..20_000).map(|i| i % 2000)))]);
    let w = World::new(vec![("customers", customers), ("orders", orders), ("items", items)]);
    let reads = w
        .check(
            "select c.id, o.id, i.id from @customers c join @orders o on o.customer_id = c.id \
             join @items i on i.order_id = o.id where c.region = 3",
        )
        .await;
    assert_eq!(rows_of(&reads, "customers"), 5);
    assert_eq!(rows_of(&reads, "orders"), 200);
    assert_eq!(rows_of(&reads, "items"), 2000);
}

/// DataFusion's own rule finds columns by name: here all are called `id`.
#[tokio::test(flavor = "multi_thread")]
async fn columns_of_one_name_are_not_mixed_up() {
    let t = |n: i64, f: fn(i64) -> i64| batch(vec![("id", ints(0..n)), ("ref", ints((0..n).map(f)))]);
    let w = World::new(vec![
        ("a", t(3000, |i| 2999 - i)),
        ("b", t(2000, |i| i + 1000)),
        ("c", t(20, |i| i * 50 + 1000)),
        ("d", t(5, |i| i * 7)),
    ]);
    for sql in [
        "select a.id, b.id, c.id from @a a join @b b on a.ref = b.id join @c c on c.ref = b.id",
        "select a.id, b.id, c.id from @a a join @b b on a.ref = b.id join @c c on c.ref = a.id",
        "select a.id, b.id, c.id from @b b join @a a on a.ref = b.id join @c c on c.id = a.id",
        "select a.id, b.id, c.id, d.id from @b b join @a a on a.ref = b.id join @c c on c.id = a.id join @d d on d.ref = b.id",
        "select a.id from @a a where a.id in (select b.ref from @b b where b.id > a.ref) and a.id in (select ref from @c)",
        "select x.id, c.id from (select a.id, b.id as bid from @a a left join @b b on a.ref = b.id) x join @c c on c.ref = x.bid",
        "select x.id, c.id from (select a.id, b.id as bid from @a a left join @b b on a.ref = b.id) x left join @c c on c.ref = x.bid",
    ] {
        w.check(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scalar_subqueries_reach_the_source() {
    let w = world();
    for (sql, most) in [
        ("select id from @big where id > (select max(big_id) from @small)", 3699),
        ("select id from @big where (select max(big_id) from @small) = id", 1),
        ("select id from @big where id < (select max(id) from @small) and grp >= 3", 9),
        ("select id from @big where id > (select max(id) from @small where id > 100)", 0),
        ("select id from @big where id between (select min(id) from @small) and (select max(id) from @small)", 10),
        ("select b.id from @big b join @small s on b.grp = s.grp where b.id > (select max(big_id) from @small)", 111),
        // Not a condition on one column.
        ("select id from @big where id + 1 > (select max(big_id) from @small)", 10_000),
    ] {
        let reads = w.check(sql).await;
        let n = rows_of(&reads, "big");
        assert!(n <= most, "{n} rows of big, more than {most}: {sql}\n{reads:#?}");
    }
    let many = w.session().sql("select id from s.main.big where id > (select big_id from s.main.small)").await.unwrap();
    let error = many.collect().await.unwrap_err().to_string();
    assert!(error.contains("more than one row"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_can_be_read_twice() {
    let w = world();
    let ctx = w.session();
    let state = ctx.state();
    let sql = "select b.name, s.id from s.main.big b join s.main.small s on b.id = s.big_id";
    let plan = state.create_physical_plan(&state.create_logical_plan(sql).await.unwrap()).await.unwrap();
    let mut scan = plan.clone();
    while scan.downcast_ref::<RemoteScanExec>().is_none() {
        let last = scan.children().last().map(|c| (*c).clone());
        scan = last.unwrap();
    }
    let _ = datafusion::physical_plan::collect(plan, ctx.task_ctx()).await.unwrap();
    for _ in 0..2 {
        let mut n = 0;
        for p in 0..2 {
            let mut s = scan.execute(p, ctx.task_ctx()).unwrap();
            while let Some(b) = s.next().await {
                n += b.unwrap().num_rows();
            }
        }
        assert_eq!(n, 9);
    }
    let (_, big) = &w.tables[0];
    assert_eq!(big.plans.lock().unwrap().len(), 1, "planned once for all partitions and runs");
}

/// A build side that is slower than a scan waits: the answer is the same, sooner or later.
#[tokio::test(flavor = "multi_thread")]
async fn slow_sides_and_early_scans_never_hang() {
    for (small, big) in [(0, 200), (200, 0), (1500, 0), (50, 50)] {
        for threads in [1, 2, 4] {
            let mut w = world();
            w.threads = threads;
            w.tables[0].1.delay = Duration::from_millis(big);
            w.tables[1].1.delay = Duration::from_millis(small);
            for sql in [
                "select b.name, s.id from @big b join @small s on b.id = s.big_id",
                "select count(*) from @small s join (select b1.id from @big b1 join @big b2 on b1.id = b2.id) x on x.id = s.big_id",
                "select b.id from @big b join @small s on b.id = s.big_id order by b.id limit 3",
            ] {
                let start = Instant::now();
                w.run(sql).await;
                assert!(start.elapsed() < Duration::from_secs(10), "{sql}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_query_halfway_frees_everything() {
    for after in [0u64, 1, 5, 20, 60] {
        let mut w = world();
        w.tables.iter_mut().for_each(|(_, f)| f.delay = Duration::from_millis(30));
        let query = w.run("select b.name, s.id from @big b join @small s on b.id = s.big_id");
        let _ = tokio::time::timeout(Duration::from_millis(after), query).await;
        // Tasks that exchanges started end a moment later.
        let start = Instant::now();
        while w.spare.available_permits() < 8 && start.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(w.spare.available_permits(), 8, "dropped after {after} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn off_means_off() {
    let mut w = world();
    w.pushdown = PushdownMode::Off;
    let (_, reads) = w.run("select b.name from @big b join @small s on b.id = s.big_id").await;
    assert_eq!(rows_of(&reads, "big"), 10_000);
    assert!(reads.iter().all(|r| r.dynamic.is_empty()));
}

/// For engines that plan otherwise: each link as `large.column <- small.column`.
#[tokio::test]
async fn links_are_only_those_that_hold() {
    let w = world();
    for (sql, want) in [
        ("select * from @big b join @small s on b.id = s.big_id", "big.id <- small.big_id; small.big_id <- big.id"),
        ("select * from @big b, @small s where s.big_id = b.id", "big.id <- small.big_id; small.big_id <- big.id"),
        (
            "select 1 from @big where id in (select big_id from @small)",
            "big.id <- small.big_id; small.big_id <- big.id",
        ),
        // Of other widths, but integers.
        ("select 1 from @big b join @small s on b.grp = s.grp", "big.grp <- small.grp; small.grp <- big.grp"),
        (
            "select 1 from (select grp, count(*) from @big group by grp) b join @small s on b.grp = s.grp",
            "big.grp <- small.grp; small.grp <- big.grp",
        ),
        // A row of either may be needed without a partner.
        ("select * from @big b left join @small s on b.id = s.big_id", ""),
        ("select * from @big b full join @small s on b.id = s.big_id", ""),
        ("select 1 from @big where id not in (select big_id from @small)", ""),
        ("select 1 from @big b where not exists (select 1 from @small s where s.big_id = b.id)", ""),
        (
            "select 1 from @big b join @small s on b.id = s.big_id \
             where b.grp < (select avg(c.grp) from @big c where c.id = s.big_id)",
            "big.id <- small.big_id; small.big_id <- big.id",
        ),
        // The large one is read twice.
        ("select 1 from @big b join @small s on b.id = s.big_id join @big c on c.grp = 3", "small.big_id <- big.id"),
        // Other rows come first.
        (
            "select 1 from (select * from @big order by id limit 9) b join @small s on b.id = s.big_id",
            "small.big_id <- big.id",
        ),
        ("select t from (select id, sum(grp) over (order by id) t from @big) b join @small s on b.id = s.big_id", ""),
        // Not the columns themselves.
        ("select 1 from @big b join @small s on b.id = s.big_id + 1", ""),
        ("select 1 from @big b join @small s on cast(b.id as varchar) = s.name", ""),
        ("select 1 from @big b join @small s on b.id < s.big_id", ""),
        ("select 1 from @big b join @small s on b.id is not distinct from s.big_id", ""),
        ("select nonsense(", ""),
    ] {
        let mut sql = sql.to_string();
        for (name, _) in &w.tables {
            sql = sql.replace(&format!("@{name}"), &format!("s.main.{name}"));
        }
        let all = crate::links(&sql, &w.inputs()).await;
        let text = |l: &crate::KeyLink| format!("{}.{} <- {}.{}", l.large.0[2], l.large.1, l.small.0[2], l.small.1);
        let mut got: Vec<String> = all.iter().map(text).collect();
        got.sort();
        assert_eq!(got.join("; "), want, "{sql}");
    }
}
