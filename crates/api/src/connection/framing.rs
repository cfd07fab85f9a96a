/// The length of a request's body (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// A number of bytes.
    Known(u64),
    /// Up to the last chunk and its trailer.
    Chunked,
    /// All following bytes, because the protocol changes.
    Unbounded,
}

/// Finds the boundaries of the requests on a connection, so that the server reads no byte of a request
/// before the response to the previous one has been written.
///
/// actix-http would parse all requests that arrive in one read, up to 128 KiB. Each takes 7 KB once it is
/// parsed, regardless of its length.
///
/// If this scanner and actix-http disagree about malformed bytes, the connection waits for its deadline;
/// the parser of actix-http decides what the bytes mean.
#[derive(Debug)]
pub(super) struct Framing(Part);

#[derive(Debug)]
enum Part {
    Head(HeadScan),
    /// The head is complete; the application has not been called yet.
    Parsed,
    Body {
        rest: Body,
        is_answered: bool,
    },
    /// The body is complete, the response is not.
    Serving,
}

#[derive(Debug)]
enum Body {
    Known(u64),
    Chunked(ChunkScan),
    Unbounded,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self(Part::Head(HeadScan::default()))
    }

    /// The application was called for a request with the given body.
    pub(super) fn begin(&mut self, body: BodyLength) {
        let rest = match body {
            BodyLength::Known(0) => {
                self.0 = Part::Serving;
                return;
            }
            BodyLength::Known(length) => Body::Known(length),
            BodyLength::Chunked => Body::Chunked(ChunkScan::default()),
            BodyLength::Unbounded => Body::Unbounded,
        };
        self.0 = Part::Body {
            rest,
            is_answered: false,
        };
    }

    /// The response has been written.
    pub(super) fn end(&mut self) {
        match &mut self.0 {
            // The server discards the rest of the body as it arrives.
            Part::Body { is_answered, .. } => *is_answered = true,
            part => *part = Part::Head(HeadScan::default()),
        }
    }

    /// Whether the server may read bytes.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.0, Part::Head(_) | Part::Body { .. })
    }

    /// Passes bytes from the front of `bytes` and returns how many the server may read now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        match &mut self.0 {
            Part::Head(scan) => {
                let (passed, is_complete) = scan.pass(bytes);
                if is_complete {
                    self.0 = Part::Parsed;
                }
                passed
            }
            Part::Parsed | Part::Serving => 0,
            Part::Body { rest, is_answered } => {
                let (passed, is_complete) = rest.pass(bytes);
                if is_complete {
                    self.0 = if *is_answered {
                        Part::Head(HeadScan::default())
                    } else {
                        Part::Serving
                    };
                }
                passed
            }
        }
    }
}

impl Body {
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Unbounded => (bytes.len(), false),
            Self::Chunked(scan) => scan.pass(bytes),
            Self::Known(rest) => {
                let passed = usize::try_from(*rest).unwrap_or(usize::MAX);
                let passed = passed.min(bytes.len());
                *rest -= passed as u64;
                (passed, *rest == 0)
            }
        }
    }
}

/// Finds the empty line that ends a block of lines. A line ends with LF, optionally preceded by CR.
#[derive(Debug, Default)]
struct LineScan {
    has_text: bool,
}

impl LineScan {
    /// Whether `byte` ends an empty line.
    fn ends_empty_line(&mut self, byte: u8) -> bool {
        match byte {
            b'\n' => !std::mem::replace(&mut self.has_text, false),
            b'\r' => false,
            _ => {
                self.has_text = true;
                false
            }
        }
    }
}

/// Finds the end of a request head. Empty lines before the request line belong to it.
#[derive(Debug, Default)]
struct HeadScan {
    has_begun: bool,
    lines: LineScan,
}

impl HeadScan {
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (index, byte) in bytes.iter().enumerate() {
            let is_empty_line = self.lines.ends_empty_line(*byte);
            if is_empty_line && self.has_begun {
                return (index + 1, true);
            }
            self.has_begun |= self.lines.has_text;
        }
        (bytes.len(), false)
    }
}

/// Finds the end of a chunked body (RFC 9112, section 7.1).
#[derive(Debug)]
enum ChunkScan {
    /// A line with the size of a chunk; extensions are skipped.
    Size { size: u64, in_extension: bool },
    /// The bytes of a chunk and their line end.
    Data { rest: u64 },
    /// The trailer after the last chunk.
    Trailer(LineScan),
}

impl Default for ChunkScan {
    fn default() -> Self {
        Self::Size {
            size: 0,
            in_extension: false,
        }
    }
}

impl ChunkScan {
    /// The line end after the bytes of a chunk.
    const LINE_END: u64 = 2;

    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut passed = 0;
        while let Some(byte) = bytes.get(passed) {
            match self {
                Self::Data { rest } => {
                    let left = (bytes.len() - passed) as u64;
                    let skipped = (*rest).min(left);
                    *rest -= skipped;
                    passed += usize::try_from(skipped).unwrap_or(usize::MAX);
                    if *rest == 0 {
                        *self = Self::default();
                    }
                    continue;
                }
                Self::Trailer(lines) => {
                    if lines.ends_empty_line(*byte) {
                        return (passed + 1, true);
                    }
                }
                Self::Size { size: 0, .. } if *byte == b'\n' => {
                    *self = Self::Trailer(LineScan::default());
                }
                Self::Size { size, .. } if *byte == b'\n' => {
                    *self = Self::Data {
                        rest: size.saturating_add(Self::LINE_END),
                    };
                }
                Self::Size { size, in_extension } => match char::from(*byte).to_digit(16) {
                    Some(digit) if !*in_extension => {
                        *size = size.saturating_mul(16).saturating_add(digit.into());
                    }
                    _ => *in_extension = true,
                },
            }
            passed += 1;
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers `bytes` in chunks of every size and returns how many pass.
    fn passed(begin: impl Fn() -> Framing, bytes: &[u8]) -> usize {
        let mut results: Vec<usize> = (1..=bytes.len())
            .map(|size| {
                let mut framing = begin();
                bytes.chunks(size).map(|chunk| framing.pass(chunk)).sum()
            })
            .collect();
        results.dedup();
        assert_eq!(results.len(), 1, "{results:?}");
        results[0]
    }

    fn body(length: BodyLength) -> Framing {
        let mut framing = Framing::new();
        framing.begin(length);
        framing
    }

    #[test]
    fn passes_a_head_up_to_its_end() {
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "\r\n\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let bytes = format!("{head}GET /next HTTP/1.1\r\n\r\n");
            assert_eq!(
                passed(Framing::new, bytes.as_bytes()),
                head.len(),
                "{head:?}"
            );
        }
        let unfinished = b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n";
        assert_eq!(passed(Framing::new, unfinished), unfinished.len());
    }

    #[test]
    fn passes_a_body_up_to_its_end() {
        for (length, text) in [
            (BodyLength::Known(0), ""),
            (BodyLength::Known(5), "hello"),
            (BodyLength::Chunked, "0\r\n\r\n"),
            (BodyLength::Chunked, "5\r\nhello\r\n0\r\n\r\n"),
            (
                BodyLength::Chunked,
                "A;x=\"1\"\r\n0\r\n\r\n01234\r\n0\r\n\r\n",
            ),
            (BodyLength::Chunked, "000\r\nTrailer: a\r\nOther: b\r\n\r\n"),
            (BodyLength::Chunked, "5;0\r\n\n\n\n\n\n\r\n0;1\n\n"),
        ] {
            let bytes = format!("{text}GET / HTTP/1.1\r\n\r\n");
            let passed = passed(|| body(length), bytes.as_bytes());
            assert_eq!(passed, text.len(), "{text:?}");
        }
        let frames = b"GET / HTTP/1.1\r\n\r\n";
        assert_eq!(passed(|| body(BodyLength::Unbounded), frames), frames.len());
        let long = b"FFFFFFFFFFFFFFFFFF\r\n0\r\n\r\n0\r\n\r\n";
        assert_eq!(passed(|| body(BodyLength::Chunked), long), long.len());
    }

    #[test]
    fn passes_the_next_head_after_the_response() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        let mut framing = Framing::new();
        assert_eq!(framing.pass(head), head.len());
        assert!(!framing.is_open());
        framing.begin(BodyLength::Known(2));
        assert_eq!(framing.pass(b"hiGET"), 2);
        assert_eq!(framing.pass(b"GET"), 0);
        assert!(!framing.is_open());
        framing.end();
        assert_eq!(framing.pass(head), head.len());
    }

    #[test]
    fn passes_the_rest_of_a_body_after_an_early_response() {
        let mut framing = body(BodyLength::Known(4));
        framing.end();
        assert_eq!(framing.pass(b"bodyGET / HTTP/1.1\r\n\r\n"), 4);
        assert!(framing.is_open());
        assert_eq!(framing.pass(b"GET"), 3);
    }
}
