//! unfreed's eBPF programs. Loaded and attached by the user side's `bpf` module.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::inline_always,
    reason = "each program must be one function: a call would add a frame that check_max_stack_depth counts"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros call programs with the context by value"
)]

mod bound;
mod clock;
mod counters;
mod frame_pointer;
mod gaps;
mod heap;
mod insert;
mod live;
mod loss;
mod machine;
mod maps;
mod memo;
mod moves;
mod pages;
mod process;
mod rules;
mod sampler;
mod settings;
mod stack;
mod thread;
mod touch;
mod track;
mod trampoline;
mod unwind;
mod window;
mod word;

/// A panic would have to loop, which the verifier refuses: no program that can panic is ever loaded.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
