//! How our JSON is broken into lines.

use std::io::{self, Write};

use serde_json::ser::Formatter;

/// As deep as elements of the outermost object's arrays are, lines are broken.
const LINES: usize = 2;

/// Breaks lines between the fields of the outermost object and between the elements of its
/// arrays, and nowhere else.
#[derive(Default)]
pub struct Layout {
    /// Of objects and arrays that are open.
    depth: usize,
    /// Whether the array that is a field of the outermost object has an element.
    filled: bool,
}

impl Layout {
    /// Of a value that is written for itself and put in where nothing is broken into lines.
    pub fn inside() -> Self {
        Self {
            depth: LINES,
            filled: false,
        }
    }

    /// Before a value of the object or array that is open; `first` of it or not. On a line of its
    /// own down to the depth of `lines`.
    fn separate<W: ?Sized + Write>(
        &self,
        out: &mut W,
        first: bool,
        lines: usize,
    ) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        if self.depth <= lines {
            out.write_all(b"\n")?;
            out.write_all(&b"    "[..self.depth.min(2) * 2])?;
        } else if !first {
            out.write_all(b" ")?;
        }
        Ok(())
    }
}

impl Formatter for Layout {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        out.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(if self.depth == 0 { b"\n}" } else { b"}" })
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        out.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        let broken = self.depth == 1 && std::mem::take(&mut self.filled);
        out.write_all(if broken { b"\n  ]" } else { b"]" })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.separate(out, first, 1)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.filled |= self.depth == 2;
        self.separate(out, first, LINES)
    }
}
