//! Functions that finish here what was aggregated at a source: as DataFusion's own aggregates end.

use arrow::array::{Array, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{exec_err, internal_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Finish {
    /// (sum, count): `avg`. Decimals get four more digits after the point, the rest is cut off; integers become floats.
    Average,
    /// (count): 0 where there was nothing to count.
    Count,
    /// (count): 1 where there was no row: of an outer join, whose other side has one.
    Rows,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    finish: Finish,
    signature: Signature,
}

fn call(finish: Finish, args: Vec<Expr>) -> Expr {
    let signature = Signature::any(args.len(), Volatility::Immutable);
    ScalarUDF::new_from_impl(Function { finish, signature }).call(args)
}

/// `avg` of its sum and count.
pub(super) fn average(sum: Expr, count: Expr) -> Expr {
    call(Finish::Average, vec![sum, count])
}

/// A sum of counts.
pub(super) fn count(sum: Expr) -> Expr {
    call(Finish::Count, vec![sum])
}

/// How many rows one row of an outer join stands for, by the count of its other side.
pub(super) fn rows(count: Expr) -> Expr {
    call(Finish::Rows, vec![count])
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.finish {
            Finish::Average => "avg_of",
            Finish::Count => "count_of",
            Finish::Rows => "rows_of",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        match (self.finish, args) {
            // A sum has ten digits more than its argument, as far as there is room for them: `avg` is made before that.
            (Finish::Average, [DataType::Decimal128(_, s), _]) => {
                Ok(DataType::Decimal128(38, s.saturating_add(4).min(38)))
            }
            (Finish::Average, [DataType::Int64, _]) => Ok(DataType::Float64),
            (Finish::Count | Finish::Rows, [DataType::Int64]) => Ok(DataType::Int64),
            (f, other) => internal_err!("{f:?} of {other:?}"),
        }
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = self.finish == Finish::Average;
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let missing = match self.finish {
            Finish::Average => return finish_average(&arrays, args.return_field.data_type()),
            Finish::Count => 0,
            Finish::Rows => 1,
        };
        let [counts] = arrays.as_slice() else { return internal_err!("one argument") };
        let counts = counts.as_primitive::<Int64Type>();
        let out: Int64Array = counts.iter().map(|c| Some(c.unwrap_or(missing))).collect();
        Ok(ColumnarValue::Array(Arc::new(out)))
    }
}

fn finish_average(arrays: &[Arc<dyn Array>], ty: &DataType) -> DfResult<ColumnarValue> {
    let [sums, counts] = arrays else { return internal_err!("two arguments") };
    let counts = counts.as_primitive::<Int64Type>();
    if let (DataType::Decimal128(p, s), DataType::Decimal128(_, from)) = (ty, sums.data_type()) {
        let more = 10i128.pow(u32::try_from(s - from).unwrap_or(0));
        let mut out = Vec::with_capacity(counts.len());
        for (sum, count) in sums.as_primitive::<Decimal128Type>().iter().zip(counts) {
            out.push(match (sum, count) {
                (Some(sum), Some(count)) if count != 0 => match sum.checked_mul(more) {
                    Some(v) => Some(v / i128::from(count)),
                    None => return exec_err!("Arithmetic Overflow in AvgAccumulator"),
                },
                _ => None,
            });
        }
        let out = Decimal128Array::from(out).with_precision_and_scale(*p, *s)?;
        return Ok(ColumnarValue::Array(Arc::new(out)));
    }
    let sums = sums.as_primitive::<Int64Type>();
    let out: Float64Array = sums
        .iter()
        .zip(counts)
        .map(|(sum, count)| match (sum, count) {
            (Some(sum), Some(count)) if count != 0 => Some(sum as f64 / count as f64),
            _ => None,
        })
        .collect();
    Ok(ColumnarValue::Array(Arc::new(out)))
}
