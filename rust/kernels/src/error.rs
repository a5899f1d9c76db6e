//! What a call that cannot be done says.

use std::ffi::{CString, c_int};
use std::fmt;

use crate::c_api::{Api, ErrorCreateArgs, OpaqueError};

/// A refusal, as XLA tells it: `INVALID_ARGUMENT: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: c_int,
    message: String,
}

impl Error {
    /// `INVALID_ARGUMENT`: an operand, a result or an attribute is not what the handler expects.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: 3,
            message: message.into(),
        }
    }

    /// INTERNAL: a panic, or XLA refused a call of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            code: 13,
            message: message.into(),
        }
    }

    /// The error as XLA's own, which XLA destroys.
    pub(crate) fn into_xla(self, api: &Api) -> *mut OpaqueError {
        let message = CString::new(self.message.replace('\0', " ")).unwrap_or_default();
        let mut args = ErrorCreateArgs {
            struct_size: size_of::<ErrorCreateArgs>(),
            extension_start: std::ptr::null_mut(),
            message: message.as_ptr(),
            code: self.code,
        };
        // SAFETY: `api` is XLA's table, `args` is as its header says, and XLA copies the message.
        unsafe { (api.error_create)(&raw mut args) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
