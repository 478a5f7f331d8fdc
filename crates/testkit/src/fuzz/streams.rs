//! What passes by on an upgraded connection. Wherever the bytes are cut, the same must be seen.

use kubestile_gateway::stream::spdy::Follower;
use kubestile_gateway::stream::websocket::Frames;

/// SPDY/3.1 from both sides: the first byte says how the rest is cut, and each piece's first bit from
/// which side it comes.
pub(super) fn spdy(data: &[u8]) -> bool {
    let Some((cut, bytes)) = data.split_first() else {
        return false;
    };
    let whole = follow_client(bytes, bytes.len().max(1));
    let pieces = follow_client(bytes, usize::from(*cut).max(1));
    assert_eq!(whole, pieces, "a cut changed what was seen");
    let mut follower = Follower::new("v4.channel.k8s.io");
    let mut accepted = true;
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        accepted &= follower.saw_server(piece).is_ok();
        if !accepted {
            break;
        }
        assert!(follower.remaining() > 0 && follower.remaining() <= 1 << 24);
        assert!(!follower.at_boundary() || follower.remaining() == 8);
    }
    accepted && whole.is_some()
}

/// The farewell after these bytes from the client; `None` if they are malformed.
fn follow_client(bytes: &[u8], cut: usize) -> Option<Vec<u8>> {
    let mut follower = Follower::new("v4.channel.k8s.io");
    for piece in bytes.chunks(cut) {
        follower.saw_client(piece).ok()?;
    }
    let farewell = follower.farewell(b"{}", "over");
    assert!(farewell.len() <= 64 * 10 + 16, "unbounded error streams");
    Some(farewell)
}

/// WebSocket frames: the first byte says how the rest is cut.
pub(super) fn websocket(data: &[u8]) -> bool {
    let Some((cut, bytes)) = data.split_first() else {
        return false;
    };
    let (mut whole, mut pieces) = (Frames::default(), Frames::default());
    whole.observe(bytes);
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        pieces.observe(piece);
        assert!(pieces.remaining() > 0);
    }
    assert_eq!(
        whole.at_boundary(),
        pieces.at_boundary(),
        "a cut moved a boundary"
    );
    assert_eq!(
        whole.remaining(),
        pieces.remaining(),
        "a cut changed a length"
    );
    whole.at_boundary()
}
