//! Every instruction by which a function returns.

use super::image::Image;
use crate::site::{Edge, Kind, Limits, Place, explore};

/// The file offsets of all `ret`s between `entry` and the caller, prefixes included, those of
/// functions that it ends in by a jump and those behind its exception handlers too. The error is
/// the middle of a sentence.
///
/// An exception that leaves the function ends no call by a `ret`, and needs none: the kernel side
/// drops what is pending by the stack pointer.
pub fn returns(image: &Image<'_>, entry: u64, budget: &mut usize) -> Result<Vec<u64>, String> {
    let mut limits = Limits {
        follow: &|_| true,
        handlers: true,
        budget,
    };
    let graph = explore(image, entry, &mut limits).map_err(|lost| lost.to_string())?;
    let mut found = Vec::new();
    for (address, step) in &graph {
        for edge in &step.edges {
            match edge {
                Edge::To(_) => {}
                Edge::Out(Place::Elsewhere(name)) => {
                    return Err(format!("it ends in a jump to {name} in another file"));
                }
                Edge::Out(Place::Here(to)) => return Err(format!("it ends in a jump to {to:#x}")),
                Edge::Unknown => {
                    return Err(format!(
                        "the jump at {address:#x} leads where only it knows"
                    ));
                }
            }
        }
        if step.kind == Kind::Return {
            let offset = image.offset(*address);
            found.push(offset.ok_or_else(|| format!("{address:#x} is not in the file"))?);
        }
    }
    if found.is_empty() {
        return Err("it has no instruction that returns".to_owned());
    }
    found.sort_unstable();
    Ok(found)
}
