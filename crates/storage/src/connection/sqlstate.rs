//! Parses the SQLSTATE of errors from the messages of the server.
//!
//! diesel drops most SQLSTATEs and keeps only the message, which is localized. This module parses the
//! messages on the socket, whose format has not changed since PostgreSQL 7.4: one byte of type, four bytes
//! of length including themselves, and a body. The body of an `ErrorResponse` is a list of fields, each one
//! byte of type and a zero-terminated text.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};
use tokio_util::either::Either;

use super::tls::Stream;

const HEADER: usize = 5;
const ERROR_RESPONSE: u8 = b'E';
const CODE_FIELD: u8 = b'C';
/// The part of the body that contains the code, which follows the localized and the English severity.
const CODE_IS_WITHIN: usize = 256;

/// The SQLSTATE of the first error since the last [`clear`](LastError::clear). Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct LastError(Arc<AtomicU64>);

impl LastError {
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Returns the five characters, if there was an error.
    pub(super) fn code(&self) -> Option<String> {
        let [_, _, _, code @ ..] = self.0.load(Ordering::Acquire).to_be_bytes();
        code.is_ascii()
            .then(|| String::from_utf8_lossy(&code).into_owned())
            .filter(|code| !code.starts_with('\0'))
    }

    fn record(&self, code: [u8; 5]) {
        let packed = code
            .iter()
            .fold(0, |packed, byte| (packed << u8::BITS) | u64::from(*byte));
        // Keeps the first error: a later one, such as the end of the connection, is not the cause.
        let _ = self
            .0
            .compare_exchange(0, packed, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Parses the frames of the server's messages.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    remaining: usize,
    /// The start of the body of an `ErrorResponse`.
    error: Option<Vec<u8>>,
    last_error: LastError,
}

impl Frames {
    fn parse(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = if self.remaining > 0 {
                self.remaining
            } else {
                HEADER - self.header.len()
            };
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.remaining > 0 {
                self.parse_body(part);
            } else {
                self.header.extend_from_slice(part);
                self.begin_body();
            }
        }
    }

    fn begin_body(&mut self) {
        let [kind, length @ ..] = self.header.as_slice() else {
            return;
        };
        let Ok(length) = <[u8; 4]>::try_from(length) else {
            return;
        };
        let body = (u32::from_be_bytes(length) as usize).saturating_sub(size_of::<u32>());
        self.remaining = body;
        self.error = (*kind == ERROR_RESPONSE).then(Vec::new);
        self.header.clear();
    }

    fn parse_body(&mut self, part: &[u8]) {
        self.remaining -= part.len();
        let Some(error) = &mut self.error else {
            return;
        };
        let room = CODE_IS_WITHIN.saturating_sub(error.len()).min(part.len());
        error.extend_from_slice(part.split_at(room).0);
        if self.remaining == 0 {
            if let Some(code) = code_of(error) {
                self.last_error.record(code);
            }
            self.error = None;
        }
    }
}

fn code_of(error: &[u8]) -> Option<[u8; 5]> {
    error
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[CODE_FIELD])?.try_into().ok())
}

/// A plain or encrypted stream whose errors are recorded.
pub(super) struct Observed {
    inner: Pin<Box<Stream>>,
    frames: Frames,
}

impl Observed {
    pub(super) fn new(inner: Stream) -> (Self, LastError) {
        let frames = Frames::default();
        let last_error = frames.last_error.clone();
        let inner = Box::pin(inner);
        (Self { inner, frames }, last_error)
    }
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.inner.as_mut().poll_read(context, buffer))?;
        if let Some(read) = buffer.filled().get(before..) {
            self.frames.parse(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Observed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_shutdown(context)
    }
}

impl TlsStream for Observed {
    fn channel_binding(&self) -> ChannelBinding {
        match &*self.inner {
            Either::Left(_) => ChannelBinding::none(),
            Either::Right(encrypted) => encrypted.channel_binding(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn error(code: &str) -> Vec<u8> {
        let body = format!("SFEHLER\0VERROR\0C{code}\0MC42P01 ist kein Code\0\0");
        message(b'E', body.as_bytes())
    }

    #[test]
    fn finds_the_code_in_reads_of_any_size() {
        let bytes = [
            message(b'Z', b"I"),
            message(b'n', b""),
            message(b'D', b"E\0\0\0\x10SERROR\0C00000\0"),
            error("55P03"),
            message(b'Z', b"E"),
        ]
        .concat();
        for chunk in 1..=bytes.len() {
            let mut frames = Frames::default();
            for part in bytes.chunks(chunk) {
                frames.parse(part);
            }
            assert_eq!(
                frames.last_error.code().as_deref(),
                Some("55P03"),
                "{chunk}"
            );
        }
    }

    #[test]
    fn keeps_the_first_code_until_it_is_cleared() {
        let mut frames = Frames::default();
        assert_eq!(frames.last_error.code(), None);
        frames.parse(&[error("42P01"), error("57P01")].concat());
        assert_eq!(frames.last_error.code().as_deref(), Some("42P01"));
        frames.last_error.clear();
        assert_eq!(frames.last_error.code(), None);
        frames.parse(&error("40P01"));
        assert_eq!(frames.last_error.code().as_deref(), Some("40P01"));
    }

    #[test]
    fn ignores_long_and_malformed_errors() {
        let mut frames = Frames::default();
        let long = format!("SERROR\0M{}\0C57014\0\0", "x".repeat(10_000));
        frames.parse(&message(b'E', long.as_bytes()));
        frames.parse(&message(b'E', b"Ctoolong\0C1\0"));
        assert_eq!(frames.last_error.code(), None);
        frames.parse(&error("57014"));
        assert_eq!(frames.last_error.code().as_deref(), Some("57014"));
    }
}
