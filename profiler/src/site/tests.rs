//! Functions of a few bytes, written by hand.

use super::*;

/// One function at 0x1000, with a GOT slot at 0x3000 for `other`.
pub struct Function(pub Vec<u8>);

impl Code for Function {
    fn bytes(&self, address: u64) -> &[u8] {
        let skip = address
            .checked_sub(0x1000)
            .map_or(usize::MAX, |it| it as usize);
        self.0.get(skip..).unwrap_or_default()
    }

    fn extent(&self, address: u64) -> Option<Range<u64>> {
        let all = 0x1000..0x1000 + self.0.len() as u64;
        all.contains(&address).then_some(all)
    }

    fn handlers(&self, _: u64) -> Vec<u64> {
        Vec::new()
    }

    fn slot(&self, address: u64) -> Option<Place> {
        (address == 0x3000).then(|| Place::Elsewhere("other".to_owned()))
    }
}

fn graph(bytes: &[u8]) -> Result<Graph, Lost> {
    let mut budget = 100;
    let mut limits = Limits {
        follow: &|_| true,
        handlers: false,
        budget: &mut budget,
    };
    explore(&Function(bytes.to_vec()), 0x1000, &mut limits)
}

fn returns(bytes: &[u8]) -> Vec<u64> {
    let graph = graph(bytes).unwrap();
    let returns = graph.iter().filter(|(_, step)| step.kind == Kind::Return);
    returns.map(|(address, _)| *address).collect()
}

#[test]
fn a_return_begins_with_its_prefix() {
    assert_eq!(returns(&[0xf3, 0xc3]), [0x1000]); // repz ret
    assert_eq!(returns(&[0x90, 0xf2, 0xc3]), [0x1001]); // nop; bnd ret
    assert_eq!(returns(&[0xc2, 0x08, 0x00]), [0x1000]); // ret 8
}

/// The byte of a `ret` inside another instruction is none.
#[test]
fn only_what_is_reached_counts() {
    // je +1; ret; mov $0xc3,%eax; ret; then what nothing leads to
    let bytes = [0x74, 0x01, 0xc3, 0xb8, 0xc3, 0, 0, 0, 0xc3, 0xc3];
    assert_eq!(returns(&bytes), [0x1002, 0x1008]);
}

#[test]
fn a_call_at_the_end_does_not_return() {
    let graph = graph(&[0xe8, 0, 0, 0, 0]).unwrap();
    assert_eq!(graph[&0x1000].kind, Kind::Call(Some(Place::Here(0x1005))));
    assert_eq!(graph[&0x1000].edges, []);
}

#[test]
fn jumps_out_are_named() {
    // jmp *0x1ffa(%rip): the slot at 0x3000
    let step = &graph(&[0xff, 0x25, 0xfa, 0x1f, 0, 0]).unwrap()[&0x1000];
    assert_eq!(
        step.edges,
        [Edge::Out(Place::Elsewhere("other".to_owned()))]
    );
    let step = &graph(&[0xff, 0xe0]).unwrap()[&0x1000]; // jmp *%rax
    assert_eq!(step.edges, [Edge::Unknown]);
}

#[test]
fn a_stub_is_a_jump_and_nothing_else() {
    let stub = Function(vec![0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0xf6, 0x1f, 0, 0]);
    assert_eq!(
        forwards_to(&stub, 0x1000),
        Some(Place::Elsewhere("other".to_owned()))
    );
    let stub = Function(vec![0xeb, 0x10]);
    assert_eq!(forwards_to(&stub, 0x1000), Some(Place::Here(0x1012)));
    let more = Function(vec![0x90, 0xeb, 0x10]);
    assert_eq!(forwards_to(&more, 0x1000), None);
}

#[test]
fn code_that_cannot_be_followed_is_said_to_be() {
    // je into the middle of the mov that follows
    let overlap = [0x74, 0x01, 0xb8, 0x90, 0x90, 0x90, 0x90, 0xc3];
    assert_eq!(graph(&overlap).unwrap_err(), Lost::Overlap(0x1003));
    assert_eq!(graph(&[0x90]).unwrap_err(), Lost::Undecodable(0x1001));
    assert_eq!(
        graph(&[0xe9, 0, 0x10, 0, 0]).unwrap_err(),
        Lost::NoExtent(0x2005)
    );
    assert_eq!(graph(&[0x90; 200]).unwrap_err(), Lost::TooLong);
}
