//! Writes a small log to a directory, so that other programs can be tried on it.
//!
//! Usage: `write_log DIR SIZE`. Prints the verifier key. The seed is fixed: never use this key.
#![expect(clippy::print_stdout, reason = "the key is this tool's answer")]

use std::error::Error;
use std::path::Path;

use kubestile_tlog::bundle::encode_bundle;
use kubestile_tlog::tile::new_bundles;
use kubestile_tlog::{Checkpoint, Edge, KeyName, Proof, Signer, TreeReader, leaf_hash};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, size] = arguments.as_slice() else {
        return Err("usage: write_log DIR SIZE".into());
    };
    let (directory, size) = (Path::new(directory), size.parse()?);
    let signer = Signer::from_seed(KeyName::parse("example.com/dev-log")?, &[7; 32])?;

    let mut edge = Edge::new();
    (0..size).for_each(|index| edge.append(leaf_hash(&entry(index))));
    for (tile, bytes) in edge.seal() {
        write(directory, &tile.to_string(), &bytes)?;
    }
    for bundle in new_bundles(0, size) {
        let bytes = encode_bundle(bundle.entries().map(entry))?;
        write(directory, &bundle.to_string(), &bytes)?;
    }
    let head = Checkpoint::new("example.com/dev-log", size, edge.root())?.sign(&signer)?;
    write(directory, "checkpoint", head.to_string().as_bytes())?;
    if let Some(last) = size.checked_sub(1) {
        let mut reader = TreeReader::new(size, |tile| {
            std::fs::read(directory.join(tile.to_string())).map(Some)
        });
        let proof = Proof::new(last, reader.prove_inclusion(last)?, &head);
        write(directory, "last.tlog-proof", proof.to_string().as_bytes())?;
    }
    println!("{}", signer.verifier());
    Ok(())
}

fn entry(index: u64) -> Vec<u8> {
    format!("{{\"index\":{index}}}").into_bytes()
}

fn write(directory: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
    std::fs::write(path, bytes)
}
