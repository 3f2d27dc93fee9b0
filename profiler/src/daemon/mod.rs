//! `unfreed daemon`: when to record, where recordings are kept, how they are read. The recording itself is
//! [`crate::pipeline`]'s, in a process of its own for each (`worker`).

pub mod config;
pub mod control;
pub mod entry;
pub mod growth;
pub mod http;
mod logging;
pub mod matching;
pub mod reading;
mod service;

pub mod status;
pub mod store;
mod supervisor;
mod systemd;
pub mod trigger;
pub mod worker;

pub use service::run;
