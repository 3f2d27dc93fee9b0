//! Shared by the test suite and `cargo xtask accuracy`.
