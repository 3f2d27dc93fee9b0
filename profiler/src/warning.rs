//! Everything that can be doubtful about a result, and what to do about it. A closed list: each
//! warning has its advice, and nothing else is ever printed as a warning.

use std::fmt;

use crate::profile::Bounds;

/// What is doubtful about a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Events were lost for this reason.
    Lost {
        /// The loss counter's name.
        reason: &'static str,
        /// How many.
        count: u64,
        /// What it does to the numbers, and the remedy.
        advice: &'static str,
    },
    /// A function of an allocator cannot be probed without risk for the target.
    Unprobed {
        /// The function.
        symbol: String,
        /// The file that defines it.
        module: String,
        /// Why.
        reason: String,
    },
    /// A module was loaded during the recording; what it did before its probes is not counted.
    LateModule {
        /// Its path.
        module: String,
    },
    /// To keep the cost of recording within its bound, the target was recorded now and then.
    Gaps {
        /// How often.
        slices: usize,
        /// How far the share of what the target did that was observed may be off, in percent of itself: its standard error.
        percent: u32,
        /// Between which numbers is unfreed, if that is known.
        bounds: Option<Bounds>,
    },
    /// The kernel has a mistake that recording can run into.
    Kernel(&'static str),
    /// The kernel does not tell of every file that is mapped.
    MappingsUnheard {
        /// Why.
        reason: String,
    },
    /// A module has no unwind information that can be used.
    NoUnwindTable {
        /// Its path.
        module: String,
        /// Why.
        reason: String,
    },
    /// There was no room for the unwind tables of some modules.
    TablesFull {
        /// How many.
        modules: u64,
    },
    /// There was no room to follow pages that were moved.
    MovedPages {
        /// How many.
        pages: u64,
    },
    /// A module could not be read.
    UnreadableModule {
        /// Its path.
        module: String,
        /// Why.
        reason: String,
    },
    /// As a recording that was read back says it: the sentence of one of the others.
    Recorded(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost {
                reason,
                count,
                advice,
            } => write!(f, "{count} events lost ({reason}): {advice}"),
            Self::Unprobed {
                symbol,
                module,
                reason,
            } => write!(
                f,
                "{symbol} of {module} is not traced: {reason}. Blocks from it are missing here; \
                 `unfreed pages` still sees their memory"
            ),
            Self::Kernel(words) => f.write_str(words),
            Self::Gaps { slices: 1, .. } => f.write_str(
                "the bound on overhead was reached, and the rest of the recording was too short to go on: what was \
                 live then is shown as unfreed, given back since or not; record for longer, or with a larger \
                 --max-overhead",
            ),
            Self::Gaps {
                slices,
                percent,
                bounds,
            } => {
                write!(
                    f,
                    "to keep within the bound on overhead the target was recorded in {slices} slices: what was given \
                     back in a gap is shown as unfreed until its address is seen to be freed or handed out again, so \
                     blocks that live longer than a slice, but not for ever, can be shown many times over: what is \
                     shown of a stack is an upper bound; and all numbers may be off together, by about {percent} %, as it is \
                     not known any better which share of the target's work was observed (too low by more, if its own \
                     code is much slower beside probes)"
                )?;
                if let Some(bounds) = bounds {
                    let Bounds { at_least, at_most } = bounds;
                    write!(
                        f,
                        "; of the {at_most} blocks that are shown as unfreed at least {at_least} are, all stacks \
                         together, as so many more were taken than given back, and of those of one stack at least all \
                         but {} (in blocks only: a free does not tell a size)",
                        bounds.uncertain()
                    )?;
                }
                f.write_str("; record for longer, or with --sample instead, which has no gaps")
            }
            Self::LateModule { module } => write!(
                f,
                "{module} defines an allocator and was loaded during the recording: what it \
                 allocated before its probes were attached is not counted; record again to have it"
            ),
            Self::MappingsUnheard { reason } => write!(
                f,
                "not every newly mapped file was noticed at once ({reason}): where a library took the \
                 place of another, frames can have the other's names; weights are exact"
            ),
            Self::NoUnwindTable { module, reason } => write!(
                f,
                "no unwind info for {module} ({reason}): through its code stacks follow frame \
                 pointers, and callers can be missing or stacks cut"
            ),
            Self::TablesFull { modules } => write!(
                f,
                "there was no room for the unwind tables of {modules} modules: in their code stacks \
                 follow frame pointers, and callers can be missing; record for a shorter time"
            ),
            Self::MovedPages { pages } => write!(
                f,
                "there was no room to follow {pages} pages that were moved (mremap): they are \
                 unexplained; record with a larger --max-pages"
            ),
            Self::UnreadableModule { module, reason } => write!(
                f,
                "{module} cannot be read ({reason}): an allocator in it is not traced and its \
                 frames have no names"
            ),
            Self::Recorded(words) => f.write_str(words),
        }
    }
}
