//! Writes the unwind tables where the eBPF programs read them: through memory mappings of the maps,
//! since a system call for each row would take a hundred times as long.

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use anyhow::Context as _;
use aya::maps::{Array, HashMap, Map, MapData, MapError, RingBuf};
use aya::{Ebpf, Pod};
use memmap2::{MmapOptions, MmapRaw};
use unfreed_common::unwind::{CACHE_ENTRIES, MAPPINGS, Mapping, ProcessTable, Row};

use super::load::{LoadError, take};

/// The maps of the unwind tables.
pub struct Tables {
    rows: Mapped<u64>,
    mappings: Mapped<Mapping>,
    cache: Mapped<u64>,
    processes: HashMap<MapData, u32, ProcessTable>,
    changes: Array<MapData, u64>,
    published: Array<MapData, u64>,
    changed: RingBuf<MapData>,
}

impl Tables {
    /// Takes the maps out of the loaded object. `rows`: the size of the array of rows.
    pub(super) fn of(ebpf: &mut Ebpf, rows: u32) -> Result<Self, LoadError> {
        Ok(Self {
            rows: Mapped::of(ebpf, "ROWS", rows)?,
            mappings: Mapped::of(ebpf, "MAPPINGS", MAPPINGS)?,
            cache: Mapped::of(ebpf, "CACHE", CACHE_ENTRIES)?,
            processes: HashMap::try_from(take(ebpf, "PROCESSES")?)?,
            changes: Array::try_from(take(ebpf, "CHANGES")?)?,
            published: Array::try_from(take(ebpf, "PUBLISHED")?)?,
            changed: RingBuf::try_from(take(ebpf, "CHANGED")?)?,
        })
    }

    /// How many rows there is room for.
    pub fn room(&self) -> u32 {
        self.rows.entries
    }

    /// Writes rows from the index `first` on; nothing may refer to that part.
    pub fn write_rows(&mut self, first: u32, rows: &[Row]) {
        let words = rows.iter().map(|row| row.0).collect::<Vec<_>>();
        self.rows.write(first, &words);
    }

    /// Writes a list of mappings from the index `first` on; nothing may refer to that part.
    pub fn write_mappings(&mut self, first: u32, mappings: &[Mapping]) {
        self.mappings.write(first, mappings);
    }

    /// From now on the process's stacks are walked by these tables.
    pub fn publish(&mut self, tgid: u32, table: ProcessTable) -> anyhow::Result<()> {
        self.processes
            .insert(tgid, table, 0)
            .and_then(|()| self.published.set(table.changes_index, table.sequence, 0))
            .context("publishing a process's unwind tables")
    }

    /// From now on the process has no tables.
    pub fn withdraw(&mut self, tgid: u32) -> anyhow::Result<()> {
        match self.processes.remove(&tgid) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(error).context("withdrawing a process's unwind tables"),
        }
    }

    /// What is published of a process, and its list of mappings.
    #[cfg(test)]
    pub fn published(&self, tgid: u32) -> Option<(ProcessTable, Vec<Mapping>)> {
        let table = self.processes.get(&tgid, 0).ok()?;
        Some((table, self.mappings.read(table.first, table.count)))
    }

    /// How often the process with this counter has said that its mappings change.
    pub fn changes(&self, index: u32) -> anyhow::Result<u64> {
        self.changes
            .get(&index, 0)
            .context("reading the map CHANGES")
    }

    /// Forgets all cached rules.
    pub fn clear_cache(&mut self) {
        self.cache.write(0, &vec![0; CACHE_ENTRIES as usize]);
    }

    /// Readable when a process has said that its mappings change.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor, and the result borrows from it.
        unsafe { BorrowedFd::borrow_raw(self.changed.as_raw_fd()) }
    }

    /// Takes note of that.
    pub fn drain(&mut self) {
        while self.changed.next().is_some() {}
    }
}

/// An array of the kernel's in our memory.
struct Mapped<T> {
    memory: MmapRaw,
    entries: u32,
    /// Keeps the map.
    _map: MapData,
    values: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    /// `T` must be the type of the map's values, and a multiple of 8 bytes.
    fn of(ebpf: &mut Ebpf, name: &str, entries: u32) -> Result<Self, LoadError> {
        let Map::Array(map) = take(ebpf, name)? else {
            return Err(LoadError::Missing(name.to_owned()));
        };
        // The kernel maps whole pages.
        let page = procfs::page_size() as usize;
        let length = (entries as usize * size_of::<T>()).next_multiple_of(page);
        let memory = MmapOptions::new()
            .len(length)
            .map_raw(&map.fd().as_fd())
            .map_err(LoadError::Mapping)?;
        Ok(Self {
            memory,
            entries,
            _map: map,
            values: PhantomData,
        })
    }

    /// Writes `values` from the index `first` on. Eight-byte parts of them are written at once each,
    /// nothing larger is.
    fn write(&mut self, first: u32, values: &[T]) {
        assert!(
            first as usize + values.len() <= self.entries as usize,
            "within the map"
        );
        // SAFETY: within the mapping (checked above), which is `entries` values long; plain bytes; the
        // programs read that part only after it was published.
        unsafe {
            let place = self.memory.as_mut_ptr().cast::<T>().add(first as usize);
            place.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }

    #[cfg(test)]
    fn read(&self, first: u32, count: u32) -> Vec<T> {
        assert!(first + count <= self.entries, "within the map");
        let place = self.memory.as_mut_ptr().cast::<T>();
        // SAFETY: within the mapping; plain bytes, which nobody writes meanwhile.
        (first..first + count)
            .map(|index| unsafe { place.add(index as usize).read_volatile() })
            .collect()
    }
}
