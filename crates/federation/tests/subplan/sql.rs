//! A query as SQL for the fake source, which is DataFusion itself: every constant and cast with its exact type.

use arrow::datatypes::DataType;
use xdb_core::*;

pub(crate) fn query(q: &Query) -> String {
    let items: Vec<String> = q.items.iter().map(|i| format!("{} as {}", expr(&i.expr), name(i.field.name()))).collect();
    let (from, exists) = source(&q.from);
    let mut out = format!("select {} from {from}", if items.is_empty() { "1 as c0".into() } else { items.join(", ") });
    let conditions: Vec<String> = q.filter.iter().map(expr).chain(exists).collect();
    if !conditions.is_empty() {
        out += &format!(" where {}", conditions.join(" and "));
    }
    let having: Vec<String> = q.having.iter().map(expr).collect();
    match &q.groups {
        Some(g) if !g.is_empty() => out += &format!(" group by {}", list(g)),
        Some(_) => assert!(q.items.iter().any(|i| format!("{:?}", i.expr).contains("Aggregate(")), "no aggregate"),
        None => {}
    }
    if !having.is_empty() {
        out += &format!(" having {}", having.join(" and "));
    }
    if !q.order.is_empty() {
        let order = q.order.iter().map(|o| {
            let (d, n) = (if o.descending { "desc" } else { "asc" }, if o.nulls_first { "first" } else { "last" });
            format!("{} {d} nulls {n}", expr(&o.expr))
        });
        out += &format!(" order by {}", order.collect::<Vec<_>>().join(", "));
    }
    if let Some(n) = q.limit {
        out += &format!(" limit {n}");
    }
    out
}

/// The FROM clause, and what its semi and anti joins add to WHERE.
fn source(s: &QuerySource) -> (String, Vec<String>) {
    match s {
        QuerySource::Table { table, alias } => (format!("{} as {alias}", name(&table.relation.name)), vec![]),
        QuerySource::Query { query: q, alias } => (format!("({}) as {alias}", query(q)), vec![]),
        QuerySource::Union { inputs, alias } => {
            let all: Vec<String> = inputs.iter().map(query).collect();
            (format!("({}) as {alias}", all.join(" union all ")), vec![])
        }
        QuerySource::Join { left, right, kind, on } => {
            let (l, mut exists) = source(left);
            let (r, r_exists) = source(right);
            let on: Vec<String> = on.iter().map(expr).collect();
            let on = on.join(" and ");
            let word = match kind {
                QueryJoin::Inner => "join",
                QueryJoin::Left => "left join",
                QueryJoin::Full => "full join",
                QueryJoin::Semi | QueryJoin::Anti => {
                    assert!(r_exists.is_empty(), "EXISTS inside EXISTS");
                    let not = if *kind == QueryJoin::Anti { "not " } else { "" };
                    exists.push(format!("{not}exists (select 1 from {r} where {on})"));
                    return (l, exists);
                }
            };
            assert!(r_exists.is_empty(), "EXISTS on a right side");
            assert!(*kind != QueryJoin::Full || exists.is_empty(), "EXISTS below a full join");
            let r = if matches!(**right, QuerySource::Join { .. }) { format!("({r})") } else { r };
            (format!("{l} {word} {r} on {on}"), exists)
        }
    }
}

fn name(n: &str) -> String {
    format!("\"{}\"", n.replace('"', "\"\""))
}

fn list(all: &[QueryExpr]) -> String {
    all.iter().map(expr).collect::<Vec<_>>().join(", ")
}

fn ty(t: &DataType) -> String {
    format!("{t:?}")
}

fn literal(v: &Literal, t: &DataType) -> String {
    let text = match v {
        Literal::Null => "null".into(),
        Literal::Bool(b) => b.to_string(),
        Literal::Int(i) => format!("'{i}'"),
        Literal::UInt(i) => format!("'{i}'"),
        Literal::Float(f) => format!("'{f}'"),
        Literal::Decimal { value, scale } => {
            let digits = format!("{:0>width$}", value.abs(), width = *scale as usize + 1);
            let (whole, rest) = digits.split_at(digits.len() - *scale as usize);
            format!("'{}{whole}.{rest}'", if *value < 0 { "-" } else { "" }).replace(".'", "'")
        }
        Literal::Utf8(s) => format!("'{}'", s.replace('\'', "''")),
        Literal::Date(d) => format!("arrow_cast('{d}', 'Int32')"),
        other => panic!("the fake has no literal {other:?}"),
    };
    format!("arrow_cast({text}, '{}')", ty(t))
}

fn expr(e: &QueryExpr) -> String {
    let not = |n: &bool| if *n { "not " } else { "" };
    match e {
        QueryExpr::Column(c) => format!("{}.{}", c.source, name(&c.name)),
        QueryExpr::Literal { value, ty } => literal(value, ty),
        QueryExpr::Compare { op, left, right } => {
            assert_eq!(left.data_type(), right.data_type(), "{e:?}");
            format!("({} {} {})", expr(left), op.sql(), expr(right))
        }
        QueryExpr::And(all) => format!("({})", all.iter().map(expr).collect::<Vec<_>>().join(" and ")),
        QueryExpr::Or(all) => format!("({})", all.iter().map(expr).collect::<Vec<_>>().join(" or ")),
        QueryExpr::Not(e) => format!("(not {})", expr(e)),
        QueryExpr::IsNull { expr: e, negated } => format!("({} is {}null)", expr(e), not(negated)),
        QueryExpr::In { expr: e, list: l, negated } => format!("({} {}in ({}))", expr(e), not(negated), list(l)),
        QueryExpr::Like { expr: e, pattern, negated } => {
            format!("({} {}like '{}')", expr(e), not(negated), pattern.replace('\'', "''"))
        }
        QueryExpr::Arithmetic { op, left, right, ty: t } => {
            let sign = match op {
                QueryArithmetic::Add => "+",
                QueryArithmetic::Subtract => "-",
                QueryArithmetic::Multiply => "*",
            };
            format!("arrow_cast({} {sign} {}, '{}')", expr(left), expr(right), ty(t))
        }
        QueryExpr::Cast { expr: e, ty: t } => format!("arrow_cast({}, '{}')", expr(e), ty(t)),
        QueryExpr::Case { branches, otherwise, ty: t } => {
            let mut out = String::from("(case");
            for (c, v) in branches {
                assert_eq!(v.data_type(), *t);
                out += &format!(" when {} then {}", expr(c), expr(v));
            }
            if let Some(o) = otherwise {
                out += &format!(" else {}", expr(o));
            }
            out + " end)"
        }
        QueryExpr::DatePart { part, expr: e, ty: t } => {
            format!("arrow_cast(date_part('{part:?}', {}), '{}')", expr(e), ty(t))
        }
        QueryExpr::Substring { expr: e, start, length } => {
            format!(
                "arrow_cast(substr({}, {start}{}), 'Utf8')",
                expr(e),
                length.map(|n| format!(", {n}")).unwrap_or_default()
            )
        }
        QueryExpr::Aggregate(a) => {
            let f = format!("{:?}", a.function).to_lowercase();
            let arg = a.argument.as_ref().map_or("*".into(), |e| expr(e));
            let filter = a.filter.as_ref().map(|f| format!(" filter (where {})", expr(f))).unwrap_or_default();
            let distinct = if a.distinct { "distinct " } else { "" };
            format!("{f}({distinct}{arg}){filter}")
        }
    }
}

pub(crate) fn predicate(p: &Predicate, t: &TableInfo) -> String {
    let of = |c: &str, v: &Literal| literal(v, t.schema.field_with_name(c).unwrap().data_type());
    let not = |n: &bool| if *n { "not " } else { "" };
    let all = |ps: &[Predicate], word: &str| {
        format!("({})", ps.iter().map(|p| predicate(p, t)).collect::<Vec<_>>().join(word))
    };
    match p {
        Predicate::Compare { column, op, value } => format!("({} {} {})", name(column), op.sql(), of(column, value)),
        Predicate::In { column, values, negated } => {
            let l: Vec<String> = values.iter().map(|v| of(column, v)).collect();
            format!("({} {}in ({}))", name(column), not(negated), l.join(", "))
        }
        Predicate::IsNull { column, negated } => format!("({} is {}null)", name(column), not(negated)),
        Predicate::StartsWith { column, prefix, negated } => {
            format!("({} {}like '{prefix}%')", name(column), not(negated))
        }
        Predicate::And(ps) => all(ps, " and "),
        Predicate::Or(ps) => all(ps, " or "),
        Predicate::Not(p) => format!("(not {})", predicate(p, t)),
    }
}
