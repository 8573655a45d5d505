//! Collects the rows of DuckDB's nested vectors: lists, maps, arrays, structs.
//!
//! What a NULL row hides in its children is never read.
#![allow(unsafe_code)] // DuckDB's vectors are raw memory behind its C API.

use super::values::{Collect, Valid, Validity, data, push_empty};
use arrow::array::{Array, ArrayRef, FixedSizeListArray, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use duckdb::ffi;
use std::sync::Arc;
use xdb_core::{Error, Result};

type ListParts = (OffsetBuffer<i32>, ArrayRef, Option<NullBuffer>);

/// Lists; the items of each row are appended in turn, wherever they lie.
pub(crate) struct Lists {
    items: Box<dyn Collect>,
    offsets: Vec<i32>,
    valid: Valid,
}
impl Lists {
    pub(crate) fn new(items: Box<dyn Collect>) -> Self {
        Self { items, offsets: vec![0], valid: Valid::default() }
    }
    fn finish_parts(&mut self) -> Result<ListParts> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        Ok((offsets, self.items.finish()?, self.valid.finish()))
    }
}
impl Collect for Lists {
    fn data_type(&self) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(self.items.data_type(), true)))
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the vector holds list entries, each within its child.
        unsafe {
            let validity = Validity::of(vector, start);
            let entries = data::<ffi::duckdb_list_entry>(vector, start);
            let child = ffi::duckdb_list_vector_get_child(vector);
            let mut end = self.offsets.last().copied().unwrap_or(0);
            // Neighbouring rows mostly have neighbouring items: those are appended together.
            let mut run = 0..0;
            for i in 0..len {
                if validity.has(i) {
                    let e = entries.add(i).read();
                    let items = e.offset as usize..(e.offset + e.length) as usize;
                    end = i32::try_from(items.len())
                        .ok()
                        .and_then(|n| end.checked_add(n))
                        .ok_or_else(|| Error::internal("a batch holds more than 2^31 list items in one column"))?;
                    if items.start == run.end {
                        run.end = items.end;
                    } else if !items.is_empty() {
                        self.items.append(child, run.start, run.len())?;
                        run = items;
                    }
                }
                self.offsets.push(end);
            }
            self.items.append(child, run.start, run.len())?;
            self.valid.append(validity, len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        push_empty(&mut self.offsets, len);
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let (offsets, items, nulls) = self.finish_parts()?;
        let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(field, offsets, items, nulls)?))
    }
    fn bytes(&self) -> usize {
        self.items.bytes() + 4 * self.offsets.len()
    }
}

/// Maps: lists of structs of key and value.
pub(crate) struct Maps {
    lists: Lists,
    entry: Fields,
}
impl Maps {
    pub(crate) fn new(keys: Box<dyn Collect>, values: Box<dyn Collect>) -> Self {
        let entry: Fields =
            vec![Field::new("key", keys.data_type(), false), Field::new("value", values.data_type(), true)].into();
        let pair = Structs { fields: entry.clone(), children: vec![keys, values], valid: Valid::default() };
        Self { lists: Lists::new(Box::new(pair)), entry }
    }
    fn entries(&self) -> Arc<Field> {
        Arc::new(Field::new("entries", DataType::Struct(self.entry.clone()), false))
    }
}
impl Collect for Maps {
    fn data_type(&self) -> DataType {
        DataType::Map(self.entries(), false)
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: a map's vector is a list's.
        unsafe { self.lists.append(vector, start, len) }
    }
    fn append_nulls(&mut self, len: usize) {
        self.lists.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let (offsets, pairs, nulls) = self.lists.finish_parts()?;
        let pairs = pairs.as_any().downcast_ref::<StructArray>().cloned();
        let pairs = pairs.ok_or_else(|| Error::internal("a map without key and value"))?;
        Ok(Arc::new(MapArray::try_new(self.entries(), offsets, pairs, nulls, false)?))
    }
    fn bytes(&self) -> usize {
        self.lists.bytes()
    }
}

pub(crate) struct Arrays {
    items: Box<dyn Collect>,
    size: usize,
    valid: Valid,
}
impl Arrays {
    pub(crate) fn new(items: Box<dyn Collect>, size: usize) -> Self {
        Self { items, size, valid: Valid::default() }
    }
    fn field(&self) -> Arc<Field> {
        Arc::new(Field::new_list_field(self.items.data_type(), true))
    }
    fn length(&self) -> i32 {
        i32::try_from(self.size).unwrap_or(i32::MAX)
    }
}
impl Collect for Arrays {
    fn data_type(&self) -> DataType {
        DataType::FixedSizeList(self.field(), self.length())
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: the child has `size` items a row; those of a NULL array are not read.
        unsafe {
            let child = ffi::duckdb_array_vector_get_child(vector);
            let validity = Validity::of(vector, start);
            for (run, valid) in validity.runs(len) {
                if valid {
                    self.items.append(child, (start + run.start) * self.size, run.len() * self.size)?;
                } else {
                    self.items.append_nulls(run.len() * self.size);
                }
            }
            self.valid.append(validity, len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.items.append_nulls(len * self.size);
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let (field, length) = (self.field(), self.length());
        let a = FixedSizeListArray::try_new(field, length, self.items.finish()?, self.valid.finish())?;
        Ok(Arc::new(a))
    }
    fn bytes(&self) -> usize {
        self.items.bytes()
    }
}

pub(crate) struct Structs {
    fields: Fields,
    children: Vec<Box<dyn Collect>>,
    valid: Valid,
}
impl Structs {
    pub(crate) fn new(fields: Vec<(String, Box<dyn Collect>)>) -> Self {
        let (fields, children): (Vec<Field>, Vec<_>) =
            fields.into_iter().map(|(n, c)| (Field::new(n, c.data_type(), true), c)).unzip();
        Self { fields: fields.into(), children, valid: Valid::default() }
    }
}
impl Collect for Structs {
    fn data_type(&self) -> DataType {
        DataType::Struct(self.fields.clone())
    }
    unsafe fn append(&mut self, vector: ffi::duckdb_vector, start: usize, len: usize) -> Result<()> {
        // SAFETY: a struct's vector has a child for each field, as long as itself; fields of a NULL struct are not read.
        unsafe {
            let validity = Validity::of(vector, start);
            for (i, c) in self.children.iter_mut().enumerate() {
                let child = ffi::duckdb_struct_vector_get_child(vector, i as u64);
                for (run, valid) in validity.runs(len) {
                    if valid { c.append(child, start + run.start, run.len())? } else { c.append_nulls(run.len()) }
                }
            }
            self.valid.append(validity, len);
        }
        Ok(())
    }
    fn append_nulls(&mut self, len: usize) {
        self.children.iter_mut().for_each(|c| c.append_nulls(len));
        self.valid.append_nulls(len);
    }
    fn finish(&mut self) -> Result<ArrayRef> {
        let children = self.children.iter_mut().map(|c| c.finish()).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new(self.fields.clone(), children, self.valid.finish())?))
    }
    fn bytes(&self) -> usize {
        self.children.iter().map(|c| c.bytes()).sum()
    }
}
