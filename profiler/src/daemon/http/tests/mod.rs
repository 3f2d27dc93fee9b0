//! The service in this process, on a real listener, with a made-up status and a store with real files.

mod access;
mod api;
mod hostile;
mod pages;
mod served;
mod socket;
pub mod status;
pub mod stored;
