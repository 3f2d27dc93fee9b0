//! What each site took and gave back, by the sizes of the layouts. Kept in static memory.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::fmt::Write as _;
use std::io::{BufRead, Write as _};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where the program allocates. `None` of them: not recorded.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Site {
    Boxed,
    Vector,
    Capacity,
    Zeroed,
    Text,
    Map,
    Raw,
    RawZeroed,
    RawRealloc,
    Thread,
}

const NAMES: [&str; 10] = [
    "site_box",
    "site_vec",
    "site_with_capacity",
    "site_zeroed",
    "site_string",
    "site_map",
    "site_raw",
    "site_raw_zeroed",
    "site_raw_realloc",
    "site_thread",
];

#[derive(Default)]
struct Weight {
    bytes: AtomicU64,
    count: AtomicU64,
}

impl Weight {
    const ZERO: Self = Self {
        bytes: AtomicU64::new(0),
        count: AtomicU64::new(0),
    };

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (
            self.bytes.load(Ordering::Relaxed),
            self.count.load(Ordering::Relaxed),
        )
    }
}

static TAKEN: [Weight; NAMES.len()] = [const { Weight::ZERO }; NAMES.len()];
static GIVEN_BACK: [Weight; NAMES.len()] = [const { Weight::ZERO }; NAMES.len()];

thread_local! {
    static CURRENT: Cell<Option<Site>> = const { Cell::new(None) };
}

/// While this lives, what the thread takes belongs to a site.
pub struct Entered(());

pub fn enter(site: Site) -> Entered {
    CURRENT.set(Some(site));
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

const SLOTS: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Slot {
    /// 0 when empty.
    block: usize,
    site: usize,
    size: usize,
}

/// Which blocks belong to which site: open addressing with linear probing.
struct Table {
    locked: AtomicBool,
    slots: UnsafeCell<[Slot; SLOTS]>,
}

// SAFETY: `slots` is only touched in `with`, under the lock.
unsafe impl Sync for Table {}

static TABLE: Table = Table {
    locked: AtomicBool::new(false),
    slots: UnsafeCell::new(
        [Slot {
            block: 0,
            site: 0,
            size: 0,
        }; SLOTS],
    ),
};

impl Table {
    fn with<T>(&self, action: impl FnOnce(&mut [Slot; SLOTS]) -> T) -> T {
        while self.locked.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: the lock is held, and `action` does not come back here.
        let result = action(unsafe { &mut *self.slots.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

fn home(block: usize) -> usize {
    (block >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40 & (SLOTS - 1)
}

fn find(slots: &[Slot; SLOTS], block: usize) -> usize {
    let mut i = home(block);
    while slots[i].block != 0 && slots[i].block != block {
        i = (i + 1) & (SLOTS - 1);
    }
    i
}

fn take(block: *mut u8, size: usize) {
    let Some(site) = CURRENT.get() else { return };
    if block.is_null() {
        return;
    }
    let site = site as usize;
    TAKEN[site].add(size);
    TABLE.with(|slots| {
        slots[find(slots, block as usize)] = Slot {
            block: block as usize,
            site,
            size,
        }
    });
}

/// The block is no longer in the table; the slots after it move back.
fn set_aside(block: *mut u8) -> Option<Slot> {
    TABLE.with(|slots| {
        let mut hole = find(slots, block as usize);
        let found = slots[hole];
        if found.block == 0 {
            return None;
        }
        let mut i = (hole + 1) & (SLOTS - 1);
        while slots[i].block != 0 {
            let distance = i.wrapping_sub(home(slots[i].block)) & (SLOTS - 1);
            if distance >= i.wrapping_sub(hole) & (SLOTS - 1) {
                slots[hole] = slots[i];
                hole = i;
            }
            i = (i + 1) & (SLOTS - 1);
        }
        slots[hole].block = 0;
        Some(found)
    })
}

/// A global allocator that enters what it does in the ledger.
pub struct Ledger<A>(pub A);

// SAFETY: every call is passed on unchanged.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Ledger<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc(layout) };
        take(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        take(block, layout.size());
        block
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let aside = set_aside(old);
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.realloc(old, layout, size) };
        if let Some(slot) = aside {
            if block.is_null() {
                TABLE.with(|slots| slots[find(slots, slot.block)] = slot);
            } else {
                GIVEN_BACK[slot.site].add(slot.size);
            }
        }
        take(block, size);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(slot) = set_aside(block) {
            GIVEN_BACK[slot.site].add(slot.size);
        }
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) };
    }
}

fn wait_for_line() -> bool {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .is_ok_and(|read| read > 0)
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        exit(1);
    }
}

/// Prints `ready` and waits for the line that starts the workload.
pub fn start() {
    say("ready\n");
    if !wait_for_line() {
        exit(1);
    }
}

/// Prints the ledger, waits for a line or the end of input, and exits.
pub fn finish() -> ! {
    let mut text = String::from("{\"sites\":{");
    for (i, name) in NAMES.iter().enumerate() {
        let (taken, given) = (TAKEN[i].get(), GIVEN_BACK[i].get());
        let weights = [
            ("taken", taken),
            ("given_back", given),
            ("outstanding", (taken.0 - given.0, taken.1 - given.1)),
        ];
        let _ = write!(text, "{}\"{name}\":{{", if i > 0 { "," } else { "" });
        for (k, (kind, (bytes, count))) in weights.iter().enumerate() {
            let comma = if k > 0 { "," } else { "" };
            let _ = write!(
                text,
                "{comma}\"{kind}\":{{\"bytes\":{bytes},\"count\":{count}}}"
            );
        }
        text.push('}');
    }
    text.push_str("}}\n");
    say(&text);
    wait_for_line();
    exit(0)
}
