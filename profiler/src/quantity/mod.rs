//! Times, sizes and shares as a user types them, on the command line and in the configuration.

pub mod percent;
pub mod size;
pub mod time;
