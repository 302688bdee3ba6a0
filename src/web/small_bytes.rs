//! Header values and short bodies, cut from a buffer that a thread fills from front to back: so most of them need no allocation
//! of their own.
//!
//! A value keeps its whole buffer in memory until the response is sent, hence a buffer of one page.

use std::cell::RefCell;

use axum::body::Bytes;
use axum::http::HeaderValue;
use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Bytes of a buffer: those of about 20 answers.
const BUFFER: usize = 4096;
/// A buffer with less room than this is left, so that what is written next fits without a copy.
const ROOM: usize = 512;

thread_local! {
    static CURRENT: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

fn cut(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    CURRENT.with_borrow_mut(|buffer| {
        if buffer.capacity() < ROOM {
            *buffer = BytesMut::with_capacity(BUFFER);
        }
        write(buffer);
        buffer.split().freeze()
    })
}

/// A header's value of visible ASCII, such as an id.
pub(super) fn header(ascii: &[u8]) -> HeaderValue {
    HeaderValue::from_maybe_shared(cut(|buffer| buffer.extend_from_slice(ascii))).expect("visible ASCII")
}

/// A number as a header's value.
pub(super) fn number(number: impl itoa::Integer) -> HeaderValue {
    header(itoa::Buffer::new().format(number).as_bytes())
}

/// A value of some hundred bytes as JSON.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    cut(|buffer| serde_json::to_writer(buffer.writer(), value).expect("strings, numbers, booleans and null only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written_whatever_follows() {
        let long = "x".repeat(3 * BUFFER);
        let values: Vec<_> = (0..2000_u32).map(|n| (number(n), json(&[n]))).collect();
        assert_eq!(json(&long).len(), long.len() + 2);
        for (n, (value, body)) in values.iter().enumerate() {
            assert_eq!((value.as_bytes(), &body[..]), (n.to_string().as_bytes(), format!("[{n}]").as_bytes()));
        }
    }
}
