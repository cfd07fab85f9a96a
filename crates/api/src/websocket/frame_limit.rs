use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload as RawPayload,
    error::PayloadError,
    web::{Bytes, Payload},
};
use futures_util::Stream;

/// The bytes of a client's frames, up to the first header that announces a payload above the limit.
///
/// The WebSocket codec of actix-http checks its limit only after it has buffered the whole frame, so a
/// header that announces 2^40 bytes makes it buffer everything that the client sends. This stream parses
/// the headers (RFC 6455, section 5.2) and ends with [`PayloadError::Overflow`] in place of the frame.
///
/// The codec also decodes all frames that are ready at once and does not shrink its buffer. Therefore the
/// stream yields after every [`BURST`] bytes.
pub(super) struct FrameLimit<S> {
    bytes: S,
    frames: Frames,
    /// Bytes that have arrived beyond the current burst.
    rest: Bytes,
    /// The length of the current burst so far.
    passed: usize,
}

/// The bytes after which the codec gets to decode its buffer.
const BURST: usize = 4 * 1024;

/// Limits the frames in `payload` to `limit` bytes of payload each.
pub(super) fn limit_frames(
    request: &HttpRequest,
    payload: Payload,
    limit: u64,
) -> impl Future<Output = Result<Payload, actix_web::Error>> + use<> {
    let limited = FrameLimit {
        bytes: payload,
        frames: Frames::new(limit),
        rest: Bytes::new(),
        passed: 0,
    };
    let mut raw: RawPayload = RawPayload::Stream {
        payload: Box::pin(limited),
    };
    Payload::from_request(request, &mut raw)
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for FrameLimit<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.passed >= BURST {
            self.passed = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            let Poll::Ready(next) = Pin::new(&mut self.bytes).poll_next(context) else {
                self.passed = 0;
                return Poll::Pending;
            };
            match next {
                Some(Ok(bytes)) => self.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(BURST - self.passed);
        let bytes = self.rest.split_to(length);
        self.passed += length;
        Poll::Ready(Some(self.frames.pass(&bytes).map(|()| bytes)))
    }
}

/// The position in a sequence of frames.
struct Frames {
    limit: u64,
    /// The bytes of the current header that have arrived; empty within a payload.
    header: Vec<u8>,
    /// The number of bytes of the current payload that have not arrived.
    payload: u64,
}

impl Frames {
    const LONGEST_HEADER: usize = 14;

    fn new(limit: u64) -> Self {
        Self {
            limit,
            header: Vec::with_capacity(Self::LONGEST_HEADER),
            payload: 0,
        }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), PayloadError> {
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX);
            let skipped = skipped.min(bytes.len());
            self.payload -= skipped as u64;
            let (_, rest) = bytes.split_at(skipped);
            let Some((byte, rest)) = rest.split_first() else {
                return Ok(());
            };
            self.header.push(*byte);
            bytes = rest;
            if let Some(length) = announced_length(&self.header) {
                if length > self.limit {
                    return Err(PayloadError::Overflow);
                }
                self.header.clear();
                self.payload = length;
            }
        }
    }
}

/// Returns the announced length of the payload if the header is complete.
fn announced_length(header: &[u8]) -> Option<u64> {
    let (_, rest) = header.split_first()?;
    let (second, rest) = rest.split_first()?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length, rest) = match second & 0x7F {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        length => (u64::from(length), rest),
    };
    (rest.len() == mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 70_000;

    /// Returns a masked binary frame with a payload of zeros.
    fn frame(length: u64) -> Vec<u8> {
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..=0xFFFF => {
                frame.push(0xFE);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0xFF);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.resize(frame.len() + usize::try_from(length).unwrap(), 0);
        frame
    }

    #[test]
    fn passes_frames_up_to_the_limit_in_chunks_of_any_size() {
        let lengths = [0, 1, 125, 126, 127, 0xFFFF, 0x1_0000, LIMIT, 0];
        let frames: Vec<u8> = lengths.into_iter().flat_map(frame).collect();
        for size in [1, 2, 3, 7, 4096, frames.len()] {
            let mut limit = Frames::new(LIMIT);
            for bytes in frames.chunks(size) {
                limit.pass(bytes).unwrap();
            }
            assert_eq!((limit.header.len(), limit.payload), (0, 0), "{size}");
        }
    }

    #[test]
    fn rejects_a_frame_above_the_limit_by_its_header() {
        for length in [LIMIT + 1, 1 << 40, u64::MAX] {
            let mut header = vec![0x82, 0xFF];
            header.extend(length.to_be_bytes());
            header.extend([1, 2, 3, 4]);
            let mut limit = Frames::new(LIMIT);
            limit.pass(&frame(5)).unwrap();
            let (last, first) = header.split_last().unwrap();
            limit.pass(first).unwrap();
            assert!(matches!(limit.pass(&[*last]), Err(PayloadError::Overflow)));
        }
        assert!(Frames::new(125).pass(&frame(125)).is_ok());
        assert!(Frames::new(125).pass(&frame(126)).is_err());
    }

    #[test]
    fn passes_frames_without_a_mask_to_the_codec() {
        let mut limit = Frames::new(10);
        limit.pass(&[0x82, 2, 0, 0, 0x82, 0x83]).unwrap();
        assert_eq!(limit.header, [0x82, 0x83]);
    }
}
