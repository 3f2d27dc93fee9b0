//! Which parts of the array of rows are in use.

/// A number line from which ranges are taken and to which they are given back.
pub struct Space {
    /// (first, count), sorted, apart from each other.
    free: Vec<(u32, u32)>,
    size: u32,
}

impl Space {
    /// All of `size` is free.
    pub fn of(size: u32) -> Self {
        Self {
            free: vec![(0, size)],
            size,
        }
    }

    /// Takes the first free range of this length; `None` when there is none.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let index = self.free.iter().position(|&(_, free)| free >= count)?;
        let (first, free) = self.free[index];
        if free == count {
            self.free.remove(index);
        } else {
            self.free[index] = (first + count, free - count);
        }
        Some(first)
    }

    /// Gives a range back that was taken.
    pub fn give_back(&mut self, first: u32, count: u32) {
        if count == 0 {
            return;
        }
        let index = self.free.partition_point(|&(start, _)| start < first);
        self.free.insert(index, (first, count));
        // With the one behind it, then with the one before it.
        for left in [index, index.wrapping_sub(1)] {
            if let (Some(&(start, length)), Some(&(next, more))) =
                (self.free.get(left), self.free.get(left.wrapping_add(1)))
                && start + length == next
            {
                self.free[left] = (start, length + more);
                self.free.remove(left + 1);
            }
        }
    }

    /// How much is taken.
    pub fn used(&self) -> u32 {
        self.size - self.free.iter().map(|(_, count)| count).sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_taken_twice_and_all_comes_back(sizes in prop::collection::vec(1_u32..40, 1..60)) {
            let mut space = Space::of(400);
            let mut taken: Vec<(u32, u32)> = Vec::new();
            for (turn, &size) in sizes.iter().enumerate() {
                if let Some(first) = space.take(size) {
                    prop_assert!(first + size <= 400);
                    prop_assert!(taken.iter().all(|&(start, count)| start + count <= first || first + size <= start));
                    taken.push((first, size));
                }
                if turn % 3 == 2 && !taken.is_empty() {
                    let (first, count) = taken.swap_remove(turn % taken.len());
                    space.give_back(first, count);
                }
                prop_assert_eq!(space.used(), taken.iter().map(|(_, count)| count).sum::<u32>());
            }
            for (first, count) in taken {
                space.give_back(first, count);
            }
            prop_assert_eq!(space.take(400), Some(0));
        }
    }
}
