//! A caller as XLA is one, for tests: a frame of operands, results and text attributes, and a table of functions that
//! keeps the error's text.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};

use super::{Element, Handler, entry};
use crate::c_api::{
    API_MAJOR, API_MINOR, ATTR_STRING, Api, ApiVersion, Attrs, BUFFER, Buffer, Buffers, ByteSpan,
    CallFrame, ErrorCreateArgs, ErrorDestroyArgs, NumThreadsArgs, OpaqueError, STAGE_EXECUTE,
    ScheduleArgs,
};

thread_local! {
    static TOLD: RefCell<Option<(c_int, String)>> = const { RefCell::new(None) };
}

unsafe extern "C" fn create(args: *mut ErrorCreateArgs) -> *mut OpaqueError {
    // SAFETY: `Error::into_xla` gives a text that ends.
    let (code, message) = unsafe {
        (
            (*args).code,
            CStr::from_ptr((*args).message)
                .to_string_lossy()
                .into_owned(),
        )
    };
    TOLD.set(Some((code, message)));
    null_mut::<u8>().wrapping_add(8).cast()
}

unsafe extern "C" fn destroy(_: *mut ErrorDestroyArgs) {}

/// No thread helps.
unsafe extern "C" fn schedule(_: *mut ScheduleArgs) -> *mut OpaqueError {
    null_mut::<u8>().wrapping_add(8).cast()
}

unsafe extern "C" fn num_threads(args: *mut NumThreadsArgs) -> *mut OpaqueError {
    // SAFETY: `Pool::num_threads` gives a place.
    unsafe { *(*args).num_threads = 2 };
    null_mut()
}

/// A table of that version.
pub(crate) fn api(major_version: c_int, minor_version: c_int) -> Api {
    let api_version = ApiVersion {
        struct_size: size_of::<ApiVersion>(),
        extension_start: null_mut(),
        major_version,
        minor_version,
    };
    Api {
        struct_size: size_of::<Api>(),
        extension_start: null_mut(),
        api_version,
        internal_api: null(),
        error_create: create,
        error_get_message: null(),
        error_destroy: destroy,
        handler_register: null(),
        stream_get: null(),
        type_register: null(),
        execution_context_get: null(),
        state_set: null(),
        state_get: null(),
        device_memory_allocate: null(),
        device_memory_free: null(),
        thread_pool_schedule: schedule,
        thread_pool_num_threads: num_threads,
    }
}

/// An array for a frame.
pub(crate) struct Array {
    buffer: Buffer,
    _dims: Vec<i64>,
}

impl Array {
    /// Numbers that lie at `data`, as many as `dims` say.
    pub(crate) fn new<T: Element>(data: &mut [T], dims: &[i64]) -> Self {
        let mut owned = dims.to_vec();
        let buffer = Buffer {
            struct_size: size_of::<Buffer>(),
            extension_start: null_mut(),
            dtype: T::DTYPE,
            data: data.as_mut_ptr().cast(),
            rank: i64::try_from(dims.len()).unwrap(),
            dims: owned.as_mut_ptr(),
        };
        Self {
            buffer,
            _dims: owned,
        }
    }
}

/// What a handler says to a call, its code and text; None where it is done.
pub(crate) fn call<H: Handler>(
    api: &Api,
    operands: &[Array],
    results: &[Array],
    texts: &[(&str, &str)],
) -> Option<(c_int, String)> {
    let pointers = |arrays: &[Array]| {
        arrays
            .iter()
            .map(|array| &raw const array.buffer)
            .collect::<Vec<_>>()
    };
    let (operands, results) = (pointers(operands), pointers(results));
    let buffers = vec![BUFFER; operands.len().max(results.len())];
    let of = |arrays: &[*const Buffer]| Buffers {
        struct_size: size_of::<Buffers>(),
        extension_start: null_mut(),
        size: i64::try_from(arrays.len()).unwrap(),
        types: buffers.as_ptr(),
        buffers: arrays.as_ptr(),
    };
    let span = |text: &str| ByteSpan {
        ptr: text.as_ptr(),
        len: text.len(),
    };
    let (names, values): (Vec<_>, Vec<_>) = texts
        .iter()
        .map(|(name, value)| (span(name), span(value)))
        .unzip();
    let names: Vec<*const ByteSpan> = names.iter().map(|span| &raw const *span).collect();
    let values: Vec<*const c_void> = values
        .iter()
        .map(|span| (&raw const *span).cast())
        .collect();
    let kinds = vec![ATTR_STRING; texts.len()];
    let attrs = Attrs {
        struct_size: size_of::<Attrs>(),
        extension_start: null_mut(),
        size: i64::try_from(texts.len()).unwrap(),
        types: kinds.as_ptr(),
        names: names.as_ptr(),
        attrs: values.as_ptr(),
    };
    let mut frame = CallFrame {
        struct_size: size_of::<CallFrame>(),
        extension_start: null_mut(),
        api,
        context: null_mut(),
        stage: STAGE_EXECUTE,
        args: of(&operands),
        rets: of(&results),
        attrs,
    };
    // SAFETY: the frame and all that it points to live through the call.
    let error = unsafe { entry::<H>(&raw mut frame) };
    assert_eq!(
        error.is_null(),
        TOLD.with_borrow(Option::is_none),
        "an error comes with its text"
    );
    TOLD.take()
}

/// As this crate expects it.
pub(crate) fn our_api() -> Api {
    api(API_MAJOR, API_MINOR)
}
