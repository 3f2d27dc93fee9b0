//! Modules, addresses and functions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::proto::{Function, Line, Location, Mapping};
use super::strings::Strings;
use crate::profile::{Frame, Profile};
use crate::write::name;

/// How far apart modules are: their addresses have 48 bits, user space's on x86-64 without the newest paging
/// have 47.
const APART: u32 = 48;

/// More have no addresses: they end below the kernel's half, which readers take for the kernel's code.
const MOST: u64 = 0x7fff;

/// What mappings end at.
const PAGE: u64 = 4096;

/// What the stacks of a profile are made of. Ids are positions, from 1.
pub struct Places {
    /// Modules: the program, then by path.
    pub mappings: Vec<Mapping>,
    /// Addresses.
    pub locations: Vec<Location>,
    /// Functions.
    pub functions: Vec<Function>,
    modules: HashMap<String, u64>,
    /// Equal frames have one number; they are looked at once for each time they are in memory.
    by_address: HashMap<*const Frame, u32>,
    by_frame: HashMap<Arc<Frame>, u32>,
    /// A function with what is inlined in it, by their numbers.
    by_group: HashMap<Box<[u32]>, u64>,
    by_function: HashMap<(i64, i64), u64>,
}

/// What the frames of a module come to.
#[derive(Default)]
struct Extent {
    last: u64,
    has_names: bool,
}

impl Places {
    /// The modules of all stacks.
    pub fn of(profile: &Profile, strings: &mut Strings) -> Self {
        let mut seen = HashSet::new();
        let mut extents: BTreeMap<(bool, &str), Extent> = BTreeMap::new();
        for frame in profile.stacks.iter().flat_map(|stack| &stack.frames) {
            if !seen.insert(Arc::as_ptr(frame)) {
                continue;
            }
            if let Some(module) = &frame.module {
                let key = (*module != profile.process.exe, module.as_str());
                let extent = extents.entry(key).or_default();
                extent.last = extent.last.max(frame.offset.unwrap_or(0));
                extent.has_names |= frame.function.is_some();
            }
        }
        let mut places = Self {
            mappings: Vec::new(),
            locations: Vec::new(),
            functions: Vec::new(),
            modules: HashMap::new(),
            by_address: HashMap::new(),
            by_frame: HashMap::new(),
            by_group: HashMap::new(),
            by_function: HashMap::new(),
        };
        for ((_, path), Extent { last, has_names }) in extents {
            let id = places.mappings.len() as u64 + 1;
            let start = if id <= MOST { id << APART } else { 0 };
            let last = last.min((1 << APART) - 1);
            places.mappings.push(Mapping {
                id,
                memory_start: start,
                memory_limit: start + (last + 1).next_multiple_of(PAGE),
                file_offset: 0,
                filename: strings.index(&name::clean(path)),
                build_id: strings.index(&name::clean(build_id(profile, path))),
                has_functions: has_names,
                has_filenames: has_names,
                has_line_numbers: has_names,
                has_inline_frames: has_names,
            });
            places.modules.insert(path.to_owned(), id);
        }
        places
    }

    /// The locations of a stack.
    pub fn stack(&mut self, frames: &[Arc<Frame>], strings: &mut Strings) -> Vec<u64> {
        if frames.is_empty() {
            let unknown = Arc::new(Frame {
                function: Some("[unknown]".to_owned()),
                ..Frame::default()
            });
            return vec![self.location(&[unknown], strings)];
        }
        let mut ids = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while let [first, ..] = rest {
            // What is inlined is at the address of the function that it is in, the next that is not.
            let outer = rest.iter().position(|frame| !frame.inlined);
            let same = rest
                .iter()
                .take_while(|it| (&it.module, it.offset) == (&first.module, first.offset))
                .count();
            let length = outer.map_or(same, |outer| same.min(outer + 1));
            let (group, others) = rest.split_at(length);
            ids.push(self.location(group, strings));
            rest = others;
        }
        ids
    }

    fn location(&mut self, group: &[Arc<Frame>], strings: &mut Strings) -> u64 {
        let numbers = group.iter().map(|frame| self.number(frame)).collect();
        if let Some(&id) = self.by_group.get(&numbers) {
            return id;
        }
        let id = self.locations.len() as u64 + 1;
        let line = group
            .iter()
            .filter_map(|frame| self.line(frame, strings))
            .collect();
        let module = group.first().and_then(|frame| frame.module.as_ref());
        let mapping_id = module.and_then(|module| self.modules.get(module));
        let mapping_id = mapping_id.copied().unwrap_or(0);
        let offset = group.first().and_then(|frame| frame.offset);
        self.locations.push(Location {
            id,
            mapping_id,
            address: offset.map_or(0, |offset| address(mapping_id, offset)),
            line,
        });
        self.by_group.insert(numbers, id);
        id
    }

    fn number(&mut self, frame: &Arc<Frame>) -> u32 {
        if let Some(&number) = self.by_address.get(&Arc::as_ptr(frame)) {
            return number;
        }
        let next = self.by_frame.len() as u32;
        let number = *self.by_frame.entry(Arc::clone(frame)).or_insert(next);
        self.by_address.insert(Arc::as_ptr(frame), number);
        number
    }

    /// `None`: not even a name is known.
    fn line(&mut self, frame: &Frame, strings: &mut Strings) -> Option<Line> {
        let function = name::clean(frame.function.as_deref()?);
        let name = strings.index(&function);
        let filename = strings.index(&name::clean(frame.file.as_deref().unwrap_or_default()));
        let next = self.functions.len() as u64 + 1;
        let id = *self.by_function.entry((name, filename)).or_insert(next);
        if id == next {
            self.functions.push(Function { id, name, filename });
        }
        Some(Line {
            function_id: id,
            line: frame.line.map_or(0, i64::from),
        })
    }
}

/// In a module's own range; of what is in no module, the address itself. 0 where there is no room for it.
fn address(mapping: u64, offset: u64) -> u64 {
    if mapping == 0 {
        return offset;
    }
    if mapping > MOST || offset >> APART != 0 {
        return 0;
    }
    (mapping << APART) + offset
}

/// Of the module with this path; nothing where the path was of two files, as a frame does not say which.
fn build_id<'a>(profile: &'a Profile, path: &str) -> &'a str {
    let modules = profile.modules.iter().filter(|module| module.path == path);
    let ids: BTreeSet<_> = modules.map(|module| module.build_id.as_deref()).collect();
    match Vec::from_iter(ids)[..] {
        [Some(id)] => id,
        _ => "",
    }
}
