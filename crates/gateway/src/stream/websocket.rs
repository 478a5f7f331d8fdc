//! WebSocket as it passes by: where frames begin, so that a last word can be said between two of
//! them. Bytes are never changed (RFC 6455; channels of `v4`/`v5.channel.k8s.io`: KEP-4006).

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    /// Header bytes of the frame that is beginning.
    head: [u8; 14],
    have: usize,
    /// Payload bytes of the current frame still to come.
    left: u64,
    /// Whether a fragmented message is open.
    fragmented: bool,
    /// Whether what passed by is not WebSocket; nothing more is said about it then.
    broken: bool,
}

impl Frames {
    /// Looks at more bytes.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.broken {
            if self.left > 0 {
                let skip = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= skip as u64;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = *first;
                self.have += 1;
            }
            if self.have >= self.head_len() {
                self.begin_payload();
            }
        }
    }

    /// Whether a whole message may be put in here.
    pub fn at_boundary(&self) -> bool {
        !self.broken && self.have == 0 && self.left == 0 && !self.fragmented
    }

    /// Bytes until the next place where a frame might begin.
    pub fn remaining(&self) -> u64 {
        if self.left > 0 {
            self.left
        } else {
            (self.head_len() - self.have) as u64
        }
    }

    /// Length of the header, as far as its bytes so far tell.
    fn head_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let [_, second, ..] = self.head;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if second & 0x80 != 0 { 4 } else { 0 }
    }

    fn begin_payload(&mut self) {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        self.left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        // RSV bits would mean an extension, and none is ever negotiated.
        let control = opcode >= 8;
        self.broken = first & 0x70 != 0
            || self.left > i64::MAX as u64
            || (control && (!fin || self.left > 125));
        if !control {
            self.fragmented = !fin;
        }
        self.have = 0;
    }
}

/// How a stream says that it failed, by its subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorChannel {
    /// Binary messages, channel 3, a `Status` (v4, v5) or text (before).
    Binary,
    /// Text messages: the channel as a digit, then base64.
    Base64,
    /// None: only the close frame tells.
    Nowhere,
}

impl ErrorChannel {
    /// Of a negotiated subprotocol.
    pub fn of(subprotocol: &str) -> Self {
        match subprotocol {
            "v5.channel.k8s.io" | "v4.channel.k8s.io" | "channel.k8s.io" => Self::Binary,
            "v4.base64.channel.k8s.io" | "base64.channel.k8s.io" => Self::Base64,
            _ => Self::Nowhere,
        }
    }
}

/// The last messages to a client: the status on the error channel, then a close frame.
pub fn farewell(channel: ErrorChannel, status: &[u8], why: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(status.len() + 160);
    match channel {
        ErrorChannel::Binary => {
            let mut message = vec![3];
            message.extend_from_slice(status);
            frame(0x82, &message, &mut out);
        }
        ErrorChannel::Base64 => {
            use base64::Engine;
            let mut message = b"3".to_vec();
            let text = base64::engine::general_purpose::STANDARD.encode(status);
            message.extend_from_slice(text.as_bytes());
            frame(0x81, &message, &mut out);
        }
        ErrorChannel::Nowhere => {}
    }
    // 1000 where the status has told why, 1008 (policy violation) where only this frame does.
    let code: u16 = if channel == ErrorChannel::Nowhere {
        1008
    } else {
        1000
    };
    let mut close = code.to_be_bytes().to_vec();
    let reason: String = why.chars().filter(char::is_ascii).take(120).collect();
    close.extend_from_slice(reason.as_bytes());
    frame(0x88, &close, &mut out);
    out
}

/// One unmasked frame, as servers send them.
fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        short @ 0..=125 => out.push(u8::try_from(short).unwrap_or(125)),
        medium @ 126..=65_535 => {
            out.push(126);
            out.extend_from_slice(&u16::try_from(medium).unwrap_or(u16::MAX).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        frame(0x82, b"hello", &mut bytes);
        frame(0x82, &[7; 300], &mut bytes);
        frame(0x02, b"part", &mut bytes);
        let open = bytes.len();
        frame(0x89, b"ping", &mut bytes);
        frame(0x80, &[0; 70_000], &mut bytes);
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut frames = Frames::default();
            for chunk in bytes.chunks(step) {
                frames.observe(chunk);
            }
            assert!(frames.at_boundary(), "step {step}");
            let mut frames = Frames::default();
            frames.observe(&bytes[..open]);
            assert!(!frames.at_boundary(), "a fragmented message is open");
        }
    }

    #[test]
    fn what_is_not_websocket_has_no_boundaries() {
        let mut frames = Frames::default();
        frames.observe(b"HTTP/1.1 200 OK\r\n\r\n");
        assert!(!frames.at_boundary());
    }

    #[test]
    fn the_farewell_is_status_then_close() {
        let bytes = farewell(ErrorChannel::Binary, b"{}", "over");
        assert_eq!(bytes, b"\x82\x03\x03{}\x88\x06\x03\xe8over");
        let mut frames = Frames::default();
        frames.observe(&farewell(
            ErrorChannel::Base64,
            &[b'x'; 400],
            &"y".repeat(400),
        ));
        assert!(frames.at_boundary());
    }
}
