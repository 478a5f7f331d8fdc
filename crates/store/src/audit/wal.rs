//! The write-ahead files: what is durable and not yet sealed.
//!
//! A segment `wal/<first index>.wal` is a header and then batches. All integers are big-endian.
//!
//! - header: `"KSTWAL"`, `0xff`, version 1; the index of its first entry (u64); SHA-256 of the log's
//!   vkey (32 bytes).
//! - batch: `0xff`, `"KSTBAT"`, version 1; the index of its first entry (u64); count of entries
//!   (u32); length of its body (u32); SHA-256 over all that and the leaf hashes of the entries; then
//!   the body, which is an entry bundle of any length: a u16 length before each entry.
//!
//! INVARIANT: a batch is written only when the one before it is on the disk. So a batch that is not
//! whole was never acknowledged, unless a whole one follows it. `0xff` is in no record, as records
//! are UTF-8: no record can pass for a batch.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use kubestile_tlog::bundle::{self, MAX_ENTRY};
use kubestile_tlog::{Hash, leaf_hash};

use super::disk::{Disk, Publication};
use super::error::{DiskError, OpenError};
use super::layout;

/// An entry on its way through the log.
#[derive(Debug)]
pub(super) struct Entry {
    /// The canonical bytes of the record.
    pub(super) bytes: Vec<u8>,
    /// INVARIANT: the leaf hash of `bytes`.
    pub(super) leaf: Hash,
}

impl Entry {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let leaf = leaf_hash(&bytes);
        Self { bytes, leaf }
    }
}

/// The most entries in one batch.
pub(super) const MAX_BATCH: usize = 16_384;
/// The most bytes of entries in one batch.
pub(super) const MAX_BATCH_BYTES: usize = 8 << 20;

/// A segment of this size is left behind once its first entries are sealed. Tests leave many behind.
const SEGMENT_BYTES: u64 = if cfg!(test) { 4 << 10 } else { 8 << 20 };

const SEGMENT_MAGIC: [u8; 8] = *b"KSTWAL\xff\x01";
const BATCH_MAGIC: [u8; 8] = *b"\xffKSTBAT\x01";
const SEGMENT_HEADER: usize = 8 + 8 + 32;
const BATCH_HEADER: usize = 8 + 8 + 4 + 4 + 32;
/// No batch's body is longer: the last entry may go over the limit.
const MAX_BODY: usize = MAX_BATCH_BYTES + MAX_ENTRY + 2 * MAX_BATCH;

/// The write-ahead file that is written to.
pub(super) struct Wal {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    log: [u8; 32],
    path: PathBuf,
    file: File,
    /// Index of the segment's first entry.
    first: u64,
    /// Index of the next entry.
    next: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Wal {
    /// Starts a segment at `first`, in place of any of that name: nothing in it was acknowledged.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        root: &Path,
        vkey: &str,
        first: u64,
    ) -> Result<Self, DiskError> {
        let log = log_digest(vkey);
        let (path, file) = start_segment(&disk, root, log, first)?;
        Ok(Self {
            disk,
            root: root.to_owned(),
            log,
            path,
            file,
            first,
            next: first,
            bytes: SEGMENT_HEADER as u64,
            buffer: Vec::new(),
        })
    }

    /// Writes a batch and waits until it is on the disk.
    ///
    /// After an error nothing more may be written: what the disk holds is unknown.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), DiskError> {
        encode_batch(&mut self.buffer, self.next, entries)?;
        self.disk
            .write(&self.path, &mut self.file, &self.buffer)
            .map_err(DiskError::io("write", &self.path))?;
        self.disk
            .sync(&self.path, &self.file)
            .map_err(DiskError::io("sync", &self.path))?;
        self.bytes += self.buffer.len() as u64;
        self.next += entries.len() as u64;
        Ok(())
    }

    /// Goes on in a new segment once this one is large and partly sealed, and takes away segments
    /// whose entries all are.
    pub(super) fn trim(&mut self, sealed: u64) -> Result<(), DiskError> {
        if self.bytes >= SEGMENT_BYTES && sealed > self.first {
            self.rotate()?;
            self.remove_sealed(sealed)?;
        }
        Ok(())
    }

    /// Leaves an empty segment behind, all else being sealed.
    pub(super) fn finish(mut self, sealed: u64) -> Result<(), DiskError> {
        if self.next > self.first {
            self.rotate()?;
        }
        self.remove_sealed(sealed)
    }

    /// Index of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    fn rotate(&mut self) -> Result<(), DiskError> {
        let (path, file) = start_segment(&self.disk, &self.root, self.log, self.next)?;
        (self.path, self.file) = (path, file);
        self.first = self.next;
        self.bytes = SEGMENT_HEADER as u64;
        Ok(())
    }

    /// Takes away every segment that ends at or before `sealed`, this one excepted.
    pub(super) fn remove_sealed(&self, sealed: u64) -> Result<(), DiskError> {
        let dir = self.root.join(layout::WAL);
        let segments = segments(&dir).map_err(DiskError::io("list", &dir))?;
        for pair in segments.windows(2) {
            if let [(_, path), (end, _)] = pair
                && *end <= sealed
            {
                self.disk
                    .remove(path)
                    .map_err(DiskError::io("remove", path))?;
            }
        }
        Ok(())
    }
}

/// A new segment, whole and under its name, or an error.
fn start_segment(
    disk: &Arc<dyn Disk>,
    root: &Path,
    log: [u8; 32],
    first: u64,
) -> Result<(PathBuf, File), DiskError> {
    let header = [&SEGMENT_MAGIC[..], &first.to_be_bytes(), &log].concat();
    let name = Path::new(layout::WAL).join(format!("{first:020}.wal"));
    let mut publication = Publication::new(disk, root);
    publication.add(&name, &header, 0o600)?;
    publication.finish()?;
    let path = root.join(name);
    let file = File::options()
        .append(true)
        .open(&path)
        .map_err(DiskError::io("open", &path))?;
    Ok((path, file))
}

/// The segments in `dir` by their first index.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(segments),
        Err(error) => return Err(error),
    };
    for file in files {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(first) = name
            .and_then(|name| name.strip_suffix(".wal"))
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse().ok())
        {
            segments.push((first, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Reads a segment's batches in order and hands their entries on with their indices. Returns the
/// index after the last one; a batch at the end that was never acknowledged is left out.
pub(super) fn read_segment(
    path: &Path,
    first: u64,
    vkey: &str,
    mut each: impl FnMut(u64, Entry) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let io_error = |error| OpenError::Disk(DiskError::io("read", path)(error));
    let damaged = |offset, why| OpenError::WalDamaged {
        path: path.to_owned(),
        offset,
        why,
    };
    let file = File::open(path).map_err(io_error)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let header = [&SEGMENT_MAGIC[..], &first.to_be_bytes(), &log_digest(vkey)].concat();
    let mut found = Vec::new();
    (&mut reader)
        .take(header.len() as u64)
        .read_to_end(&mut found)
        .map_err(io_error)?;
    if found != header {
        return Err(damaged(0, "its header is not this log's"));
    }
    let (mut next, mut offset) = (first, header.len() as u64);
    loop {
        match read_batch(&mut reader).map_err(io_error)? {
            Batch::End => return Ok(next),
            Batch::Whole {
                first,
                entries,
                len,
            } if first == next => {
                for entry in entries {
                    each(next, entry)?;
                    next += 1;
                }
                offset += len;
            }
            Batch::Whole { .. } => return Err(damaged(offset, "its batches are out of order")),
            Batch::Torn => {
                reader.seek(SeekFrom::Start(offset + 1)).map_err(io_error)?;
                if batch_follows(&mut reader, next).map_err(io_error)? {
                    return Err(damaged(offset, "a whole batch follows a broken one"));
                }
                return Ok(next);
            }
        }
    }
}

/// What stands at some place of a segment.
enum Batch {
    Whole {
        first: u64,
        entries: Vec<Entry>,
        len: u64,
    },
    Torn,
    End,
}

fn read_batch(reader: &mut impl Read) -> io::Result<Batch> {
    let mut header = Vec::with_capacity(BATCH_HEADER);
    reader
        .by_ref()
        .take(BATCH_HEADER as u64)
        .read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(Batch::End);
    }
    let Some(head) = BatchHead::parse(&header) else {
        return Ok(Batch::Torn);
    };
    let mut body = Vec::new();
    reader
        .by_ref()
        .take(u64::from(head.len))
        .read_to_end(&mut body)?;
    let Some(entries) = head.entries(&body) else {
        return Ok(Batch::Torn);
    };
    Ok(Batch::Whole {
        first: head.first,
        entries,
        len: (BATCH_HEADER + body.len()) as u64,
    })
}

/// Whether a whole batch of later entries than `next` follows anywhere: proof that what is broken
/// before it had been acknowledged.
fn batch_follows(reader: &mut BufReader<File>, next: u64) -> io::Result<bool> {
    let mut rest = Vec::new();
    // INVARIANT: a segment is never much larger than this: it is left behind at `SEGMENT_BYTES`.
    reader.take(MAX_SCAN).read_to_end(&mut rest)?;
    let mut at = rest.as_slice();
    while let Some(skip) = find(at, &BATCH_MAGIC) {
        let Some(mut candidate) = at.get(skip..) else {
            break;
        };
        if let Batch::Whole { first, .. } = read_batch(&mut candidate)?
            && first > next
        {
            return Ok(true);
        }
        at = at.get(skip + 1..).unwrap_or_default();
    }
    Ok(false)
}

/// How far a later batch is looked for.
const MAX_SCAN: u64 = 512 << 20;

fn find(bytes: &[u8], wanted: &[u8; 8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The fixed part of a batch.
struct BatchHead {
    fixed: [u8; 24],
    first: u64,
    count: u32,
    len: u32,
    checksum: [u8; 32],
}

impl BatchHead {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<24>()?;
        let (checksum, _) = rest.split_first_chunk::<32>()?;
        let (magic, numbers) = fixed.split_first_chunk::<8>()?;
        let (first, numbers) = numbers.split_first_chunk()?;
        let (count, numbers) = numbers.split_first_chunk()?;
        let (len, _) = numbers.split_first_chunk()?;
        let head = Self {
            fixed: *fixed,
            first: u64::from_be_bytes(*first),
            count: u32::from_be_bytes(*count),
            len: u32::from_be_bytes(*len),
            checksum: *checksum,
        };
        let fits = head.count as usize <= MAX_BATCH && head.len as usize <= MAX_BODY;
        (*magic == BATCH_MAGIC && fits).then_some(head)
    }

    /// The entries of the body, if it is whole.
    fn entries(&self, body: &[u8]) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut rest = body;
        while let Some((len, after)) = rest.split_first_chunk() {
            let (entry, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
            entries.push(Entry::new(entry.to_vec()));
            rest = after;
        }
        let whole = rest.is_empty()
            && body.len() == self.len as usize
            && entries.len() == self.count as usize
            && checksum(&self.fixed, &entries) == self.checksum;
        whole.then_some(entries)
    }
}

fn encode_batch(buffer: &mut Vec<u8>, first: u64, entries: &[Entry]) -> Result<(), DiskError> {
    let too_large = || DiskError::Tree("a batch is too large".to_owned());
    let len: usize = entries.iter().map(|entry| 2 + entry.bytes.len()).sum();
    let len = u32::try_from(len).map_err(|_| too_large())?;
    let count = u32::try_from(entries.len()).map_err(|_| too_large())?;
    buffer.clear();
    buffer.extend_from_slice(&BATCH_MAGIC);
    buffer.extend_from_slice(&first.to_be_bytes());
    buffer.extend_from_slice(&count.to_be_bytes());
    buffer.extend_from_slice(&len.to_be_bytes());
    let checksum = checksum(buffer, entries);
    buffer.extend_from_slice(&checksum);
    for entry in entries {
        bundle::push_entry(buffer, &entry.bytes).map_err(|e| DiskError::Tree(e.to_string()))?;
    }
    Ok(())
}

/// Over leaf hashes rather than bytes: those are computed already, by the threads that append.
fn checksum(fixed: &[u8], entries: &[Entry]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(fixed);
    for entry in entries {
        context.update(entry.leaf.as_bytes());
    }
    to_array(context.finish().as_ref())
}

fn log_digest(vkey: &str) -> [u8; 32] {
    to_array(digest(&SHA256, vkey.as_bytes()).as_ref())
}

fn to_array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}
