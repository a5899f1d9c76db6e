//! Checked views of a call's operands, results and attributes.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ops::Range;

use crate::c_api::{
    ATTR_SCALAR, ATTR_STRING, Api, BUFFER, Buffer, Buffers, ByteSpan, CallFrame, Scalar,
};
use crate::error::Error;
use crate::number::{Bf16, F16};
use crate::share::Pool;

/// A type of numbers in a buffer.
///
/// # Safety
/// `DTYPE` is XLA's number for exactly this type, and every bit pattern is a value of it.
pub unsafe trait Element: Copy + Send + Sync {
    /// `XLA_FFI_DataType_…`.
    const DTYPE: c_int;
    /// As messages say it.
    const NAME: &'static str;
}

macro_rules! element {
    ($type:ty, $dtype:literal, $name:literal) => {
        // SAFETY: the number is that of xla_data.proto for this type, which has no invalid values.
        unsafe impl Element for $type {
            const DTYPE: c_int = $dtype;
            const NAME: &'static str = $name;
        }
    };
}

element!(f32, 11, "float32");
element!(i32, 4, "int32");
element!(u8, 6, "uint8");
element!(Bf16, 16, "bfloat16");
element!(F16, 10, "float16");

/// The numbers of an operand and its sizes.
#[derive(Clone, Copy)]
pub struct Operand<'a, T> {
    /// Row by row.
    pub data: &'a [T],
    /// One for each axis.
    pub dims: &'a [usize],
}

/// The place of a result and its sizes.
pub struct ResultView<'a, T> {
    /// Row by row. Uninitialised memory of XLA's, or, where it is aliased, the operand's numbers.
    pub data: &'a mut [T],
    /// One for each axis.
    pub dims: &'a [usize],
}

/// One call of a handler.
pub struct Call<'a> {
    frame: &'a CallFrame,
    api: &'a Api,
    /// A bit for each result that has been handed out.
    taken: Cell<u64>,
}

impl<'a> Call<'a> {
    pub(super) fn new(frame: &'a CallFrame, api: &'a Api) -> Self {
        Self {
            frame,
            api,
            taken: Cell::new(0),
        }
    }

    /// XLA's threads.
    #[must_use]
    pub fn pool(&self) -> Pool {
        Pool::of_xla(self.api, self.frame.context)
    }

    /// The number of operands.
    #[must_use]
    pub fn num_operands(&self) -> usize {
        usize::try_from(self.frame.args.size).unwrap_or(0)
    }

    /// The type of an operand, `XLA_FFI_DataType_…`.
    ///
    /// # Errors
    /// There is no operand of that number.
    pub fn operand_dtype(&self, index: usize, name: &str) -> Result<c_int, Error> {
        Ok(buffer(&self.frame.args, index, name)?.dtype)
    }

    /// The operand of a number.
    ///
    /// # Errors
    /// It is not there, not of type `T`, not of one of the ranks, or it lies where a result lies (an aliased operand is
    /// read through its result).
    pub fn operand<T: Element>(
        &self,
        index: usize,
        name: &str,
        ranks: Range<usize>,
    ) -> Result<Operand<'a, T>, Error> {
        let (data, dims) = Self::checked::<T>(&self.frame.args, index, name, &ranks)?;
        for result in 0..self.frame.rets.size {
            let result = buffer(
                &self.frame.rets,
                usize::try_from(result).unwrap_or(0),
                "result",
            )?;
            if overlap(data.cast(), size_of::<T>() * product(dims, name)?, result)? {
                return Err(Error::invalid(format!(
                    "{name} lies in the memory of a result"
                )));
            }
        }
        // SAFETY: XLA gives an operand of that type and size, alive and unwritten during the call: no result of ours
        // lies there, as was just seen.
        let data = unsafe { slice(data, product(dims, name)?) };
        Ok(Operand { data, dims })
    }

    /// The result of a number; each is handed out once.
    ///
    /// # Errors
    /// It is not there, not of type `T`, not of one of the ranks, or was handed out before.
    pub fn result<T: Element>(
        &self,
        index: usize,
        name: &str,
        ranks: Range<usize>,
    ) -> Result<ResultView<'a, T>, Error> {
        let (data, dims) = Self::checked::<T>(&self.frame.rets, index, name, &ranks)?;
        let bit = u32::try_from(index)
            .ok()
            .and_then(|index| 1_u64.checked_shl(index))
            .unwrap_or(0);
        if bit == 0 || self.taken.get() & bit != 0 {
            return Err(Error::internal(format!("{name} was taken before")));
        }
        self.taken.set(self.taken.get() | bit);
        // SAFETY: XLA gives a place of that type and size for this call alone; results lie apart, this one is handed
        // out once, and no operand that lies there is.
        let data = unsafe { slice_mut(data.cast_mut(), product(dims, name)?) };
        Ok(ResultView { data, dims })
    }

    /// The result of a number, which holds an operand's numbers in the same memory.
    ///
    /// # Errors
    /// As `result`, or the operand lies elsewhere.
    pub fn aliased<T: Element>(
        &self,
        operand: usize,
        index: usize,
        name: &str,
        ranks: Range<usize>,
    ) -> Result<ResultView<'a, T>, Error> {
        let (data, dims) = Self::checked::<T>(&self.frame.args, operand, name, &ranks)?;
        let result = self.result::<T>(index, name, ranks)?;
        if result.data.as_ptr() != data || result.dims != dims {
            return Err(Error::invalid(format!(
                "{name} does not lie in the memory of its result"
            )));
        }
        Ok(result)
    }

    /// A text attribute.
    ///
    /// # Errors
    /// There is none of that name, or it is no UTF-8 text.
    pub fn text(&self, name: &str) -> Result<&'a str, Error> {
        let found = self.attribute(name, ATTR_STRING)?;
        // SAFETY: the type says that the attribute is a span of bytes, alive during the call.
        let bytes = unsafe { span(&*found.cast::<ByteSpan>()) };
        std::str::from_utf8(bytes).map_err(|_| Error::invalid(format!("{name} is no text")))
    }

    /// An int64 attribute.
    ///
    /// # Errors
    /// There is none of that name and type.
    pub fn int64(&self, name: &str) -> Result<i64, Error> {
        self.scalar(name, 5, "int64")
    }

    /// A float32 attribute.
    ///
    /// # Errors
    /// There is none of that name and type.
    pub fn float32(&self, name: &str) -> Result<f32, Error> {
        self.scalar(name, 11, "float32")
    }

    /// A bool attribute.
    ///
    /// # Errors
    /// There is none of that name and type.
    pub fn bool(&self, name: &str) -> Result<bool, Error> {
        Ok(self.scalar::<u8>(name, 1, "bool")? != 0)
    }

    fn scalar<T: Copy>(&self, name: &str, dtype: c_int, wanted: &str) -> Result<T, Error> {
        let found = self.attribute(name, ATTR_SCALAR)?;
        // SAFETY: the type says that the attribute is a scalar, alive during the call.
        let scalar = unsafe { &*found.cast::<Scalar>() };
        if scalar.dtype != dtype || scalar.value.is_null() {
            return Err(Error::invalid(format!("attribute {name} is not {wanted}")));
        }
        // SAFETY: the dtype says that a `T` lies there; unaligned reads need no promise about its place.
        Ok(unsafe { scalar.value.cast::<T>().read_unaligned() })
    }

    fn attribute(&self, name: &str, kind: c_int) -> Result<*const c_void, Error> {
        let attrs = &self.frame.attrs;
        for index in 0..usize::try_from(attrs.size).unwrap_or(0) {
            // SAFETY: XLA gives `size` names, types and attributes.
            let (own, own_kind, found) = unsafe {
                (
                    span(&**attrs.names.add(index)),
                    *attrs.types.add(index),
                    *attrs.attrs.add(index),
                )
            };
            if own == name.as_bytes() && own_kind == kind && !found.is_null() {
                return Ok(found);
            }
        }
        Err(Error::invalid(format!(
            "attribute {name} is missing or of another type"
        )))
    }

    fn checked<T: Element>(
        buffers: &'a Buffers,
        index: usize,
        name: &str,
        ranks: &Range<usize>,
    ) -> Result<(*const T, &'a [usize]), Error> {
        let found = buffer(buffers, index, name)?;
        if found.dtype != T::DTYPE {
            let dtype = found.dtype;
            return Err(Error::invalid(format!(
                "{name} is of type {dtype}, not {} ({})",
                T::DTYPE,
                T::NAME
            )));
        }
        let dims = dims(found, name)?;
        if !ranks.contains(&dims.len()) {
            return Err(Error::invalid(format!(
                "{name} has {} axes, not {ranks:?}",
                dims.len()
            )));
        }
        if !found.data.cast::<T>().is_aligned() {
            return Err(Error::invalid(format!(
                "{name} does not begin at a multiple of its numbers' size"
            )));
        }
        Ok((found.data.cast_const().cast(), dims))
    }
}

/// Whether `len` bytes from `data` lie in the memory of `other`, partly or all.
fn overlap(data: *const u8, len: usize, other: &Buffer) -> Result<bool, Error> {
    let dims = dims(other, "result")?;
    let other_len = product(dims, "result")?.saturating_mul(bytes_of(other.dtype));
    let (start, other_start) = (data as usize, other.data as usize);
    Ok(len > 0 && other_len > 0 && start < other_start + other_len && other_start < start + len)
}

/// Bytes of a number of that type, at least; what we have no name for counts as one.
fn bytes_of(dtype: c_int) -> usize {
    match dtype {
        10 | 16 => 2,
        4 | 8 | 11 => 4,
        5 | 9 | 12 => 8,
        _ => 1,
    }
}

fn buffer<'a>(buffers: &'a Buffers, index: usize, name: &str) -> Result<&'a Buffer, Error> {
    if index >= usize::try_from(buffers.size).unwrap_or(0) {
        return Err(Error::invalid(format!("{name} is missing")));
    }
    // SAFETY: XLA gives `size` types and buffers, alive during the call.
    let found = unsafe {
        if *buffers.types.add(index) == BUFFER {
            (*buffers.buffers.add(index)).as_ref()
        } else {
            None
        }
    };
    let found = found.ok_or_else(|| Error::invalid(format!("{name} is no array")))?;
    if found.struct_size < size_of::<Buffer>() {
        return Err(Error::internal(format!(
            "XLA's description of {name} is shorter than expected"
        )));
    }
    Ok(found)
}

fn dims<'a>(buffer: &'a Buffer, name: &str) -> Result<&'a [usize], Error> {
    let rank =
        usize::try_from(buffer.rank).map_err(|_| Error::invalid(format!("{name} has no rank")))?;
    // SAFETY: XLA gives `rank` sizes, alive during the call.
    let dims: &[i64] = unsafe { slice(buffer.dims.cast_const(), rank) };
    if size_of::<usize>() != size_of::<i64>() || dims.iter().any(|&size| size < 0) {
        return Err(Error::invalid(format!("{name} has no sizes")));
    }
    // SAFETY: no size is negative, and both types are 64 bits wide.
    Ok(unsafe { slice(buffer.dims.cast_const().cast::<usize>(), rank) })
}

fn product(dims: &[usize], name: &str) -> Result<usize, Error> {
    let count = dims
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size));
    count
        .filter(|&count| count < isize::MAX as usize / 16)
        .ok_or_else(|| Error::invalid(format!("{name} is too large")))
}

/// # Safety
/// The span is XLA's, alive for `'a`.
unsafe fn span<'a>(span: &ByteSpan) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { slice(span.ptr, span.len) }
}

/// `std::slice::from_raw_parts`, where nothing may lie at null.
///
/// # Safety
/// As there.
unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// # Safety
/// As `std::slice::from_raw_parts_mut`, but nothing may lie at null.
unsafe fn slice_mut<'a, T>(data: *mut T, len: usize) -> &'a mut [T] {
    if len == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(data, len) }
}
