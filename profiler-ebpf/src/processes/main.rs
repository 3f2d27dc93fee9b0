//! The daemon's watch over processes. An object of its own, as it is loaded once for all recordings.
#![no_std]
#![no_main]
#![expect(
    clippy::inline_always,
    reason = "each program must be one function: a call would add a frame that check_max_stack_depth counts"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros call programs with the context by value"
)]

mod events;

/// A panic would have to loop, which the verifier refuses: no program that can panic is ever loaded.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
