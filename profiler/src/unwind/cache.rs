//! Which files are the same, so that processes share the table of a library and no file is read
//! twice, not even one that no table can be made of.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use super::NoTable;
use super::elf::Elf;

/// Longer build ids are none: linkers write 8 to 32 bytes, or what they are told to.
const MAX_BUILD_ID: usize = 64;

/// What makes two files have the same table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The linker's hash of the content: the same in every copy and container. Tools that change a
    /// program afterwards leave it alone, hence the size.
    Build {
        /// As in the file's note.
        id: Box<[u8]>,
        /// Of the file, in bytes.
        size: u64,
    },
    /// Of a file without such a hash: where it is, and when it was written.
    File {
        /// Device and inode number.
        place: (u64, u64),
        /// Seconds and nanoseconds since 1970.
        modified: (i64, i64),
        /// In bytes.
        size: u64,
    },
}

impl Identity {
    /// Of a file's content (`metadata`: of the open file), or of the vDSO's. `None` when neither says
    /// anything.
    pub fn of(bytes: &[u8], metadata: Option<&Metadata>) -> Option<Self> {
        let elf = Elf::parse(bytes).ok();
        let id = elf.and_then(|elf| elf.build_id());
        if let Some(id) = id.filter(|id| id.len() <= MAX_BUILD_ID) {
            return Some(Self::Build {
                id: id.into(),
                size: bytes.len() as u64,
            });
        }
        let metadata = metadata?;
        Some(Self::File {
            place: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
        })
    }
}

/// What was made of each file: `V` is whatever the caller keeps of a table.
#[derive(Debug)]
pub struct Cache<V> {
    known: HashMap<Identity, Result<V, NoTable>>,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
        }
    }
}

impl<V> Cache<V> {
    /// What was made of the file before; `None`: nothing yet.
    pub fn get(&self, identity: &Identity) -> Option<&Result<V, NoTable>> {
        self.known.get(identity)
    }

    /// Remembers what was made of a file, failures too. Returns what was remembered before.
    pub fn insert(
        &mut self,
        identity: Identity,
        made: Result<V, NoTable>,
    ) -> Option<Result<V, NoTable>> {
        self.known.insert(identity, made)
    }

    /// Forgets the tables that `keep` is false for. Failures are kept: they need no room.
    pub fn retain(&mut self, mut keep: impl FnMut(&Identity, &V) -> bool) {
        self.known.retain(|identity, made| match made {
            Ok(made) => keep(identity, made),
            Err(_) => true,
        });
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
