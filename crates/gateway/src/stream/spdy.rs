//! SPDY/3.1 as it passes by: where frames begin, and which stream carries errors, so that a last word
//! can be said there. Bytes are never changed (SPDY draft 3.1, sections 2.2, 2.6; Kubernetes' use of
//! it: `k8s.io/apimachinery/pkg/util/httpstream/spdy`).

mod headers;

use self::headers::HeaderBlocks;

/// Streams with errors that are remembered: one per exec, one per connection of a port-forward.
const ERROR_STREAMS: usize = 64;
/// Longest header frame that is looked into, in bytes; spdystream's own headers have about 100.
const HEADER_FRAME: usize = 16 * 1024;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const HEADERS: u16 = 8;

/// What passes by is not SPDY/3.1, or abuses it. The stream must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Follows both directions of one connection.
pub struct Follower {
    client: Frames,
    server: Frames,
    blocks: HeaderBlocks,
    error_streams: Vec<u32>,
    /// Whether errors are a `Status` (v4 on) or plain text.
    structured: bool,
}

impl Follower {
    /// Of a connection on which `subprotocol` was agreed.
    pub fn new(subprotocol: &str) -> Self {
        Self {
            client: Frames::default(),
            server: Frames::default(),
            blocks: HeaderBlocks::new(),
            error_streams: Vec::new(),
            structured: matches!(subprotocol, "v4.channel.k8s.io" | "v5.channel.k8s.io"),
        }
    }

    /// Looks at bytes from the client.
    ///
    /// # Errors
    /// [`Malformed`]: the stream must end.
    pub fn saw_client(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Self {
            client,
            blocks,
            error_streams,
            ..
        } = self;
        client.observe(bytes, &mut |frame| match frame.kind {
            SYN_STREAM | SYN_REPLY | HEADERS => note_stream(frame, blocks, error_streams),
            RST_STREAM => {
                error_streams.retain(|id| *id != frame.stream());
                Ok(())
            }
            _ => Ok(()),
        })
    }

    /// Looks at bytes from the server.
    ///
    /// # Errors
    /// [`Malformed`]: the stream must end.
    pub fn saw_server(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.server.observe(bytes, &mut |_| Ok(()))
    }

    /// Whether a whole frame may be put in towards the client.
    pub fn at_boundary(&self) -> bool {
        self.server.at_boundary()
    }

    /// Bytes from the server until the next place where a frame might begin.
    pub fn remaining(&self) -> u64 {
        self.server.remaining()
    }

    /// The last frames to the client: the reason on every error stream, then GOAWAY.
    pub fn farewell(&self, status: &[u8], why: &str) -> Vec<u8> {
        let text = format!("kubestile ended this stream: {why}");
        let payload = if self.structured {
            status
        } else {
            text.as_bytes()
        };
        let payload = payload
            .get(..payload.len().min(0xff_ffff))
            .unwrap_or_default();
        let mut out = Vec::new();
        for id in &self.error_streams {
            out.extend_from_slice(&id.to_be_bytes());
            // FLAG_FIN in the top byte, the length in the other three.
            let length = u32::try_from(payload.len()).unwrap_or(0) | 0x0100_0000;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(payload);
        }
        let last = self.error_streams.iter().max().copied().unwrap_or(0);
        out.extend_from_slice(&[0x80, 3, 0, 7, 0, 0, 0, 8]);
        out.extend_from_slice(&last.to_be_bytes());
        out.extend_from_slice(&0u32.to_be_bytes());
        out
    }
}

/// Reads the headers of a stream, which keeps the shared compression in step, and remembers it if it
/// carries errors.
fn note_stream(
    frame: &Control,
    blocks: &mut HeaderBlocks,
    error_streams: &mut Vec<u32>,
) -> Result<(), Malformed> {
    // SYN_STREAM has an associated stream, priority and slot before the headers; the others do not.
    let skip = if frame.kind == SYN_STREAM { 10 } else { 4 };
    let block = frame
        .payload
        .get(skip..)
        .ok_or(Malformed("a SPDY frame is too short"))?;
    let pairs = blocks.read(block)?;
    let carries_errors =
        frame.kind == SYN_STREAM && pairs.iter().any(|(k, v)| k == "streamtype" && v == "error");
    if carries_errors && error_streams.len() < ERROR_STREAMS {
        error_streams.push(frame.stream());
    }
    Ok(())
}

/// A control frame with its payload, as far as it is looked into.
struct Control {
    kind: u16,
    payload: Vec<u8>,
}

impl Control {
    /// The stream that the frame is about: the first four bytes of its payload, without the top bit.
    fn stream(&self) -> u32 {
        match self.payload.first_chunk::<4>() {
            Some(id) => u32::from_be_bytes(*id) & 0x7fff_ffff,
            None => 0,
        }
    }
}

/// The frames of one direction.
#[derive(Default)]
struct Frames {
    head: [u8; 8],
    have: usize,
    left: u64,
    open: Option<Control>,
}

impl Frames {
    fn at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    fn remaining(&self) -> u64 {
        if self.left > 0 {
            self.left
        } else {
            8 - self.have as u64
        }
    }

    fn observe(
        &mut self,
        mut bytes: &[u8],
        see: &mut dyn FnMut(&Control) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let (payload, rest) = bytes.split_at(n);
                if let Some(control) = &mut self.open {
                    control.payload.extend_from_slice(payload);
                }
                self.left -= n as u64;
                bytes = rest;
            } else {
                let Some((first, rest)) = bytes.split_first() else {
                    break;
                };
                if let Some(slot) = self.head.get_mut(self.have) {
                    *slot = *first;
                }
                self.have += 1;
                bytes = rest;
                if self.have < 8 {
                    continue;
                }
                self.have = 0;
                self.begin()?;
            }
            if self.left == 0
                && self.have == 0
                && let Some(control) = self.open.take()
            {
                see(&control)?;
            }
        }
        Ok(())
    }

    /// A frame's head is complete.
    fn begin(&mut self) -> Result<(), Malformed> {
        let [a, b, c, d, _flags, x, y, z] = self.head;
        self.left = u64::from(u32::from_be_bytes([0, x, y, z]));
        if a & 0x80 == 0 {
            return Ok(());
        }
        if u16::from_be_bytes([a & 0x7f, b]) != 3 {
            return Err(Malformed("a SPDY frame is not of version 3"));
        }
        let kind = u16::from_be_bytes([c, d]);
        if !(1..=9).contains(&kind) {
            return Err(Malformed("a SPDY frame is of an unknown kind"));
        }
        if self.left > HEADER_FRAME as u64 {
            return Err(Malformed("a SPDY control frame is too long"));
        }
        self.open = Some(Control {
            kind,
            payload: Vec::new(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
