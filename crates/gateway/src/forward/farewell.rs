//! The last word of a stream that is ended: in the stream's own format, and only where one of its
//! items may begin.

use http::{HeaderMap, header};
use kubestile_core::action::ActionKind;
use kubestile_core::ids::RequestId;
use kubestile_core::request_info::Verb;

use super::Judged;
use crate::refusal;
use crate::stream::over::Over;

/// How the client of a stream is told why it ends; follows the bytes that pass.
pub(super) enum Farewell {
    /// A JSON watch: an ERROR event with a Status.
    JsonWatch {
        /// Whether an event may begin here.
        between: bool,
    },
    /// A watch in protobuf: the same as a frame.
    ProtobufWatch(Frames),
    /// Plain text (`logs -f`): a line.
    Line {
        /// Whether a line may begin here.
        between: bool,
    },
    /// Nothing can be said in this format.
    Nothing,
}

/// What is said last.
pub(super) struct LastWord {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Whether the answer may end like a complete one: the client acts on what was said.
    pub(super) ends_well: bool,
}

impl Farewell {
    /// In which format a last word can be said in the answer to `judged` with these headers.
    pub(super) fn of(judged: &Judged, headers: &HeaderMap) -> Self {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Self::Nothing;
        }
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let watch = judged.action.info.verb == Verb::Watch;
        if watch && kind.starts_with("application/json") {
            Self::JsonWatch { between: true }
        } else if watch && kind.starts_with("application/vnd.kubernetes.protobuf") {
            Self::ProtobufWatch(Frames::default())
        } else if judged.action.kind == ActionKind::Log && kind.starts_with("text/plain") {
            Self::Line { between: true }
        } else {
            Self::Nothing
        }
    }

    /// Looks at bytes that go to the client.
    pub(super) fn saw(&mut self, bytes: &[u8]) {
        match self {
            Self::JsonWatch { between } | Self::Line { between } => {
                if let Some(last) = bytes.last() {
                    *between = *last == b'\n';
                }
            }
            Self::ProtobufWatch(frames) => frames.saw(bytes),
            Self::Nothing => {}
        }
    }

    /// The last word, if one can be said here.
    pub(super) fn say(&self, over: &Over, request: RequestId) -> Option<LastWord> {
        match self {
            Self::JsonWatch { between: true } => {
                let mut bytes = br#"{"type":"ERROR","object":"#.to_vec();
                bytes.extend_from_slice(&refusal::end_of_stream(over, request));
                bytes.extend_from_slice(b"}\n");
                Some(LastWord {
                    bytes,
                    ends_well: true,
                })
            }
            Self::ProtobufWatch(frames) if frames.between() => Some(LastWord {
                bytes: error_frame(over.reason(), &refusal::end_message(over, request)),
                ends_well: true,
            }),
            Self::Line { between } => {
                let gap = if *between { "" } else { "\n" };
                let line =
                    format!("{gap}kubestile ended this stream: {over} (request {request})\n");
                Some(LastWord {
                    bytes: line.into_bytes(),
                    ends_well: false,
                })
            }
            Self::JsonWatch { .. } | Self::ProtobufWatch(_) | Self::Nothing => None,
        }
    }
}

/// Follows frames that are preceded by their length in four bytes, the first one being the highest
/// (apimachinery's `LengthDelimitedFramer`).
#[derive(Debug, Default)]
pub(super) struct Frames {
    length: u32,
    /// How many of the four bytes have been seen.
    have: u8,
    /// Bytes of the frame still to come.
    left: usize,
}

impl Frames {
    fn saw(&mut self, mut bytes: &[u8]) {
        loop {
            let skip = self.left.min(bytes.len());
            self.left -= skip;
            let Some((first, rest)) = bytes.get(skip..).and_then(<[u8]>::split_first) else {
                return;
            };
            self.length = self.length << 8 | u32::from(*first);
            self.have += 1;
            if self.have == 4 {
                self.left = usize::try_from(self.length).unwrap_or(usize::MAX);
                (self.length, self.have) = (0, 0);
            }
            bytes = rest;
        }
    }

    fn between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

/// One frame with a `metav1.WatchEvent` of type ERROR. Its object is a `Status` as every object in
/// protobuf is: `k8s\0`, then a `runtime.Unknown`; the event itself goes without that wrapping.
fn error_frame(reason: &str, message: &str) -> Vec<u8> {
    let mut status = Vec::new();
    // An empty ListMeta, as apimachinery writes it: selfLink, resourceVersion, continue.
    field(1, b"\n\0\x12\0\x1a\0", &mut status);
    field(2, b"Failure", &mut status);
    field(3, message.as_bytes(), &mut status);
    field(4, reason.as_bytes(), &mut status);
    varint(6 << 3, &mut status);
    varint(u64::from(refusal::END_CODE.as_u16()), &mut status);

    let mut kind = Vec::new();
    field(1, b"v1", &mut kind);
    field(2, b"Status", &mut kind);

    let mut object = b"k8s\0".to_vec();
    field(1, &kind, &mut object);
    field(2, &status, &mut object);
    field(3, b"", &mut object); // contentEncoding
    field(4, b"", &mut object); // contentType

    let mut raw = Vec::new();
    field(1, &object, &mut raw);
    let mut event = Vec::new();
    field(1, b"ERROR", &mut event);
    field(2, &raw, &mut event);

    let length = u32::try_from(event.len()).unwrap_or(0);
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&event);
    frame
}

/// A field of bytes, a string or a message.
fn field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while let Ok(low @ 128..) = u8::try_from(value & 0x7f | u64::from(value > 0x7f) << 7) {
        out.push(low);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for length in [0_u32, 5, 300, 70_000] {
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.resize(bytes.len() + length as usize, 9);
        }
        for step in [1, 2, 3, 5, 7, 1000, bytes.len()] {
            let mut frames = Frames::default();
            for chunk in bytes.chunks(step) {
                frames.saw(chunk);
            }
            assert!(frames.between(), "step {step}");
        }
        for cut in [1, 3, 5, 7, 8, 10, 14, 320, bytes.len() - 1] {
            let mut frames = Frames::default();
            frames.saw(&bytes[..cut]);
            assert!(!frames.between(), "cut at {cut}");
            frames.saw(&bytes[cut..]);
            assert!(frames.between(), "cut at {cut}");
        }
    }

    #[test]
    fn nothing_is_said_within_an_item() {
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
        let mut watch = Farewell::ProtobufWatch(Frames::default());
        assert!(watch.say(&Over::Access("over".to_owned()), id).is_some());
        watch.saw(&[0, 0, 0, 2, 1]);
        assert!(watch.say(&Over::Access("over".to_owned()), id).is_none());
        watch.saw(&[1]);
        assert!(watch.say(&Over::Access("over".to_owned()), id).is_some());
        let mut watch = Farewell::JsonWatch { between: true };
        watch.saw(b"{\"type\"");
        assert!(watch.say(&Over::Access("over".to_owned()), id).is_none());
    }

    /// As apimachinery v0.36.3 encodes it: `streaming.NewEncoder` over `LengthDelimitedFramer` and
    /// `protobuf.NewRawSerializer`, of a WatchEvent whose object `protobuf.NewSerializer` has encoded.
    #[test]
    fn the_event_is_what_apimachinery_writes() {
        let expected = b"\0\0\0K\n\x05ERROR\x12B\n@k8s\0\n\x0c\n\x02v1\x12\x06Status\x12(\
            \n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a\x04over\"\x0cSessionEnded0\x93\x03\x1a\0\"\0";
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        assert_eq!(shown(&error_frame("SessionEnded", "over")), shown(expected));
        let long = error_frame("SessionEnded", &"m".repeat(300));
        let mut frames = Frames::default();
        frames.saw(&long);
        assert!(frames.between());
    }
}
