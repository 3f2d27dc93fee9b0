//! Demangled names, short enough for a table.

/// Names longer than this are left alone: nobody will read them, and brackets that are never
/// closed are looked for again and again.
const LONGEST: usize = 4096;

/// Brackets within brackets are shortened down to this depth.
const DEEPEST: usize = 8;

const OPERATOR: &[u8] = b"operator";

/// Template arguments and tuples up to this many bytes stay.
const BRIEF: usize = 8;

/// A demangled C++ or Rust name without what takes the most room and says the least: parameter
/// lists and what follows them (`const`, `[clone ..]`), the return type that the functions made
/// from templates carry, and template arguments, which become `<..>` unless they are brief.
/// Other names stay as they are. Not unique: for people only.
pub fn shorten(name: &str) -> String {
    if name.len() > LONGEST {
        return name.to_owned();
    }
    shorten_at(name, 0)
}

fn shorten_at(name: &str, depth: usize) -> String {
    if depth > DEEPEST {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    // before it stands the return type, should a parameter list follow
    let mut space = None;
    let mut parameters = false;
    // where the signs of an operator begin, once there is one
    let mut operator = None;
    while let Some(c) = rest.chars().next() {
        let begins = !out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if begins && let Some(length) = operator_at(rest.as_bytes()) {
            operator = Some(out.len() + OPERATOR.len());
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let group = match c {
            '<' | '(' | '{' | '[' => group_at(rest.as_bytes()),
            _ => None,
        };
        let Some(length) = group else {
            if let Some(clone) = rest.strip_prefix(" [clone ") {
                rest = clone.split_once(']').map_or("", |(_, after)| after);
                continue;
            }
            if c == ' ' && !parameters && operator.is_none() {
                space = Some(out.len());
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };

        let inside = &rest[1..length - 1];
        let whole = &rest[..length];
        rest = &rest[length..];
        // the first of a name or an argument: `<T as Trait>::f`, `(A, B)`; a template or a call
        // stands after a name or an operator
        let after_operator =
            operator.is_some_and(|signs| out[signs..].chars().all(|c| c.is_ascii_punctuation()));
        let leading = !after_operator && (out.is_empty() || out.ends_with([' ', '&', '*', ',']));
        match c {
            '<' if leading => out.extend(["<", &shorten_at(inside, depth + 1), ">"]),
            '{' => out.extend(["{", &shorten_at(inside, depth + 1), "}"]),
            '[' => out.push_str(whole),
            _ if inside == "anonymous namespace" => out.push_str(whole),
            '<' if inside.len() <= BRIEF => out.push_str(whole),
            '<' => out.push_str("<..>"),
            _ if leading && inside.len() <= BRIEF => out.push_str(whole),
            _ if leading => out.push_str("(..)"),
            _ => {
                if !parameters && let Some(space) = space {
                    out.drain(..=space);
                    // it came after the space: none is noted once there is an operator
                    operator = operator.map(|signs| signs - space - 1);
                }
                parameters = true;
                rest = without_qualifiers(rest);
            }
        }
    }
    out
}

fn without_qualifiers(mut rest: &str) -> &str {
    while let Some(after) = [" const", " volatile", " noexcept", " &&", " &"]
        .iter()
        .find_map(|qualifier| rest.strip_prefix(qualifier))
    {
        rest = after;
    }
    rest
}

/// The length of `operator` and the signs after it, which would otherwise be taken for brackets.
fn operator_at(text: &[u8]) -> Option<usize> {
    const SIGNS: [&[u8]; 11] = [
        b"()", b"[]", b"<=>", b"<<=", b">>=", b"<<", b">>", b"->*", b"->", b"<", b">",
    ];
    let after = text.strip_prefix(OPERATOR)?;
    if after
        .first()
        .is_some_and(|&c| c.is_ascii_alphanumeric() || c == b'_')
    {
        return None;
    }
    let signs = SIGNS.iter().find(|signs| after.starts_with(signs));
    Some(OPERATOR.len() + signs.map_or(0, |signs| signs.len()))
}

/// The length of the bracketed group at the start of `text`, up to and with the closing bracket;
/// `None` where it is not closed.
fn group_at(text: &[u8]) -> Option<usize> {
    let mut open = Vec::new();
    let mut i = 0;
    while i < text.len() {
        if let Some(length) = operator_at(&text[i..]) {
            i += length;
            continue;
        }
        match text[i] {
            opening @ (b'<' | b'(' | b'{' | b'[') => open.push(opening),
            b'-' if text.get(i + 1) == Some(&b'>') => i += 1,
            // a comparison inside of parentheses is no bracket
            b'>' if open.last() == Some(&b'<') => {
                open.pop();
            }
            closing @ (b')' | b'}' | b']') => {
                let opening = match closing {
                    b')' => b'(',
                    b'}' => b'{',
                    _ => b'[',
                };
                let place = open.iter().rposition(|&other| other == opening)?;
                open.truncate(place);
            }
            _ => {}
        }
        i += 1;
        if open.is_empty() {
            return Some(i);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("main", "main"),
            ("[lib with space.so]+0x1a2b", "[lib with space.so]+0x1a2b"),
            ("Cache::insert(std::string const&)", "Cache::insert"),
            ("Cache::find(int) const", "Cache::find"),
            ("f(int) [clone .isra.0]", "f"),
            ("f[abi:cxx11](int)", "f[abi:cxx11]"),
            ("operator new(unsigned long)", "operator new"),
            ("operator delete[](void*)", "operator delete[]"),
            ("A::operator()(int) const", "A::operator()"),
            ("A::operator->() const", "A::operator->"),
            (
                "A::operator unsigned long() const",
                "A::operator unsigned long",
            ),
            ("operator<(A const&, A const&)", "operator<"),
            ("operator<=>(A const&, A const&)", "operator<=>"),
            ("operator&(A const&, A const&)", "operator&"),
            (
                "unsigned long operator&<int>(A const&)[]",
                "operator&<int>[]",
            ),
            ("my_operator<Arguments>(int)", "my_operator<..>"),
            ("std::set<int>::find(int)", "std::set<int>::find"),
            (
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
                "std::vector<..>::push_back",
            ),
            (
                "std::vector<int, std::allocator<int> >& operator<< <int>(std::ostream&)",
                "operator<< <int>",
            ),
            (
                "void std::sort<long*, Compare<&(operator<(A, A))> >(long*, long*)",
                "std::sort<..>",
            ),
            (
                "unsigned long (anonymous namespace)::sum<List::Node>(List::Node*)",
                "(anonymous namespace)::sum<..>",
            ),
            (
                "run(int)::{lambda(std::string const&)#1}::operator()(std::string const&) const",
                "run::{lambda#1}::operator()",
            ),
            (
                "std::function<void (int)>::operator()(int) const",
                "std::function<..>::operator()",
            ),
            ("f<(a>b), Something>(int)", "f<..>"),
            (
                "<alloc::vec::Vec<[u8; 32]> as shop::Basket>::fill",
                "<alloc::vec::Vec<[u8; 32]> as shop::Basket>::fill",
            ),
            (
                "<alloc::vec::Vec<shop::Article> as core::iter::Extend<shop::Article>>::extend",
                "<alloc::vec::Vec<..> as core::iter::Extend<..>>::extend",
            ),
            ("<(A, B) as T>::f", "<(A, B) as T>::f"),
            ("shop::run::{{closure}}", "shop::run::{{closure}}"),
            ("shop::run::{closure#0}", "shop::run::{closure#0}"),
            (
                "core::ops::function::FnOnce::call_once::<fn(shop::A) -> shop::B>",
                "core::ops::function::FnOnce::call_once::<..>",
            ),
            ("unbalanced<a(b", "unbalanced<a(b"),
            ("größe<ä, ö>(ß)", "größe<ä, ö>"),
        ] {
            assert_eq!(shorten(name), expected, "{name}");
        }
    }

    #[test]
    fn deep_nesting_is_survived() {
        let name = "<".repeat(1_000_000) + &">".repeat(1_000_000);
        assert_eq!(shorten(&name), name);
        shorten(&name[1_000_000 - LONGEST / 2..1_000_000 + LONGEST / 2]);
    }

    proptest! {
        #[test]
        fn never_longer_and_never_a_panic(name in "([a-zä<>(){}\\[\\]:& -]|operator| as |const){0,60}") {
            prop_assert!(shorten(&name).len() <= name.len());
        }
    }
}
