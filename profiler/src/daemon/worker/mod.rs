//! Recordings are made by workers: this program once more, with an order on its standard input.

mod child;
mod message;
mod run;

pub use child::{Heard, Worker};
pub use message::{Ended, Message, Order, Progress, Written};
pub use run::run;
