//! Measures appends a second on one core: leaf hash, tree, tiles. Run it with `--release`.
//!
//! Usage: `hash_rate [ENTRY_BYTES]`.
#![expect(clippy::print_stdout, reason = "the rate is this tool's answer")]

use std::time::Instant;

use kubestile_tlog::{Edge, leaf_hash};

const LEAVES: u64 = 2_000_000;

fn main() {
    let bytes = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(512_usize);
    let mut entry = vec![0_u8; bytes.max(8)];
    let mut edge = Edge::new();
    let start = Instant::now();
    for index in 0..LEAVES {
        if let Some(head) = entry.first_chunk_mut() {
            *head = index.to_be_bytes();
        }
        edge.append(leaf_hash(&entry));
        edge.take_full();
    }
    let rate = LEAVES as f64 / start.elapsed().as_secs_f64();
    println!(
        "{bytes} byte entries: {rate:.0} appends/s, root {}",
        edge.root()
    );
}
