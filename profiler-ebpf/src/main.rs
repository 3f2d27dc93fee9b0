//! unfreed's eBPF programs.
#![no_std]
#![no_main]
use aya_ebpf::{macros::uprobe, programs::ProbeContext};
#[uprobe]
pub fn heap_free(_ctx: ProbeContext) -> u32 { 0 }
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
