//! Where the probe on a function's entry goes.

use super::image::{Image, Machine};
use super::{Returns, Shape, Site};
use crate::site::emulation::Emulation;
use crate::site::entry::{Held, emulated};

/// The cheapest place for it that a program can read the arguments at. A return probe that replaces the
/// return address goes to the same place, so that the two cost one trap.
pub fn cheapest(
    image: &Image<'_>,
    address: u64,
    shape: Shape,
    returns: &Returns,
    emulation: Emulation,
    budget: &mut usize,
) -> Option<Site> {
    if image.machine != Machine::X86_64 {
        return None;
    }
    let site = emulated(image, address, emulation, budget)?;
    // A function with a name of its own may begin there: not all who call it come by this one's entry.
    if let Some(named) = image.symbols.extent(site.address)
        && named.start > address
    {
        return None;
    }
    Some(Site {
        offset: image.offset(site.address)?,
        single_stepped: false,
        shift: shift(shape, returns, &site.held)?,
    })
}

/// By how many registers the arguments have moved: only so far as there is a program for it.
fn shift(shape: Shape, returns: &Returns, held: &Held) -> Option<isize> {
    let (arguments, shifts): (&[usize], &[isize]) = match shape {
        Shape::Free => (&[0], &[0]),
        Shape::Size => (&[0], &[0, 1]),
        Shape::SizeSecond => (&[1], &[0, -1]),
        Shape::OutPointer => (&[0, 2], &[0]),
        Shape::Realloc => (&[0, 1], &[0, 1]),
        Shape::Count | Shape::Resize => (&[0, 1], &[0]),
        Shape::ReallocArray => (&[0, 1, 2], &[0]),
    };
    let throwing = matches!(returns, Returns::Instructions(_));
    let shifts = if throwing { &[0] } else { shifts };
    shifts.iter().copied().find(|&shift| {
        arguments.iter().all(|&argument| {
            let register = argument.checked_add_signed(shift);
            register.and_then(|register| held[register]) == Some(argument)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_where_a_program_looks() {
        let of = |shape, held| shift(shape, &Returns::Ignored, &held);
        let as_ever = [Some(0), Some(1), Some(2)];
        let moved = [None, Some(0), Some(1)];
        for shape in [Shape::Size, Shape::Count, Shape::Realloc, Shape::OutPointer] {
            assert_eq!(of(shape, as_ever), Some(0), "{shape:?}");
        }
        assert_eq!(of(Shape::Size, moved), Some(1));
        assert_eq!(of(Shape::Realloc, moved), Some(1));
        assert_eq!(of(Shape::SizeSecond, [Some(1), None, None]), Some(-1));
        assert_eq!(of(Shape::Free, moved), None);
        assert_eq!(of(Shape::Count, moved), None);
        assert_eq!(of(Shape::Realloc, [None, Some(0), None]), None);
        assert_eq!(of(Shape::ReallocArray, [Some(0), Some(1), None]), None);
        let throwing = Returns::Instructions(vec![0]);
        assert_eq!(shift(Shape::Size, &throwing, &moved), None);
        assert_eq!(shift(Shape::Size, &throwing, &as_ever), Some(0));
    }
}
