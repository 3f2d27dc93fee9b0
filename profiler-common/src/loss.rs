//! Every reason for which an event can be lost, and counters that are not losses.

macro_rules! counters {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident = $name:literal, $advice:literal;)* }) => {
        $(#[$meta])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// All of them, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The counter's name in every output.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does to the numbers, and what to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

counters! {
    /// A reason for which a number may be wrong. Its value is its index in the map of losses.
    Loss {
        /// The live map has no room for one more block.
        LiveMapFull = "live_map_full",
            "that many blocks are missing from the unfreed ones; record with a larger --max-live";
        /// The live map refused a block for another reason (no memory, contention).
        LiveInsertFailed = "live_insert_failed",
            "that many blocks are missing from the unfreed ones; the kernel was short of memory";
        /// The map of touched pages has no room for one more.
        TouchMapFull = "touch_map_full",
            "that many touched pages are unexplained if they are resident; record with a larger \
             --max-pages";
        /// The map of touched pages refused one for another reason (no memory, contention).
        TouchInsertFailed = "touch_insert_failed",
            "that many touched pages are unexplained if they are resident; the kernel was short of \
             memory";
        /// The ring buffer of moved memory was full.
        MoveNotSent = "move_not_sent",
            "that many times memory was moved (mremap) and could not be followed: its pages are \
             unexplained";
        /// A freed block could not be taken out of the live map.
        LiveDeleteFailed = "live_delete_failed",
            "that many freed blocks are shown as unfreed; record again";
        /// An allocation returned an address that was live: a free was not seen.
        FreeMissed = "free_missed",
            "blocks are freed by a function that is not traced, so unfreed blocks may be too many; \
             name the allocator with --allocator";
        /// There are more threads than the table holds.
        ThreadMapFull = "thread_map_full",
            "allocations of some threads are missing; the target has too many threads at a time";
        /// There are more distinct stacks than the table holds.
        StackMapFull = "stack_map_full",
            "blocks of some stacks are counted under `[stack table full]`";
        /// The ring buffer was full when a new stack was to leave through it.
        StackNotSent = "stack_not_sent",
            "that many times a new stack could not be sent; stacks not sent later are shown as \
             `[stack lost]`, with exact weights";
        /// A stack was deeper than what is kept.
        StackTruncated = "stack_truncated",
            "that many stacks are cut off at 127 frames on their outer side; weights are exact";
        /// The result of `posix_memalign` could not be read from the target's memory.
        ResultUnreadable = "result_unreadable",
            "that many blocks are missing from the unfreed ones";
        /// Signal handlers interrupted allocator calls deeper than what is kept.
        SignalDepth = "signal_depth",
            "that many allocations interrupted by nested signal handlers are missing";
        /// Allocator calls nested deeper than the kernel follows return probes (64).
        ReturnDepth = "return_depth",
            "allocations nested deeper than 64 may be missing: the kernel skips their return probes";
    }
}

counters! {
    /// A counter that helps to judge a recording and makes no number wrong.
    Note {
        /// Calls that never returned: left by longjmp, by an exception, or by the thread's exit.
        Unreturned = "calls_left_without_return",
            "allocator calls that never returned (longjmp, exception, thread exit)";
    }
}
