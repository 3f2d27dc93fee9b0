//! Walks a stack by frame pointers alone (`--unwind fp`): callers compiled without them are skipped,
//! and code that uses the register for data ends the walk or leads astray.

use aya_ebpf::helpers::bpf_probe_read_user_buf;
use unfreed_common::stack::MAX_FRAMES;
use unfreed_common::thread::Thread;
use unfreed_common::unwind::Stop;

use crate::memo;
use crate::unwind::LOWEST_CODE;

/// A frame larger than this is taken for a register that is not a frame pointer.
const MAX_FRAME_BYTES: u64 = 16 << 20;

/// Walks from where `unwind::begin` has prepared to the end.
#[inline(always)]
pub fn walk(thread: &mut Thread) {
    // What is read here is not noted.
    memo::forget(&mut thread.memo);
    let record = &mut thread.record;
    let mut below = thread.walk.frame.sp - 1;
    let mut frame = thread.walk.frame.fp;
    let mut stop = Stop::Depth;
    for depth in 2..=MAX_FRAMES {
        if frame == 0 {
            stop = Stop::FramePointerEnd;
            break;
        }
        if frame <= below || frame & 7 != 0 || frame - below > MAX_FRAME_BYTES {
            stop = Stop::NoTable;
            break;
        }
        let words = &mut thread.window.words;
        if !read_pair(frame, words) {
            stop = Stop::Unreadable;
            break;
        }
        let (next, caller) = (words[0], words[1]);
        if caller < LOWEST_CODE {
            stop = if caller == 0 {
                Stop::FramePointerEnd
            } else {
                Stop::NoTable
            };
            break;
        }
        if depth == MAX_FRAMES {
            break;
        }
        record.frames[depth] = caller;
        thread.walk.depth = depth as u64 + 1;
        below = frame;
        frame = next;
    }
    record.header.stop = stop as u32;
}

/// Reads a saved frame pointer and the return address above it; false where nothing is mapped or it
/// is not in memory.
#[inline(always)]
fn read_pair(address: u64, words: &mut [u64]) -> bool {
    // SAFETY: two u64 are 16 initialized bytes; the kernel checks the source address.
    unsafe {
        let bytes = core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), 16);
        bpf_probe_read_user_buf(address as *const u8, bytes).is_ok()
    }
}
