//! The table of real programs against their symbols, tables of each form, and damaged ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use proptest::prelude::*;

use super::Functions;
use super::form::Form;
use super::made::{PLAIN, Program, WITH_C};
use crate::damage;
use crate::unwind::Table;

static SMALL: LazyLock<Vec<u8>> =
    LazyLock::new(|| Program::built(&["-ldflags", "-s -w"], PLAIN).bytes());

/// What is in brackets (a size, type parameters) is not in the table.
fn without_brackets(name: &str) -> String {
    let mut depth = 0;
    let mut kept = String::new();
    for character in name.chars() {
        depth -= i32::from(character == ']');
        if depth == 0 {
            kept.push(character);
        }
        depth += i32::from(character == '[');
    }
    kept
}

/// Symbols of code, by address.
fn symbols(elf: &[u8]) -> BTreeMap<u64, Vec<String>> {
    let file = object::File::parse(elf).unwrap();
    let mut symbols: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for symbol in file.symbols().filter(|it| it.kind() == SymbolKind::Text) {
        let name = symbol.name().unwrap();
        let name = without_brackets(name.trim_end_matches(".abi0"));
        symbols.entry(symbol.address()).or_default().push(name);
    }
    symbols
}

/// Every function has its symbol, and every method of package runtime its function.
fn is_right(program: &Program) {
    let elf = program.bytes();
    let symbols = symbols(&elf);
    let functions = Functions::of_elf(&elf).unwrap();
    let mut count = 0;
    for function in functions.iter() {
        let names = &symbols[&function.range.start];
        let name = without_brackets(function.name);
        assert!(names.contains(&name), "{name} is {names:?}");
        for address in [function.range.start, function.range.end - 1] {
            assert_eq!(functions.at(address).unwrap().name, function.name);
        }
        count += 1;
    }
    assert!(count > 1000, "{count}");
    for (address, names) in &symbols {
        for name in names.iter().filter(|it| it.starts_with("runtime.(*")) {
            let function = functions.at(*address).unwrap();
            assert_eq!(function.range.start, *address);
            assert_eq!(without_brackets(function.name), *name);
        }
    }
    let last = functions.iter().last().unwrap();
    assert!(functions.at(last.range.end).is_none());
    assert!(functions.at(0).is_none() && functions.at(u64::MAX).is_none());
}

#[test]
fn names_are_those_of_the_symbols() {
    for source in [PLAIN, WITH_C] {
        is_right(&Program::built(&[], source));
        is_right(&Program::built(&["-buildmode=pie"], source));
    }
}

/// Position-independent with C, and stripped: there is no section for it, nor any symbol.
#[test]
fn among_other_data() {
    let flags = ["-buildmode=pie", "-ldflags", "-s -w"];
    let elf = Program::built(&flags, WITH_C).bytes();
    let file = object::File::parse(&*elf).unwrap();
    assert!(
        file.sections()
            .all(|it| !it.name().unwrap().ends_with("pclntab"))
    );
    let functions = Functions::of_elf(&elf).unwrap();
    let main = functions.iter().find(|it| it.name == "main.main").unwrap();
    assert!(main.stack_sizes().any(|(_, size)| size > 0));
}

/// Where the linker put the code is not always said, and may be wrong.
#[test]
fn the_beginning_of_the_code_is_proved() {
    let file = object::File::parse(&**SMALL).unwrap();
    let section = file.section_by_name(".gopclntab").unwrap();
    let (at, _) = section.file_range().unwrap();
    let place = |elf: &[u8]| {
        Functions::of_elf(elf)?
            .iter()
            .next()
            .map(|it| it.range.start)
    };
    let mut elf = SMALL.clone();
    let text = at as usize + 24;
    assert!(place(&elf).is_some());
    for other in [0, 16, u64::MAX] {
        elf[text..text + 8].copy_from_slice(&other.to_le_bytes());
        assert_eq!(place(&elf), place(&SMALL));
    }
    // The function that every goroutine returns to.
    let functions = Functions::of_elf(&SMALL).unwrap();
    let outermost = functions
        .iter()
        .find(|it| it.name == "runtime.goexit")
        .unwrap();
    let code = file.section_by_name(".text").unwrap();
    let (code_at, _) = code.file_range().unwrap();
    let call = (outermost.range.start - code.address() + code_at) as usize + 1;
    elf[call] = 0xe9;
    assert_eq!(place(&elf), None);
}

/// A table of one function with an address, a name, and 16 bytes on its stack from its 4th byte to its 9th.
fn made(first: u8) -> Vec<u8> {
    let mut table = vec![first, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let wide = matches!(first, 0xfa | 0xfb);
    let number = |number: u64| {
        let bytes = number.to_le_bytes();
        bytes[..if wide { 8 } else { 4 }].to_vec()
    };
    // From the beginning of the table: the header, names, numbers, functions.
    let (names, values, functions) = (0x60, 0x70, 0x80);
    let words: &[u64] = match first {
        0xfb => &[1],
        0xfa => &[1, 0, names, 0, 0, values, functions],
        _ => &[1, 0, 0x40_1000, names, 0, 0, values, functions],
    };
    table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let apart = first != 0xfb;
    let details = if apart { 40 } else { 0xc0 };
    let starts = [number(0x1000), number(details), number(0x1009)].concat();
    if !apart {
        table.extend(&starts);
    }
    table.resize(0x60, 0);
    table.extend(b"\0main.f\0");
    table.resize(0x70, 0);
    // 0 for 4 bytes, 16 for 5, the end.
    table.extend([0, 2, 4, 32, 5, 0]);
    table.resize(0x80, 0);
    if apart {
        table.extend(&starts);
        table.resize(0x80 + 40, 0);
    } else {
        table.resize(0xc0, 0);
    }
    let of = |offset: u32, base: u64| offset + if apart { 0 } else { base as u32 };
    table.extend(number(0x1000));
    for field in [of(1, names), 0, 0, of(1, values)] {
        table.extend(field.to_le_bytes());
    }
    table.extend([0; 24]);
    table
}

#[test]
fn every_form() {
    for first in [0xfb, 0xfa, 0xf0, 0xf1] {
        let table = made(first);
        let form = Form::read(&table).unwrap();
        assert_eq!(
            (form.count(), form.start(0), form.start(1)),
            (1, Some(0x1000), Some(0x1009))
        );
        let details = form.details(0).unwrap();
        assert_eq!(details.name, "main.f");
        let sizes = details.stack_sizes.collect::<Vec<_>>();
        assert_eq!(sizes, [(4, 0), (9, 16)], "{first:x}");
        assert!(form.details(1).is_none() && form.start(2).is_none());
        for length in 0..table.len() {
            let Some(form) = Form::read(&table[..length]) else {
                continue;
            };
            let _ = form.details(0).map(|it| it.stack_sizes.count());
        }
    }
    assert!(Form::read(&made(0xf2)).is_none());
}

/// Everything that is made of a file.
fn check(elf: &[u8]) {
    if let Some(functions) = Functions::of_elf(elf) {
        for function in functions.iter().take(2000) {
            let _ = function.stack_sizes().take(100).count();
            let _ = functions.at(function.range.start);
        }
    }
    let _ = Table::of_elf(elf);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_bytes_changed(elf in damage::anywhere(&SMALL)) {
        check(&elf);
    }

    #[test]
    fn table_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        in_header in any::<bool>(),
    ) {
        let mut elf = SMALL.clone();
        let file = object::File::parse(&**SMALL).unwrap();
        let (at, size) = file.section_by_name(".gopclntab").unwrap().file_range().unwrap();
        let size = if in_header { 72 } else { size as usize };
        for (place, byte) in changes.into_iter().take(if in_header { 3 } else { 200 }) {
            elf[at as usize + place.index(size)] = byte;
        }
        check(&elf);
    }
}
