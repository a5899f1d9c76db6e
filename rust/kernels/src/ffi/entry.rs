//! The C function of a handler: the answer to XLA's question about versions, then the call, with panics caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use super::call::Call;
use crate::c_api::{
    API_MAJOR, API_MINOR, Api, CallFrame, EXTENSION_METADATA, MetadataExtension, OpaqueError,
    STAGE_EXECUTE,
};
use crate::error::Error;

/// What XLA can call.
pub trait Handler {
    /// Without the prefix and the ABI number that Python adds.
    const NAME: &'static str;

    /// Reads the operands and fills the results.
    ///
    /// # Errors
    /// An operand, result or attribute that is not as the handler says.
    fn run(call: &Call<'_>) -> Result<(), Error>;
}

/// The address that XLA calls for `H`.
///
/// # Safety
/// `frame` is null or XLA's, of API major version 0, and valid during the call.
pub unsafe extern "C" fn entry<H: Handler>(frame: *mut CallFrame) -> *mut OpaqueError {
    // SAFETY: the caller's promise; null is no frame.
    let Some(frame) = (unsafe { frame.as_ref() }) else {
        return null_mut();
    };
    if answers_metadata(frame) || frame.stage != STAGE_EXECUTE {
        return null_mut();
    }
    // SAFETY: XLA's table outlives all calls; a frame without one cannot even be told an error.
    let Some(api) = (unsafe { frame.api.as_ref() }) else {
        return null_mut();
    };
    let run = || check_version(frame, api).and_then(|()| H::run(&Call::new(frame, api)));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => null_mut(),
        Ok(Err(error)) => error.into_xla(api),
        Err(panic) => Error::internal(format!(
            "{} panicked: {}",
            H::NAME,
            panic_text(panic.as_ref())
        ))
        .into_xla(api),
    }
}

/// Whether the frame is a question about the version, which is answered.
fn answers_metadata(frame: &CallFrame) -> bool {
    // SAFETY: null, or the frame's first extension.
    let Some(extension) = (unsafe { frame.extension_start.as_ref() }) else {
        return false;
    };
    if extension.kind != EXTENSION_METADATA {
        return false;
    }
    // SAFETY: the kind says that the extension is a question about metadata, whose answer has a place.
    if let Some(metadata) = unsafe {
        (*frame.extension_start.cast::<MetadataExtension>())
            .metadata
            .as_mut()
    } {
        metadata.api_version.major_version = API_MAJOR;
        metadata.api_version.minor_version = API_MINOR;
        metadata.traits = 0;
    }
    true
}

fn check_version(frame: &CallFrame, api: &Api) -> Result<(), Error> {
    let version = &api.api_version;
    if version.major_version != API_MAJOR || version.minor_version < API_MINOR {
        let (major, minor) = (version.major_version, version.minor_version);
        return Err(Error::internal(format!(
            "XLA's FFI is of version {major}.{minor}; these kernels are written for {API_MAJOR}.{API_MINOR}"
        )));
    }
    if frame.struct_size < size_of::<CallFrame>() || api.struct_size < size_of::<Api>() {
        return Err(Error::internal(
            "XLA's FFI structs are shorter than these kernels expect",
        ));
    }
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
