//! Where the table is, and which code it is about.

use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSegment as _, elf};

use super::Functions;
use super::form::{Form, is_beginning};

/// Sections that are nothing else, in the order in which they are looked for.
const SECTIONS: [&[u8]; 2] = [b".gopclntab", b".data.rel.ro.gopclntab"];

/// What another linker than Go's makes of the second of them, when there is C in a position-independent
/// program: a part of this one.
const AMONG_OTHERS: &[u8] = b".data.rel.ro";

/// Where the table may begin in it.
const ALIGNMENT: usize = 32;

/// Beginnings that are tried.
const MAX_TRIED: usize = 16;

/// Code that is like the one that is looked for, and is looked at.
const MAX_LIKELY: usize = 1 << 16;

/// Every goroutine returns to the second byte of this function, which calls the other one: `nop`,
/// `call`, in all versions, since stack traces need a byte before the return address.
const OUTERMOST: &str = "runtime.goexit";
const CALLED_BY_IT: &str = "runtime.goexit1";

type Elf<'data> = ElfFile64<'data, Endianness>;

/// The table of a file.
pub(super) fn find<'data>(elf: &Elf<'data>) -> Option<Functions<'data>> {
    if elf.elf_header().e_machine(elf.endian()) != elf::EM_X86_64 {
        return None;
    }
    let section = |name| section(elf, name);
    if let Some(table) = SECTIONS.into_iter().find_map(section) {
        return whose_code_is_known(elf, table);
    }
    let among = section(AMONG_OTHERS)?;
    let mut places = (0..among.len()).step_by(ALIGNMENT).map(|at| &among[at..]);
    places
        .by_ref()
        .filter(|place| is_beginning(place))
        .take(MAX_TRIED)
        .find_map(|table| whose_code_is_known(elf, table))
}

fn section<'data>(elf: &Elf<'data>, name: &[u8]) -> Option<&'data [u8]> {
    let (_, section) = elf
        .elf_section_table()
        .section_by_name(elf.endian(), name)?;
    section.data(elf.endian(), elf.data()).ok()
}

/// The table with the address that it counts from. That is not taken from anywhere but proved: the
/// outermost function has to be where the table says, or every name and every row would be another's.
fn whose_code_is_known<'data>(elf: &Elf<'data>, table: &'data [u8]) -> Option<Functions<'data>> {
    let mut form = Form::read(table)?;
    let mut found = None;
    // Assembly calls it by another address than Go does, so it is there twice.
    let mut called = Vec::new();
    for index in 0..form.count() {
        match form.details(index) {
            Some(it) if it.name == OUTERMOST => found = Some((form.start(index)?, it)),
            Some(it) if it.name == CALLED_BY_IT && called.len() < 8 => {
                called.extend(form.start(index));
            }
            _ => {}
        }
    }
    let (outermost, details) = found?;
    form.check_flags(&details);
    let is_right = |code: &[u8]| {
        let [0x90, 0xe8, a, b, c, d, ..] = *code else {
            return false;
        };
        // Behind the two instructions.
        let target = i64::from(i32::from_le_bytes([a, b, c, d])) + 6;
        let target = outermost.checked_add_signed(target);
        target.is_some_and(|target| called.contains(&target))
    };
    let text = Form::text(table);
    let code = text.checked_add(outermost).and_then(|at| code_at(elf, at));
    let text = if code.is_some_and(is_right) {
        text
    } else {
        let found =
            segments(elf).find_map(|(start, code)| Some(start + likely(code, is_right)? as u64));
        found?.checked_sub(outermost)?
    };
    Some(Functions { form, text })
}

/// Where in `code` is what it `is_right` about.
fn likely(code: &[u8], is_right: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let mut at = 0;
    for _ in 0..MAX_LIKELY {
        // The alignment of every function of Go's, at least.
        let next = code
            .get(at..)?
            .chunks(16)
            .position(|it| it.starts_with(&[0x90, 0xe8]))?;
        at += next * 16;
        if is_right(&code[at..]) {
            return Some(at);
        }
        at += 16;
    }
    None
}

/// What is executable, with its virtual address.
fn segments<'data>(elf: &Elf<'data>) -> impl Iterator<Item = (u64, &'data [u8])> {
    elf.segments().filter_map(|segment| {
        let object::SegmentFlags::Elf { p_flags } = segment.flags() else {
            return None;
        };
        let code = segment.data().ok().filter(|_| p_flags & elf::PF_X != 0)?;
        Some((segment.address(), code))
    })
}

fn code_at<'data>(elf: &Elf<'data>, address: u64) -> Option<&'data [u8]> {
    segments(elf)
        .find_map(|(start, code)| code.get(usize::try_from(address.checked_sub(start)?).ok()?..))
}
