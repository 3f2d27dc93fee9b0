//! What the kernel tells the daemon of processes' lives.

/// Something happened to a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// One of [`kind`].
    pub kind: u32,
    /// The process.
    pub pid: u32,
    /// By kind: the parent process; the signal.
    pub detail: u32,
    /// Always 0.
    pub padding: u32,
    /// When: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}

/// Signals, by their bits, that end no process when nothing handles them (signal(7)): SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP,
/// SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, as x86-64 and aarch64 number them.
pub const HARMLESS: u64 =
    1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;

/// Values of [`Event::kind`].
pub mod kind {
    /// It came to be; `detail` is its parent.
    pub const FORK: u32 = 1;
    /// It has a new program.
    pub const EXEC: u32 = 2;
    /// Its first thread exited, alone or with the whole process.
    pub const EXIT: u32 = 3;
    /// A thread of it takes a signal that nothing handles and that ends it: `detail`.
    pub const SIGNAL: u32 = 4;
    /// The kernel has chosen it to be ended for want of memory. `pid` is that of one of its threads.
    pub const OUT_OF_MEMORY: u32 = 5;
}
