//! The command line: parse, run, print the error chain, exit.

fn main() {}
