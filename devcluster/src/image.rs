//! Images made on the spot: a static busybox in a docker-archive, no registry needed.

use std::fs;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::error::{Error, IoContext as _};

/// What every pod's sandbox runs.
pub(crate) const PAUSE: &str = "kubestile.example/pause:1";

/// The names of the busybox image. `latest` is what users write, but it makes the
/// kubelet pull by default; `1` does not.
const BUSYBOX: [&str; 2] = [
    "docker.io/library/busybox:latest",
    "docker.io/library/busybox:1",
];

/// Writes one archive with both images, which share the single layer.
pub(crate) fn write(busybox: &Path, archive: &Path) -> Result<(), Error> {
    let program = fs::read(busybox).on("read", busybox)?;
    if !is_static(&program) {
        return Err(Error::BusyboxNotStatic {
            path: busybox.to_owned(),
        });
    }
    let layer = layer(&program, &applets(busybox)?);
    let shell = config(&layer, &["/bin/sh"]);
    // It must stay until killed, and answer to nothing else.
    let pause = config(&layer, &["/bin/sleep", "2147483647"]);
    let (shell_file, pause_file) = (file_name(&shell), file_name(&pause));
    let manifest = json!([
        { "Config": shell_file, "RepoTags": BUSYBOX, "Layers": ["layer.tar"] },
        { "Config": pause_file, "RepoTags": [PAUSE], "Layers": ["layer.tar"] },
    ]);
    let mut tar = Tar::default();
    tar.file("layer.tar", 0o644, &layer);
    tar.file(&shell_file, 0o644, shell.to_string().as_bytes());
    tar.file(&pause_file, 0o644, pause.to_string().as_bytes());
    tar.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    fs::write(archive, tar.finish()).on("write", archive)
}

/// A dynamic program names its loader near its beginning.
fn is_static(program: &[u8]) -> bool {
    let head = program.get(..4096).unwrap_or(program);
    !head.windows(4).any(|bytes| bytes == b"/ld-")
}

/// Busybox lists the commands that it can be called as.
fn applets(busybox: &Path) -> Result<Vec<String>, Error> {
    let output = Command::new(busybox)
        .arg("--list")
        .output()
        .on("run", busybox)?;
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list
        .lines()
        .filter(|&name| name != "busybox")
        .map(str::to_owned)
        .collect())
}

fn layer(program: &[u8], applets: &[String]) -> Vec<u8> {
    let mut tar = Tar::default();
    for (dir, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("root/", 0o700),
        ("tmp/", 0o1777),
    ] {
        tar.directory(dir, mode);
    }
    tar.file("bin/busybox", 0o755, program);
    for applet in applets {
        tar.link(&format!("bin/{applet}"), "busybox");
    }
    tar.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    tar.file("etc/group", 0o644, b"root:x:0:\nnobody:x:65534:\n");
    tar.finish()
}

fn config(layer: &[u8], command: &[&str]) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": { "Cmd": command, "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))] },
    })
}

fn file_name(config: &Value) -> String {
    format!("{}.json", sha256(config.to_string().as_bytes()))
}

/// In Go's words, which image configurations use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Writes the POSIX ustar format, as much of it as an image needs: names below 100
/// bytes, owner root, one fixed time so that the same content gives the same image.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    const BLOCK: usize = 512;

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.header(name, mode, b'0', "", content.len());
        self.0.extend_from_slice(content);
        self.pad();
    }

    fn directory(&mut self, name: &str, mode: u32) {
        self.header(name, mode, b'5', "", 0);
    }

    fn link(&mut self, name: &str, target: &str) {
        self.header(name, 0o777, b'2', target, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * Self::BLOCK]);
        self.0
    }

    fn header(&mut self, name: &str, mode: u32, kind: u8, target: &str, size: usize) {
        let render = |checksum: &str| {
            let mut block = Vec::with_capacity(Self::BLOCK);
            let mut field = |text: &str, width: usize| {
                let end = block.len() + width;
                block.extend_from_slice(text.as_bytes());
                block.resize(end, 0);
            };
            field(name, 100);
            field(&format!("{mode:07o}"), 8);
            field("0000000", 8); // owner
            field("0000000", 8); // group
            field(&format!("{size:011o}"), 12);
            field("15000000000", 12); // time
            field(checksum, 8);
            field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
            field(target, 100);
            field("ustar\x0000", 8);
            block.resize(Self::BLOCK, 0);
            block
        };
        // The sum is made with spaces in its own place.
        let sum: u32 = render("        ").into_iter().map(u32::from).sum();
        self.0.extend(render(&format!("{sum:06o}\0 ")));
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(Self::BLOCK), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_can_read_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer.tar");
        fs::write(&path, layer(b"program", &["sh".to_owned()])).unwrap();
        let list = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        let text = String::from_utf8(list.stdout).unwrap();
        assert!(
            list.status.success(),
            "{}",
            String::from_utf8_lossy(&list.stderr)
        );
        assert!(text.contains("bin/sh -> busybox"), "{text}");
        assert!(text.contains("drwxrwxrwt"), "{text}");
    }

    #[test]
    fn the_same_content_gives_the_same_image() {
        let one = layer(b"program", &["sh".to_owned()]);
        assert_eq!(config(&one, &["/bin/sh"]), config(&one, &["/bin/sh"]));
        assert_ne!(
            file_name(&config(&one, &["/bin/sh"])),
            file_name(&config(&one, &["/bin/cat"]))
        );
    }

    #[test]
    fn a_loader_in_the_head_means_dynamic() {
        assert!(is_static(b"\x7fELF rest"));
        assert!(!is_static(b"\x7fELF /lib64/ld-linux-x86-64.so.2"));
        assert!(!is_static(b"\x7fELF /lib/ld-musl-x86_64.so.1"));
    }
}
