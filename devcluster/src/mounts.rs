//! Unmounting all that is below a directory.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use crate::error::{Error, IoContext as _};

const TABLE: &str = "/proc/self/mountinfo";

/// Unmounts layers, volumes and network namespaces, the innermost first. On success
/// nothing is mounted there any more, so the directory can be removed safely.
pub(crate) fn unmount_below(dir: &Path) -> Result<(), Error> {
    loop {
        let table = fs::read(TABLE).on("read", Path::new(TABLE))?;
        let mounts = mounts_below(dir, &table);
        if mounts.is_empty() {
            return Ok(());
        }
        for path in mounts {
            unmount(&path, UnmountFlags::DETACH)
                .map_err(Into::into)
                .on("unmount", &path)?;
        }
    }
}

/// The mount points of the kernel's table below a directory, last mounted first.
fn mounts_below(dir: &Path, table: &[u8]) -> Vec<PathBuf> {
    let mut mounts: Vec<PathBuf> = table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
        .filter(|path| path.starts_with(dir))
        .collect();
    mounts.reverse();
    mounts
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() {
            tail.get(3..).unwrap_or_default()
        } else {
            tail
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directory_and_innermost_first() {
        let table = b"1 0 8:1 / / rw - ext4 a rw\n\
            2 1 0:1 / /c/dev/rootfs rw - overlay b rw\n\
            3 2 0:2 / /c/dev/rootfs/in\\040ner rw - tmpfs c rw\n\
            4 1 0:3 / /c/dev2/rootfs rw - overlay d rw\n";
        assert_eq!(
            mounts_below(Path::new("/c/dev"), table),
            [
                PathBuf::from("/c/dev/rootfs/in ner"),
                PathBuf::from("/c/dev/rootfs")
            ]
        );
    }

    #[test]
    fn odd_escapes_stay_as_they_are() {
        assert_eq!(unescape(br"a\134b"), br"a\b");
        assert_eq!(unescape(br"a\9"), br"a\9");
        assert_eq!(unescape(br"a\"), br"a\");
    }
}
