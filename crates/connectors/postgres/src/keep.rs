//! What hangs on a relation that is about to be replaced, read from the catalog as the statements that bring it back:
//! owner, grants, comments, indexes, constraints, defaults, triggers, policies, and the views over it.
//!
//! To be called in a transaction with an empty search_path, so that the server prints every name in full.

use crate::catalog::{cell, flag};
use crate::pool::{Conn, TextRow};
use crate::sql;
use xdb_core::{Error, ErrorKind, Relation, Result};

/// The relation that has the target's name now.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) oid: String,
    /// pg_class.relkind.
    pub(crate) relkind: String,
    /// Whether this user may drop it.
    pub(crate) owned: bool,
    /// It is a partition, or has partitions or children.
    pub(crate) in_tree: bool,
}

impl Old {
    /// For `DROP …` and `ALTER …`.
    pub(crate) fn keyword(&self) -> &'static str {
        keyword(&self.relkind)
    }
}

fn keyword(relkind: &str) -> &'static str {
    match relkind {
        "v" => "VIEW",
        "m" => "MATERIALIZED VIEW",
        "f" => "FOREIGN TABLE",
        _ => "TABLE",
    }
}

pub(crate) async fn find(conn: &mut Conn, rel: &Relation) -> Result<Option<Old>> {
    let rows = conn
        .rows(&format!(
            "SELECT c.oid, c.relkind, pg_catalog.pg_has_role(c.relowner, 'USAGE'), c.relispartition OR c.relkind = 'p' OR \
             EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)) \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {} AND c.relkind NOT IN ('i', 'I', 't', 'c')",
            sql::text(rel.schema.as_deref().unwrap_or_default()),
            sql::text(&rel.name)
        ))
        .await?;
    Ok(rows.first().map(|r| Old {
        oid: cell(r, 0).into(),
        relkind: cell(r, 1).into(),
        owned: flag(r, 2),
        in_tree: flag(r, 3),
    }))
}

/// Whether it can be replaced at all; asked before any row is loaded, and again before the swap.
pub(crate) fn refuse(old: &Old, rel: &Relation) -> Result<()> {
    let name = sql::relation(rel);
    let fail = |m: String, hint: &str| Err(Error::unsupported(m).relation(&name).hint(hint));
    match old.relkind.as_str() {
        "S" => return fail(format!("{name} is a sequence"), "choose another name for the model (`alias`)"),
        "f" => {
            return fail(
                format!("{name} is a foreign table"),
                "write to the server it stands for, or choose another name",
            );
        }
        _ => {}
    }
    if old.in_tree {
        return fail(
            format!(
                "{name} is partitioned, a partition, or part of an inheritance tree, and so cannot be replaced in one step"
            ),
            "use `materialized: incremental`, or choose another name",
        );
    }
    if !old.owned {
        return Err(Error::new(
            ErrorKind::Permission,
            format!("{name} belongs to another role, so it cannot be replaced"),
        )
        .relation(&name)
        .hint("make this connection's user (or `role`) a member of its owner"));
    }
    Ok(())
}

/// An index of the old table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    unique: bool,
    /// From `USING` on.
    rest: String,
    /// `PRIMARY KEY` or `UNIQUE`, with the constraint's name and its deferral.
    pub(crate) constraint: Option<(String, String, String)>,
    comment: Option<String>,
}

impl Index {
    /// The same index on another table. Two with one definition share a name there: they are equal.
    pub(crate) fn create(&self, name: &str, table: &str) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        format!("CREATE {unique}INDEX {} ON {table} {}", sql::ident(name), self.rest)
    }
}

pub(crate) async fn indexes(conn: &mut Conn, oid: &str) -> Result<Vec<Index>> {
    let rows = conn
        .rows(&format!(
            "SELECT c.relname, i.indisunique, pg_catalog.pg_get_indexdef(i.indexrelid), \
             pg_catalog.format('CREATE %sINDEX %I ON %s ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, \
             i.indrelid::regclass), k.conname, k.contype, \
             CASE WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END, \
             pg_catalog.obj_description(i.indexrelid, 'pg_class') \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid \
             AND k.contype IN ('p', 'u', 'x') \
             WHERE i.indrelid = {oid} AND i.indisvalid AND k.contype IS DISTINCT FROM 'x' ORDER BY i.indisprimary DESC, c.relname"
        ))
        .await?;
    let index = |r: &TextRow| Index {
        name: cell(r, 0).into(),
        unique: flag(r, 1),
        rest: cell(r, 2).strip_prefix(cell(r, 3)).unwrap_or_default().to_string(),
        constraint: (!cell(r, 4).is_empty()).then(|| {
            let what = if cell(r, 5) == "p" { "PRIMARY KEY" } else { "UNIQUE" };
            (cell(r, 4).to_string(), what.to_string(), cell(r, 6).to_string())
        }),
        comment: r.get(7).cloned().flatten(),
    };
    Ok(rows.iter().map(index).collect())
}

/// One thing to bring back.
#[derive(Debug)]
pub(crate) struct Step {
    /// For notes and errors, e.g. `check constraint "positive"`.
    pub(crate) what: String,
    pub(crate) sql: String,
}
fn step(what: impl Into<String>, sql: impl Into<String>) -> Step {
    Step { what: what.into(), sql: sql.into() }
}

/// Checks, defaults, NOT NULL, foreign keys, triggers and policies of table `oid`, for a table that now has its name.
/// Notes name what cannot be brought back.
pub(crate) async fn table_steps(
    conn: &mut Conn,
    oid: &str,
    target: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let columns = conn
        .rows(&format!(
            "SELECT a.attname, a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated \
             FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        ))
        .await?;
    for r in &columns {
        let (name, column) = (cell(r, 0), sql::ident(cell(r, 0)));
        let default = cell(r, 2);
        if !cell(r, 3).is_empty() || !cell(r, 4).is_empty() {
            notes.push(format!(
                "column {column} of {target} is a plain column now; it was an identity or generated one"
            ));
        } else if default.contains("nextval(") {
            notes.push(format!("column {column} of {target} has no default any more; it was {default}"));
        } else if !default.is_empty() {
            steps.push(step(
                format!("default of column `{name}`"),
                format!("ALTER TABLE {target} ALTER {column} SET DEFAULT {default}"),
            ));
        }
        if flag(r, 1) {
            steps.push(step(
                format!("NOT NULL of column `{name}`"),
                format!("ALTER TABLE {target} ALTER {column} SET NOT NULL"),
            ));
        }
    }
    let constraints = conn
        .rows(&format!(
            "SELECT conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
             WHERE conrelid = {oid} AND contype IN ('c', 'x', 'f') ORDER BY contype, conname"
        ))
        .await?;
    for r in &constraints {
        let sql = format!("ALTER TABLE {target} ADD CONSTRAINT {} {}", sql::ident(cell(r, 0)), cell(r, 1));
        steps.push(step(format!("constraint `{}`", cell(r, 0)), sql));
    }
    let triggers = conn
        .rows(&format!(
            "SELECT tgname, pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger \
             WHERE tgrelid = {oid} AND NOT tgisinternal ORDER BY tgname"
        ))
        .await?;
    steps.extend(triggers.iter().map(|r| step(format!("trigger `{}`", cell(r, 0)), cell(r, 1))));
    let policies = conn
        .rows(&format!(
            "SELECT p.polname, pg_catalog.format('CREATE POLICY %I ON {} AS %s FOR %s TO %s', p.polname, \
             CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, \
             CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, \
             (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r)) \
             || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') \
             || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') \
             FROM pg_catalog.pg_policy p WHERE p.polrelid = {oid} ORDER BY p.polname",
            target.replace('%', "%%").replace('\'', "''")
        ))
        .await?;
    steps.extend(policies.iter().map(|r| step(format!("policy `{}`", cell(r, 0)), cell(r, 1))));
    let table = conn
        .rows(&format!(
            "SELECT relrowsecurity, relforcerowsecurity, \
             (SELECT string_agg(quote_ident(p.pubname), ', ') FROM pg_catalog.pg_publication_rel r \
              JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid) \
             FROM pg_catalog.pg_class c WHERE oid = {oid}"
        ))
        .await?;
    for r in &table {
        if flag(r, 0) {
            steps.push(step("row level security", format!("ALTER TABLE {target} ENABLE ROW LEVEL SECURITY")));
        }
        if flag(r, 1) {
            steps.push(step("row level security", format!("ALTER TABLE {target} FORCE ROW LEVEL SECURITY")));
        }
        if !cell(r, 2).is_empty() {
            notes.push(format!("{target} is no longer part of publication {}: add it again", cell(r, 2)));
        }
    }
    Ok(steps)
}

/// Owner, grants and comments of relation `oid`, for whatever has the name `target` now. `keyword`: what that is.
pub(crate) async fn rights_and_comments(conn: &mut Conn, oid: &str, keyword: &str, target: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let grants = conn
        .rows(&format!(
            "SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
             string_agg(a.privilege_type || coalesce(' (' || quote_ident(x.col) || ')', ''), ', '), a.is_grantable \
             FROM (SELECT relacl AS acl, NULL::name AS col, relowner FROM pg_catalog.pg_class WHERE oid = {oid} \
                   UNION ALL SELECT t.attacl, t.attname, c.relowner FROM pg_catalog.pg_attribute t \
                   JOIN pg_catalog.pg_class c ON c.oid = t.attrelid WHERE t.attrelid = {oid} AND NOT t.attisdropped) x, \
             aclexplode(x.acl) a WHERE a.grantee <> x.relowner \
             GROUP BY 1, 3, x.col ORDER BY x.col NULLS FIRST, 1, 3"
        ))
        .await?;
    for r in &grants {
        let option = if flag(r, 2) { " WITH GRANT OPTION" } else { "" };
        let sql = format!("GRANT {} ON {target} TO {}{option}", cell(r, 1), cell(r, 0));
        steps.push(step(format!("grant of {} to {}", cell(r, 1), cell(r, 0)), sql));
    }
    let comments = conn
        .rows(&format!(
            "SELECT NULL, pg_catalog.obj_description({oid}, 'pg_class') UNION ALL \
             SELECT attname, pg_catalog.col_description(attrelid, attnum) FROM pg_catalog.pg_attribute \
             WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped"
        ))
        .await?;
    for r in comments.iter().filter(|r| !cell(r, 1).is_empty()) {
        let text = sql::text(cell(r, 1));
        match r.first().and_then(|c| c.as_deref()) {
            Some(c) => steps.push(step(
                format!("comment on column `{c}`"),
                format!("COMMENT ON COLUMN {target}.{} IS {text}", sql::ident(c)),
            )),
            None => steps.push(step("comment", format!("COMMENT ON {keyword} {target} IS {text}"))),
        }
    }
    let owner = conn
        .value(&format!(
            "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_catalog.pg_class \
             WHERE oid = {oid} AND pg_get_userbyid(relowner) <> current_user"
        ))
        .await?;
    // Last: afterwards the rest might not be ours to change.
    if let Some(owner) = owner {
        steps.push(step(format!("owner {owner}"), format!("ALTER {keyword} {target} OWNER TO {owner}")));
    }
    Ok(steps)
}

pub(crate) fn index_comment(index: &Index, schema: &str) -> Option<String> {
    let text = sql::text(index.comment.as_deref()?);
    Some(format!("COMMENT ON INDEX {}.{} IS {text}", sql::ident(schema), sql::ident(&index.name)))
}

/// A view over the old relation (or over such a view), as statements.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) drop: String,
    pub(crate) create: Vec<Step>,
}

/// In the order in which they can be created; dropping goes the other way.
pub(crate) async fn dependent_views(conn: &mut Conn, oid: &str) -> Result<Vec<View>> {
    let over = "pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid \
                AND d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass";
    let rows = conn
        .rows(&format!(
            "WITH RECURSIVE dep(oid, level) AS (\
             SELECT r.ev_class, 1 FROM {over} WHERE d.refobjid = {oid} AND r.ev_class <> {oid} \
             UNION SELECT r.ev_class, dep.level + 1 FROM dep JOIN ({over}) ON d.refobjid = dep.oid WHERE r.ev_class <> dep.oid) \
             SELECT c.oid, c.relkind, n.nspname, c.relname, pg_catalog.pg_get_viewdef(c.oid), \
             array_to_string(c.reloptions, ', '), c.relispopulated \
             FROM (SELECT oid, max(level) AS level FROM dep GROUP BY oid) dep JOIN pg_catalog.pg_class c USING (oid) \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY dep.level, c.oid"
        ))
        .await?;
    let mut views = Vec::new();
    for r in &rows {
        let (view_oid, relkind) = (cell(r, 0), cell(r, 1));
        let name = sql::relation(&Relation::new(None, Some(cell(r, 2)), cell(r, 3)));
        let keyword = keyword(relkind);
        let options = if cell(r, 5).is_empty() { String::new() } else { format!(" WITH ({})", cell(r, 5)) };
        let data = match (relkind, flag(r, 6)) {
            ("m", true) => " WITH DATA",
            ("m", false) => " WITH NO DATA",
            _ => "",
        };
        let body = cell(r, 4).trim_end().trim_end_matches(';');
        let mut create = vec![step("the view", format!("CREATE {keyword} {name}{options} AS {body}{data}"))];
        for i in indexes(conn, view_oid).await? {
            create.push(step(format!("index `{}`", i.name), i.create(&i.name, &name)));
            create.extend(index_comment(&i, cell(r, 2)).map(|c| step("comment", c)));
        }
        let triggers = conn
            .rows(&format!(
                "SELECT tgname, pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger WHERE tgrelid = {view_oid} AND NOT tgisinternal"
            ))
            .await?;
        create.extend(triggers.iter().map(|r| step(format!("trigger `{}`", cell(r, 0)), cell(r, 1))));
        create.extend(rights_and_comments(conn, view_oid, keyword, &name).await?);
        views.push(View { drop: format!("DROP {keyword} {name}"), name, create });
    }
    Ok(views)
}
