//! Text that waits until it is certain what it is.

/// Reads what is held, as far as it is certain, and drops what was read. `read` is given all that is left and returns the
/// bytes that it used, as an error where it waits for more text.
pub(crate) fn read_held(held: &mut String, mut read: impl FnMut(&str) -> Result<usize, usize>) {
    let mut at = 0;
    while at < held.len() {
        match read(&held[at..]) {
            Ok(used) => at += used,
            Err(used) => {
                at += used;
                break;
            }
        }
    }
    held.drain(..at);
}
