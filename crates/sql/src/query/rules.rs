//! What a dialect says about queries: a table of rules for each type, a few facts of syntax, and functions for what a table
//! cannot say. The walker in `render` reads these; anything they do not allow is refused.

use crate::Dialect;
use arrow::datatypes::{DataType, Field};
use std::borrow::Cow;
use xdb_core::{ColumnInfo, CompareOp, Literal, Predicate, QueryArithmetic, QueryDatePart, TableInfo};

/// Why a query cannot be sent, in few words for `explain`.
pub type Refusal = String;

/// What one use of a value becomes in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value as it stands.
    Same,
    /// A template, in which `{}` is the value.
    As(Cow<'static, str>),
    /// Not possible without another meaning: the rule's reason.
    No(Cow<'static, str>),
}
impl Form {
    pub const fn new(template: &'static str) -> Self {
        Self::As(Cow::Borrowed(template))
    }
    pub const fn no(why: &'static str) -> Self {
        Self::No(Cow::Borrowed(why))
    }
    pub fn apply(&self, sql: &str) -> Result<String, Refusal> {
        match self {
            Self::Same => Ok(sql.to_string()),
            Self::As(t) => Ok(t.replace("{}", sql)),
            Self::No(why) => Err(why.to_string()),
        }
    }
}

/// How values of one type may be used. Every computed value is *canonical*: of the one SQL type that stands for its Arrow
/// type. A relation's own column may be of another (`char(n)`, an enum); [`canonical`](Self::canonical) leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRules {
    /// Two values of one class may be compared in their own forms, without becoming canonical first.
    pub class: Cow<'static, str>,
    pub canonical: Form,
    /// Equal here exactly where Arrow's values are: `=`, `IN`, joins, `count(DISTINCT …)`.
    pub equality: Form,
    /// What `GROUP BY` names, equal as in `equality`; `Same` keeps a relation's column what it is.
    pub group: Form,
    /// The canonical value of a group, where `group` isn't `Same`.
    pub grouped: Form,
    /// Ordered here exactly as Arrow's values are: `<`.
    pub order: Form,
    /// As `order`, where rows are sorted by it.
    pub sort: Form,
    /// The argument of `min` and `max`, ordered as in `order` …
    pub extreme: Form,
    /// … and what makes their result canonical.
    pub extreme_result: Form,
    /// The whole call, e.g. `sum({})::bigint`; `DISTINCT` goes into the value.
    pub sum: Form,
    /// An operand of exact arithmetic.
    pub number: Form,
    /// Case-sensitive LIKE and substrings, in characters.
    pub text: Form,
    /// A condition.
    pub truth: Form,
}
impl TypeRules {
    /// Nothing but to be read, counted and asked whether it is NULL.
    pub const fn opaque(why: &'static str) -> Self {
        Self {
            class: Cow::Borrowed("opaque"),
            canonical: Form::no(why),
            equality: Form::no(why),
            group: Form::no(why),
            grouped: Form::no(why),
            order: Form::no(why),
            sort: Form::no(why),
            extreme: Form::no(why),
            extreme_result: Form::Same,
            sum: Form::no(why),
            number: Form::no(why),
            text: Form::no(why),
            truth: Form::no(why),
        }
    }
}

/// Facts of a dialect's syntax.
#[derive(Clone, Copy, Debug)]
pub struct Syntax {
    /// `count(x) FILTER (WHERE …)`; else the argument becomes a CASE.
    pub filter_clause: bool,
    /// FULL JOIN on equalities.
    pub full_join: bool,
    /// `NULLS FIRST|LAST`; else a key `(x IS NULL)` goes before.
    pub nulls_placement: bool,
    /// Grouping by, and selecting, the same expression is understood. Else grouping is by plain columns only.
    pub group_by_expressions: bool,
    /// A LIMIT below another block holds there. (DuckDB 1.5 sends what a join learns at run time below it.)
    pub inner_limits: bool,
    /// What is selected where no column is wanted.
    pub no_columns: &'static str,
}

/// A column of a relation, however deep in the query.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'q> {
    pub table: &'q TableInfo,
    pub index: usize,
}
impl<'q> Origin<'q> {
    pub fn field(&self) -> &'q Field {
        self.table.schema.field(self.index)
    }
    pub fn info(&self) -> Option<&'q ColumnInfo> {
        self.table.columns.get(self.index)
    }
    pub fn name(&self) -> &'q str {
        self.field().name()
    }
}
impl PartialEq for Origin<'_> {
    fn eq(&self, o: &Self) -> bool {
        std::ptr::eq(self.table, o.table) && self.index == o.index
    }
}

/// A rendered expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Value<'q> {
    pub sql: String,
    pub ty: DataType,
    /// Where it is a relation's column as it stands; else it is canonical.
    pub origin: Option<Origin<'q>>,
    /// Where it is a constant.
    pub literal: Option<&'q Literal>,
    /// At most so many characters of text; `None`: not known.
    pub chars: Option<u32>,
}
impl<'q> Value<'q> {
    pub fn computed(sql: String, ty: DataType) -> Self {
        Self { sql, ty, origin: None, literal: None, chars: None }
    }
    pub fn with_chars(self, chars: Option<u32>) -> Self {
        Self { chars, ..self }
    }
}

/// A dialect that queries can be written in.
pub trait QueryDialect: Sync {
    fn dialect(&self) -> &Dialect;
    fn syntax(&self) -> &Syntax;
    /// The relation's name for FROM; a refusal where its values cannot be reasoned about at all.
    fn relation(&self, table: &TableInfo) -> Result<String, Refusal>;
    /// The rules of a relation's column (`value.origin`), or of canonical values of its type.
    fn rules(&self, value: &Value<'_>) -> TypeRules;
    /// The most characters that a relation's text column holds, where that matters.
    fn max_chars(&self, origin: &Origin<'_>) -> Option<u32> {
        let _ = origin;
        None
    }
    /// A canonical constant.
    fn literal(&self, value: &Literal, ty: &DataType) -> Result<String, Refusal>;
    /// A condition between a relation's column (its SQL is `column`) and constants, where that says the same as Arrow for
    /// every value. The predicate names the column as the relation does.
    fn predicate(&self, origin: &Origin<'_>, column: &str, predicate: &Predicate) -> Result<String, Refusal>;
    /// `value` is canonical; so is the result.
    fn cast(&self, value: &Value<'_>, to: &DataType) -> Result<String, Refusal>;
    /// `value` is canonical, a date or a timestamp without zone.
    fn date_part(&self, part: QueryDatePart, value: &Value<'_>, ty: &DataType) -> Result<String, Refusal>;
    /// `text` has the form for text.
    fn substring(&self, text: &str, start: u32, length: Option<u32>) -> Result<String, Refusal> {
        Ok(match length {
            Some(n) => format!("substring({text} FROM {start} FOR {n})"),
            None => format!("substring({text} FROM {start})"),
        })
    }
    /// `text` has the form for text; the pattern is sound (see `render`).
    fn like(&self, text: &str, pattern: &str, negated: bool) -> Result<String, Refusal>;
    /// Both operands have the form for numbers, of the types given; the result is canonical and of type `ty`.
    fn arithmetic(
        &self,
        op: QueryArithmetic,
        left: (&str, &DataType),
        right: (&str, &DataType),
        ty: &DataType,
    ) -> Result<String, Refusal> {
        let _ = (&left.1, &right.1, ty);
        Ok(format!("({} {} {})", left.0, arithmetic_sql(op), right.0))
    }
    /// A comparison of two values already in the form that makes it right.
    fn compare(&self, op: CompareOp, left: &str, right: &str) -> String {
        format!("({left} {} {right})", op.sql())
    }
    /// The select list's text for a result column of this Arrow type, so that the decoder makes exactly that of it.
    fn output(&self, value: &Value<'_>, field: &Field) -> Result<String, Refusal>;
}

pub fn arithmetic_sql(op: QueryArithmetic) -> &'static str {
    match op {
        QueryArithmetic::Add => "+",
        QueryArithmetic::Subtract => "-",
        QueryArithmetic::Multiply => "*",
    }
}
