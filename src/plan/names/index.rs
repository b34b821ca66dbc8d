//! Git's index (gitformat-index(5), versions 2 to 4) as a file: is a path tracked, and is what lies there what is tracked?
//! The index may be an agent's work, so that a path is listed proves nothing. That the listed id is the id of the file's
//! content does: whoever wrote it had the content, and git's own store holds it.

#![forbid(unsafe_code)]

/// How a repository names objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Ids of 20 bytes.
    Sha1,
    /// Of 32.
    Sha256,
}

impl Format {
    /// Bytes of an id.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Format::Sha1 => 20,
            Format::Sha256 => 32,
        }
    }
}

/// The longest path, in bytes: PATH_MAX, beyond which git opens no file.
pub const LONGEST: usize = 4096;

/// All paths of an index together, in bytes: version 4 names one by how it differs from the one before, so that a small index
/// can be long. A million files have about 100 MB.
pub const ALL: usize = 256 << 20;

/// How the repository with this configuration (`config`) names objects: `extensions.objectFormat`.
#[must_use]
pub fn format(config: &[u8]) -> Format {
    let config = config.to_ascii_lowercase();
    let sha256 = config.split(|b| *b == b'\n').any(|line| {
        let mut words = line.split(|b| *b == b'=');
        words
            .next()
            .is_some_and(|key| key.trim_ascii() == b"objectformat")
            && words
                .next()
                .is_some_and(|value| value.trim_ascii() == b"sha256")
    });
    if sha256 { Format::Sha256 } else { Format::Sha1 }
}

/// Calls `each` with the path and id of every entry. Returns the file name of the shared index, if this is a split one;
/// `None` if this is no index that is understood.
pub fn entries(
    bytes: &[u8],
    format: Format,
    each: &mut dyn FnMut(&[u8], &[u8]),
) -> Option<Option<String>> {
    marked(bytes, format, &mut |path, id, _| each(path, id))
}

/// Who is told of each entry: its path, its id, and whether git does not look at the file.
pub type Each<'a> = dyn FnMut(&[u8], &[u8], bool) + 'a;

/// The same; also whether git is told not to look whether that file changed (`git update-index --assume-unchanged`,
/// `--skip-worktree`).
pub fn marked(bytes: &[u8], format: Format, each: &mut Each<'_>) -> Option<Option<String>> {
    let mut from = Reader { bytes, at: 0 };
    if from.take(4)? != b"DIRC" {
        return None;
    }
    let version = from.u32()?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let count = from.u32()?;
    let mut path: Vec<u8> = Vec::new();
    let mut left = ALL;
    for _ in 0..count {
        let begin = from.at;
        // ctime, mtime, dev, ino, mode, uid, gid, size.
        from.take(40)?;
        let id = from.take(format.length())?;
        let flags = from.u16()?;
        // The extended bit, from version 3 on. Git does not ask for the version when it reads.
        let more = match flags & 0x4000 {
            0 => 0,
            _ => from.u16()?,
        };
        let unseen = flags & 0x8000 != 0 || more & 0x4000 != 0;
        if version == 4 {
            // How much of the path before is dropped, then the rest.
            let drop = from.varint()?;
            path.truncate(path.len().checked_sub(drop)?);
            path.extend(from.until_nul()?);
        } else {
            path.clear();
            path.extend(from.until_nul()?);
            // Entries are padded to a multiple of eight with one to eight NULs, of which one is read.
            let rest = (from.at - begin).checked_next_multiple_of(8)? - (from.at - begin);
            from.take(rest)?;
        }
        // Git goes by the length, and the two differ only where somebody else wrote it.
        if path.len() > LONGEST || usize::from(flags & 0xfff) != path.len().min(0xfff) {
            return None;
        }
        left = left.checked_sub(path.len())?;
        each(&path, id, unseen);
    }
    // Extensions: a signature and a length; the checksum follows without either.
    while bytes.len().saturating_sub(from.at) > format.length() {
        let signature = from.take(4)?;
        let length = usize::try_from(from.u32()?).ok()?;
        let body = from.take(length)?;
        if signature == b"link" {
            let id = body.get(..format.length())?;
            if id.iter().any(|byte| *byte != 0) {
                return Some(Some(format!("sharedindex.{}", crate::plan::text::hex(id))));
            }
        }
    }
    Some(None)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn until_nul(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        self.at += length + 1;
        rest.get(..length)
    }

    /// The offset encoding of pack files.
    fn varint(&mut self) -> Option<usize> {
        let mut byte = *self.take(1)?.first()?;
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = *self.take(1)?.first()?;
            value = value.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
        }
        Some(value)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
