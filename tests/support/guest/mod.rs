//! What `/init` of a guest of `cargo xtask vm-test` is made of: it runs the tests of a plan, one after
//! the other, on a kernel that is there for nothing else.

pub mod console;
pub mod kernel_log;
pub mod leftovers;
pub mod machine;
pub mod plan;
pub mod processes;
pub mod run;
