//! Reads what the programs have gathered.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use unfreed_common::alloc::{Block, BlockKey, GivenBack};
use unfreed_common::config::{Control, Ended};
use unfreed_common::loss::{Loss, Note};
use unfreed_common::page::{Move, SMALLEST_PAGE, Touch, Touches};
use unfreed_common::sample::WHOLE;
use unfreed_common::stack::{StackHeader, StackTotals};
use unfreed_common::thread::{Call, Thread};
use unfreed_common::unwind::mode;

use super::batch;
use super::load::Bpf;
use super::tables::Tables;
use crate::profile::{Unwind, Weight};
use crate::target::monotonic_now;

/// Bytes of a page, for a step.
const PAGE: usize = SMALLEST_PAGE as usize;

/// A stack that was seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStack {
    /// What is known of it.
    pub header: StackHeader,
    /// Addresses in the process, from the innermost outwards.
    pub frames: Vec<u64>,
}

impl NewStack {
    /// Whether the frame at this index is an interrupted instruction, not a return address.
    pub fn is_interrupted(&self, index: usize) -> bool {
        let word = self.header.interrupted.get(index / 64);
        word.is_some_and(|word| word >> (index % 64) & 1 != 0)
    }
}

/// What a stack took, an estimate when not every block is recorded.
#[derive(Debug, Clone, Copy)]
pub struct StackEntry {
    /// The stack's id.
    pub hash: u64,
    /// What it took so far.
    pub taken: Weight,
}

/// A block that a realloc in flight has set aside: it is still live.
#[derive(Debug, Clone, Copy)]
pub struct PendingBlock(pub Block);

impl Bpf {
    /// Begins or ends the recording for `tgid`, at once and for all programs.
    pub fn set_recording(
        &mut self,
        tgid: u32,
        unwind: Unwind,
        recording: bool,
    ) -> anyhow::Result<()> {
        let control = Control {
            recording: recording.into(),
            tgid,
            unwind: match unwind {
                Unwind::Auto => mode::AUTO,
                Unwind::FramePointers => mode::FRAME_POINTERS,
                Unwind::Tables => mode::TABLES,
            },
            padding: 0,
            since: monotonic_now(),
        };
        self.control
            .set(0, control, 0)
            .context("switching the recording")
    }

    /// Waits for programs that were running when the recording was switched off: then nothing in the maps changes any more.
    /// Some hundredths of a second.
    pub fn settle(&self) -> anyhow::Result<()> {
        self.barrier
            .wait()
            .context("waiting for eBPF programs that are running")
    }

    /// Whether and why the target ended the recording by itself.
    pub fn ended(&self) -> anyhow::Result<Ended> {
        self.ended.get(&0, 0).context("reading the map ENDED")
    }

    /// The ring of new stacks, once; poll its file descriptor, then give it to [`drain`].
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        self.new_stacks.take()
    }

    /// The ring of moved memory, once; poll its file descriptor, then give it to [`drain_moves`].
    pub fn take_moves(&mut self) -> Option<RingBuf<MapData>> {
        self.moves.take()
    }

    /// The maps of the unwind tables, once.
    pub fn take_tables(&mut self) -> Option<Tables> {
        self.tables.take()
    }

    /// Calls `each` for every live block.
    pub fn live_blocks(&self, mut each: impl FnMut(&Block)) -> anyhow::Result<()> {
        self.for_each::<BlockKey, Block>("LIVE", |_, block| {
            if !block.is_vacant() {
                each(block);
            }
        })
    }

    /// Calls `each` for every page that was touched, with its address.
    pub fn touches(&self, mut each: impl FnMut(u64, &Touch)) -> anyhow::Result<()> {
        self.for_each::<BlockKey, Touches>("TOUCHES", |key, touches| {
            for (page, kept) in (key.address..).step_by(PAGE).zip(&touches.kept) {
                if let Some(touch) = kept.touch() {
                    each(page, &touch);
                }
            }
        })
    }

    /// The last touch of one page, if it was touched and there was room.
    pub fn touch(&self, tgid: u32, page: u64) -> anyhow::Result<Option<Touch>> {
        let touches = HashMap::<_, BlockKey, Touches>::try_from(self.map("TOUCHES")?)?;
        let (address, index) = Touches::place(page);
        let key = BlockKey {
            tgid,
            padding: 0,
            address,
        };
        match touches.get(&key, 0) {
            Ok(touches) => Ok(touches.kept[index as usize].touch()),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("reading the map TOUCHES"),
        }
    }

    /// Blocks set aside by reallocs that have not returned.
    pub fn pending_blocks(&self) -> anyhow::Result<Vec<PendingBlock>> {
        let mut pending = Vec::new();
        self.threads(|thread| {
            let interrupted = thread
                .interrupted
                .iter()
                .take(thread.interrupted_count as usize);
            for call in std::iter::once(&thread.call).chain(interrupted) {
                let Call {
                    slot, has_old, old, ..
                } = *call;
                if slot != 0 && has_old != 0 {
                    pending.push(PendingBlock(old));
                }
            }
        })?;
        Ok(pending)
    }

    /// Every stack's totals, with what threads have counted and not yet added.
    pub fn stacks(&self) -> anyhow::Result<Vec<StackEntry>> {
        let mut pending: BTreeMap<u64, Weight> = BTreeMap::new();
        let mut add = |thread: &Thread| {
            for memo in &thread.memos {
                *pending.entry(memo.stack).or_default() += Weight {
                    bytes: memo.pending_bytes,
                    count: memo.pending_count,
                };
            }
        };
        self.threads(&mut add)?;
        let faulting: PerCpuArray<_, Thread> =
            PerCpuArray::try_from(self.map("FAULTING")?).context("reading the map FAULTING")?;
        faulting.get(&0, 0)?.iter().for_each(add);
        let mut stacks = Vec::new();
        self.for_each::<u64, StackTotals>("STACKS", |&hash, &totals| {
            let pending = pending.get(&hash).copied().unwrap_or_default();
            let taken = self.whole(Weight {
                bytes: totals.taken_bytes + pending.bytes,
                count: totals.taken_count + pending.count,
            });
            stacks.push(StackEntry { hash, taken });
        })?;
        Ok(stacks)
    }

    /// Calls `each` for the state of every thread.
    fn threads(&self, mut each: impl FnMut(&Thread)) -> anyhow::Result<()> {
        const NEAR: &str = "NEAR";
        let near: Array<_, Thread> =
            Array::try_from(self.map(NEAR)?).with_context(|| format!("reading the map {NEAR}"))?;
        for thread in near.iter() {
            let thread = thread.with_context(|| format!("reading the map {NEAR}"))?;
            if thread.owner != 0 {
                each(&thread);
            }
        }
        self.for_each::<u32, Thread>("THREADS", |_, thread| each(thread))
    }

    /// What was given back so far.
    pub fn given_back(&self) -> anyhow::Result<Weight> {
        const NAME: &str = "GIVEN_BACK";
        let sums: PerCpuArray<_, GivenBack> = PerCpuArray::try_from(self.map(NAME)?)
            .with_context(|| format!("reading the map {NAME}"))?;
        let mut weight = Weight::default();
        for sum in sums.get(&0, 0)?.iter() {
            weight += Weight {
                bytes: sum.bytes,
                count: sum.count,
            };
        }
        Ok(self.whole(weight))
    }

    /// A sum of the programs', in whole blocks.
    fn whole(&self, sum: Weight) -> Weight {
        let unit = if self.sampled { WHOLE } else { 1 };
        Weight {
            count: (sum.count + unit / 2) / unit,
            ..sum
        }
    }

    /// Every loss counter, zeros included.
    pub fn losses(&self) -> anyhow::Result<Vec<(Loss, u64)>> {
        let counters = self.counters("LOSSES")?;
        Loss::ALL
            .iter()
            .map(|&loss| Ok((loss, counters.get(&(loss as u32), 0)?)))
            .collect()
    }

    /// The same by name.
    pub fn losses_by_name(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let losses = self.losses()?.into_iter();
        Ok(losses
            .map(|(loss, count)| (loss.name().to_owned(), count))
            .collect())
    }

    /// Every other counter, by name.
    pub fn notes(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let counters = self.counters("NOTES")?;
        Note::ALL
            .iter()
            .map(|&note| Ok((note.name().to_owned(), counters.get(&(note as u32), 0)?)))
            .collect()
    }

    fn counters(&self, name: &str) -> anyhow::Result<Array<&MapData, u64>> {
        Array::try_from(self.map(name)?).with_context(|| format!("reading the map {name}"))
    }

    fn for_each<K: Pod + Send, V: Pod + Send>(
        &self,
        name: &str,
        each: impl FnMut(&K, &V),
    ) -> anyhow::Result<()> {
        let fd = map_fd(self.map(name)?)?;
        batch::for_each(fd, each).with_context(|| format!("reading the map {name}"))
    }

    pub(super) fn map(&self, name: &str) -> anyhow::Result<&Map> {
        self.ebpf
            .map(name)
            .with_context(|| format!("the eBPF object has no map {name}"))
    }
}

/// Takes all new stacks out of the ring.
pub fn drain(ring: &mut RingBuf<MapData>, mut each: impl FnMut(NewStack)) {
    while let Some(record) = ring.next() {
        if let Some(stack) = parse(&record) {
            each(stack);
        }
    }
}

/// A descriptor of its own for the ring, readable when there is something in it.
pub fn descriptor(ring: &RingBuf<MapData>) -> io::Result<OwnedFd> {
    // SAFETY: the ring owns the descriptor, and lives longer than this borrow.
    unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }.try_clone_to_owned()
}

/// Takes all moves out of the ring.
pub fn drain_moves(ring: &mut RingBuf<MapData>) -> Vec<Move> {
    let mut moves = Vec::new();
    while let Some(record) = ring.next() {
        if record.len() >= size_of::<Move>() {
            // SAFETY: as many bytes as the type has, at any alignment; any bytes are a value of it.
            moves.push(unsafe { record.as_ptr().cast::<Move>().read_unaligned() });
        }
    }
    moves
}

/// A `StackRecord` as bytes: the header, then frames.
fn parse(record: &[u8]) -> Option<NewStack> {
    let (header, frames) = record.split_at_checked(size_of::<StackHeader>())?;
    // SAFETY: as many bytes as the type has, at any alignment; any bytes are a value of it.
    let header = unsafe { header.as_ptr().cast::<StackHeader>().read_unaligned() };
    let frames = frames
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
        .collect();
    Some(NewStack { header, frames })
}

fn map_fd(map: &Map) -> io::Result<BorrowedFd<'_>> {
    match map {
        Map::HashMap(data) | Map::Array(data) => Ok(data.fd().as_fd()),
        _ => Err(io::Error::other("not a hash map")),
    }
}
