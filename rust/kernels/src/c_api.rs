//! The part of XLA's FFI C ABI that we use, field by field as in `xla/ffi/api/c_api.h` (API 0.3; 0.4 adds at the ends).
//!
//! Every struct says its size, so that a reader knows which fields are there: check it before a field that came late.

#![allow(missing_docs)] // the header's own comments say what each field is

use std::ffi::{c_char, c_int, c_void};

pub const API_MAJOR: c_int = 0;
pub const API_MINOR: c_int = 3;

/// `XLA_FFI_Extension_Metadata`: asks a handler which version it was written for.
pub const EXTENSION_METADATA: c_int = 1;
/// `XLA_FFI_ExecutionStage_EXECUTE`.
pub const STAGE_EXECUTE: c_int = 3;
/// `XLA_FFI_AttrType_SCALAR`, `XLA_FFI_AttrType_STRING`.
pub const ATTR_SCALAR: c_int = 3;
pub const ATTR_STRING: c_int = 4;
/// `XLA_FFI_ArgType_BUFFER` and `XLA_FFI_RetType_BUFFER`.
pub const BUFFER: c_int = 1;

/// `XLA_FFI_Error`, owned by XLA.
#[repr(C)]
pub struct OpaqueError {
    _private: [u8; 0],
}

/// `XLA_FFI_ExecutionContext`.
#[repr(C)]
pub struct ExecutionContext {
    _private: [u8; 0],
}

#[repr(C)]
pub struct ExtensionBase {
    pub struct_size: usize,
    pub kind: c_int,
    pub next: *mut ExtensionBase,
}

#[repr(C)]
pub struct ApiVersion {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub major_version: c_int,
    pub minor_version: c_int,
}

#[repr(C)]
pub struct Metadata {
    pub struct_size: usize,
    pub api_version: ApiVersion,
    pub traits: u32,
}

#[repr(C)]
pub struct MetadataExtension {
    pub base: ExtensionBase,
    pub metadata: *mut Metadata,
}

#[repr(C)]
pub struct ErrorCreateArgs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub message: *const c_char,
    pub code: c_int,
}

#[repr(C)]
pub struct ErrorDestroyArgs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub error: *mut OpaqueError,
}

pub type Task = unsafe extern "C" fn(data: *mut c_void);

#[repr(C)]
pub struct ScheduleArgs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub context: *mut ExecutionContext,
    pub task: Task,
    pub data: *mut c_void,
}

#[repr(C)]
pub struct NumThreadsArgs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub context: *mut ExecutionContext,
    pub num_threads: *mut i64,
}

type Unused = *const c_void;

/// `XLA_FFI_Api` up to the last function that we call.
#[repr(C)]
pub struct Api {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub api_version: ApiVersion,
    pub internal_api: *const c_void,
    pub error_create: unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut OpaqueError,
    pub error_get_message: Unused,
    pub error_destroy: unsafe extern "C" fn(*mut ErrorDestroyArgs),
    pub handler_register: Unused,
    pub stream_get: Unused,
    pub type_register: Unused,
    pub execution_context_get: Unused,
    pub state_set: Unused,
    pub state_get: Unused,
    pub device_memory_allocate: Unused,
    pub device_memory_free: Unused,
    pub thread_pool_schedule: unsafe extern "C" fn(*mut ScheduleArgs) -> *mut OpaqueError,
    pub thread_pool_num_threads: unsafe extern "C" fn(*mut NumThreadsArgs) -> *mut OpaqueError,
}

#[repr(C)]
pub struct Buffer {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub dtype: c_int,
    pub data: *mut c_void,
    pub rank: i64,
    pub dims: *mut i64,
}

/// `XLA_FFI_Args` and `XLA_FFI_Rets`, which lie alike.
#[repr(C)]
pub struct Buffers {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub size: i64,
    pub types: *const c_int,
    pub buffers: *const *const Buffer,
}

#[repr(C)]
pub struct ByteSpan {
    pub ptr: *const u8,
    pub len: usize,
}

#[repr(C)]
pub struct Scalar {
    pub dtype: c_int,
    pub value: *const c_void,
}

#[repr(C)]
pub struct Attrs {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub size: i64,
    pub types: *const c_int,
    pub names: *const *const ByteSpan,
    pub attrs: *const *const c_void,
}

/// `XLA_FFI_CallFrame` up to its attributes.
#[repr(C)]
pub struct CallFrame {
    pub struct_size: usize,
    pub extension_start: *mut ExtensionBase,
    pub api: *const Api,
    pub context: *mut ExecutionContext,
    pub stage: c_int,
    pub args: Buffers,
    pub rets: Buffers,
    pub attrs: Attrs,
}
