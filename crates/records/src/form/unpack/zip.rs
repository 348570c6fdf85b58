//! zip, file by file.

use crate::form::{Told, Unread};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Sizes of what lies between files, and the marks by which it begins.
const HEADER: usize = 30;
const HEADER_MARK: &[u8] = b"PK\x03\x04";
const DESCRIPTOR_MARK: &[u8] = b"PK\x07\x08";
/// What comes behind the last file: the list of files, or the end.
const BEHIND: [&[u8]; 4] = [b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x08"];
/// The extra field that holds sizes too large for their own.
const ZIP64: u16 = 1;
/// A size that is told elsewhere.
const ELSEWHERE: u64 = 0xffff_ffff;
/// How much is unpacked at a time.
const ROOM: usize = 64 * 1024;
/// The longest name of a file.
const LONGEST_NAME: usize = 1024;
/// How many names of files an error lists.
const LISTED: usize = 12;

/// Reads one archive.
#[derive(Debug)]
pub(super) struct ZipReader {
    /// The pattern of the names of the files that are read.
    files: Option<String>,
    state: State,
    /// What is too short to go on with.
    held: Vec<u8>,
    names: Vec<String>,
    has_read: bool,
    /// Where files are unpacked to.
    room: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header,
    Data(Packed),
    Descriptor(Packed),
    /// All files were read; the list of them follows.
    Behind,
}

/// A file.
#[derive(Debug)]
struct Packed {
    is_read: bool,
    /// None where it is stored as it is.
    inflate: Option<Decompress>,
    /// How many of its bytes are still to come; not known of one with a descriptor.
    rest: Option<u64>,
    sum: Crc,
    expected: u32,
    is_zip64: bool,
}

impl ZipReader {
    pub(super) fn new(files: Option<String>) -> Self {
        Self {
            files,
            state: State::Header,
            held: Vec::new(),
            names: Vec::new(),
            has_read: false,
            room: vec![0; ROOM],
        }
    }

    pub(super) fn write(&mut self, piece: &[u8], told: &mut Told) -> Result<(), Unread> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::Behind => rest.len(),
                State::Header => self.header(rest, told)?,
                State::Data(file) => {
                    let (taken, ends) = file.data(rest, &mut self.room, told)?;
                    if ends {
                        self.end_data(told)?;
                    }
                    taken
                }
                State::Descriptor(file) => match file.descriptor(rest) {
                    None => 0,
                    Some((taken, sum)) => {
                        file.expected = sum;
                        self.end_file(told)?;
                        taken
                    }
                },
            };
            rest = &rest[taken..];
            if taken == 0 {
                break;
            }
        }
        self.held = rest.to_vec();
        Ok(())
    }

    pub(super) fn end(&mut self, told: &mut Told) -> Result<(), Unread> {
        if !matches!(self.state, State::Behind) {
            return Err(Unread::EndsEarly(told.at));
        }
        match (&self.files, self.has_read) {
            (_, true) => Ok(()),
            (None, false) if self.names.is_empty() => Ok(()),
            (pattern, false) => {
                let what = format!(
                    "no file in its zip has a name like `{}`; there are `{}`",
                    pattern.as_deref().unwrap_or("*"),
                    self.names.join("`, `")
                );
                Err(Unread::malformed(told.at, what))
            }
        }
    }

    /// Reads what stands before a file; takes nothing as long as that is not all there.
    fn header(&mut self, bytes: &[u8], told: &mut Told) -> Result<usize, Unread> {
        if bytes.len() < HEADER_MARK.len() {
            return Ok(0);
        }
        if BEHIND.iter().any(|mark| bytes.starts_with(mark)) {
            self.state = State::Behind;
            return Ok(bytes.len());
        }
        if !bytes.starts_with(HEADER_MARK) {
            return Err(Unread::malformed(told.at, "its zip is damaged"));
        }
        if bytes.len() < HEADER {
            return Ok(0);
        }
        let (name_length, extra_length) = (short(bytes, 26), short(bytes, 28));
        let name_end = HEADER + usize::from(name_length);
        let end = name_end + usize::from(extra_length);
        if usize::from(name_length) > LONGEST_NAME {
            let what = "a name in its zip is longer than 1 KiB";
            return Err(Unread::malformed(told.at, what));
        }
        if bytes.len() < end {
            return Ok(0);
        }
        let name = String::from_utf8_lossy(&bytes[HEADER..name_end]).into_owned();
        let extra = zip64(&bytes[name_end..end]);
        let (flags, method) = (short(bytes, 6), short(bytes, 8));
        if flags & 1 != 0 {
            let what = format!("`{name}` in its zip is encrypted");
            return Err(Unread::malformed(told.at, what));
        }
        let has_descriptor = flags & 8 != 0;
        let size = match u64::from(long(bytes, 18)) {
            // Behind the size of what is unpacked.
            ELSEWHERE => extra.and_then(|extra| extra.get(8..16).map(quad)),
            size => Some(size),
        };
        let inflate = match method {
            0 => None,
            8 => Some(Decompress::new(false)),
            other => {
                let what = format!(
                    "`{name}` in its zip is packed by method {other}; only deflate and stored files are read"
                );
                return Err(Unread::malformed(told.at, what));
            }
        };
        if has_descriptor && inflate.is_none() {
            let what =
                format!("`{name}` in its zip is stored without its length, and cannot be streamed");
            return Err(Unread::malformed(told.at, what));
        }
        let is_read = self.is_wanted(&name);
        if is_read {
            self.has_read = true;
            told.begin(Some(&name))?;
        }
        if self.names.len() < LISTED {
            self.names.push(name);
        }
        self.state = State::Data(Packed {
            is_read,
            inflate,
            rest: size.filter(|_| !has_descriptor),
            sum: Crc::new(),
            expected: long(bytes, 14),
            is_zip64: extra.is_some(),
        });
        if matches!(&self.state, State::Data(file) if file.rest == Some(0)) {
            self.end_data(told)?;
        }
        Ok(end)
    }

    fn is_wanted(&self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        let is_hidden = file.is_empty() || file.starts_with('.') || name.starts_with("__MACOSX/");
        let pattern = self.files.as_deref().unwrap_or("*");
        !is_hidden && (matches(pattern, name) || matches(pattern, file))
    }

    fn end_data(&mut self, told: &mut Told) -> Result<(), Unread> {
        let State::Data(file) = std::mem::replace(&mut self.state, State::Header) else {
            return Ok(());
        };
        let has_descriptor = file.rest.is_none();
        self.state = State::Descriptor(file);
        if has_descriptor {
            return Ok(());
        }
        self.end_file(told)
    }

    fn end_file(&mut self, told: &mut Told) -> Result<(), Unread> {
        let State::Descriptor(file) = std::mem::replace(&mut self.state, State::Header) else {
            return Ok(());
        };
        if !file.is_read {
            return Ok(());
        }
        if file.sum.sum() != file.expected {
            let what = "its zip is damaged: a file does not have its checksum";
            return Err(Unread::malformed(told.at, what));
        }
        told.end()
    }
}

impl Packed {
    /// Unpacks what is there of the file; gives how much that was, and whether the file ends there.
    fn data(
        &mut self,
        bytes: &[u8],
        room: &mut [u8],
        told: &mut Told,
    ) -> Result<(usize, bool), Unread> {
        let most = self.rest.map_or(bytes.len(), |rest| {
            usize::try_from(rest).unwrap_or(usize::MAX)
        });
        let bytes = &bytes[..bytes.len().min(most)];
        let (taken, ends) = match &mut self.inflate {
            None => {
                self.sum.update(bytes);
                if self.is_read {
                    told.write(bytes)?;
                }
                (bytes.len(), false)
            }
            Some(inflate) => {
                let before = inflate.total_in();
                let ends = inflate_all(inflate, bytes, room, &mut self.sum, self.is_read, told)?;
                ((inflate.total_in() - before) as usize, ends)
            }
        };
        if let Some(rest) = &mut self.rest {
            *rest -= taken as u64;
            if ends && *rest > 0 {
                let what = "its zip is damaged: a file is shorter than its header says";
                return Err(Unread::malformed(told.at, what));
            }
            return Ok((taken, *rest == 0));
        }
        Ok((taken, ends))
    }

    /// What stands behind a file whose header did not know its length: how long that is, and the checksum.
    fn descriptor(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let sizes = if self.is_zip64 { 16 } else { 8 };
        let mark = if bytes.starts_with(DESCRIPTOR_MARK) {
            DESCRIPTOR_MARK.len()
        } else if bytes.len() < DESCRIPTOR_MARK.len() {
            return None;
        } else {
            0
        };
        let end = mark + 4 + sizes;
        (bytes.len() >= end).then(|| (end, long(bytes, mark)))
    }
}

/// Unpacks all of the bytes, or as many as the file has; says whether it ends there.
fn inflate_all(
    inflate: &mut Decompress,
    bytes: &[u8],
    room: &mut [u8],
    sum: &mut Crc,
    is_read: bool,
    told: &mut Told,
) -> Result<bool, Unread> {
    let start = inflate.total_in();
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let from = (read - start) as usize;
        let status = inflate.decompress(&bytes[from..], room, FlushDecompress::None);
        let status = status
            .map_err(|error| Unread::malformed(told.at, format!("its zip is damaged: {error}")))?;
        let text = &room[..(inflate.total_out() - written) as usize];
        sum.update(text);
        if is_read {
            told.write(text)?;
        }
        let is_stuck = inflate.total_in() == read && text.is_empty();
        match status {
            Status::StreamEnd => return Ok(true),
            Status::Ok | Status::BufError if is_stuck => return Ok(false),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// Whether a name is like a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(start) else {
        return false;
    };
    let mut starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    starts.any(|at| matches(rest, &name[at..]))
}

/// The extra field with sizes too large for their own, among all of them.
fn zip64(mut extra: &[u8]) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let end = 4 + usize::from(short(extra, 2));
        let field = extra.get(4..end)?;
        if short(extra, 0) == ZIP64 {
            return Some(field);
        }
        extra = &extra[end..];
    }
    None
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn quad(bytes: &[u8]) -> u64 {
    u64::from(long(bytes, 0)) | u64::from(long(bytes, 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("*", ""),
            ("*.csv", "a.csv"),
            ("a*b*c", "abc"),
            ("a*b*c", "a.b.b.c"),
            ("*é", "xé"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.csv", "a.csv.bak"), ("a", "ab"), ("a*b", "ba")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
