//! A thread that ends inside the allocator leaves a call without a return and nothing else.

use unfreed_tests::matrix::{Allocator, Case};

#[test]
fn threads_that_end_inside_the_allocator_take_nothing_with_them() {
    let case = Case {
        program: "exits",
        allocator: Allocator::Own,
    };
    if let Err(error) = case.check(&[]) {
        panic!("{error:#}");
    }
}
