//! Probes that go at once: links of Linux 6.6 and later (`BPF_LINK_TYPE_UPROBE_MULTI`). Of a perf event's probe the kernel
//! waits for some grace periods before it takes the breakpoint away, one event after the other; of such a link it takes it
//! away first. Programs have to be loaded for them, which aya does not do.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use aya_obj::generated::bpf_attach_type::BPF_TRACE_UPROBE_MULTI;
use aya_obj::generated::bpf_prog_type::BPF_PROG_TYPE_KPROBE;
use aya_obj::generated::{bpf_cmd, bpf_insn};

use super::call::{make, put, zeroed};
use super::load::LoadError;

/// The programs of uprobes.
pub struct Multi {
    license: CString,
    programs: HashMap<String, Vec<bpf_insn>>,
    loaded: HashMap<&'static str, OwnedFd>,
}

/// A probe, or several of one program in one file, as long as this lives.
pub struct MultiLink(#[expect(dead_code, reason = "what it holds is in the kernel")] OwnedFd);

impl Multi {
    /// The programs in `object`, which use the maps of `ebpf`. Nothing is loaded yet.
    pub(super) fn of(object: &[u8], ebpf: &Ebpf) -> Result<Self, LoadError> {
        let unusable = |error: &dyn std::fmt::Display| LoadError::Missing(error.to_string());
        let mut object = Object::parse(object).map_err(|error| unusable(&error))?;
        let maps = std::mem::take(&mut object.maps);
        let maps: Vec<_> = maps
            .iter()
            .map(|(name, map)| {
                let descriptor = ebpf.map(name).and_then(descriptor);
                let descriptor = descriptor.ok_or_else(|| LoadError::Missing(name.clone()))?;
                Ok((name.as_str(), descriptor, map))
            })
            .collect::<Result<_, LoadError>>()?;
        let sections = object.functions.keys().map(|(section, _)| *section);
        let sections = sections.collect();
        object
            .relocate_maps(maps.into_iter(), &sections)
            .map_err(|error| unusable(&error))?;
        object
            .relocate_calls(&sections)
            .map_err(|error| unusable(&error))?;
        let programs = object.programs.iter().filter_map(|(name, program)| {
            let function = object.functions.get(&program.function_key())?;
            Some((name.clone(), function.instructions.clone()))
        });
        Ok(Self {
            programs: programs.collect(),
            license: object.license,
            loaded: HashMap::new(),
        })
    }

    /// Whether this kernel has such links, and means by a process all of its threads: before Linux 6.10 it was the one
    /// thread of that id (commit 46ba0e49b642).
    pub(super) fn is_right(&mut self, program: &'static str, path: &Path, offset: u64) -> bool {
        // From then on a thread that is not the first one of its process is nobody.
        let refused = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let thread = nix::unistd::gettid().as_raw().cast_unsigned();
                let thread = NonZeroU32::new(thread)?;
                let error = self.link(program, false, path, &[offset], thread).err()?;
                match error {
                    LinkError::Refused(error) => error.raw_os_error(),
                    LinkError::Load(_) => None,
                }
            });
            thread.join().unwrap_or_default()
        });
        refused == Some(libc::ESRCH)
    }

    /// Has the program run at these offsets of the file at `path`, or on the returns of the functions that begin there, in
    /// the process `pid`.
    pub(super) fn link(
        &mut self,
        program: &'static str,
        returns: bool,
        path: &Path,
        offsets: &[u64],
        pid: NonZeroU32,
    ) -> Result<MultiLink, LinkError> {
        /// `BPF_F_UPROBE_MULTI_RETURN`, include/uapi/linux/bpf.h.
        const RETURN: u32 = 1;
        let program = self.loaded(program)?;
        let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)?;
        let mut attr = zeroed();
        attr.link_create.__bindgen_anon_1.prog_fd = program.cast_unsigned();
        attr.link_create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
        // SAFETY: all fields of the union are numbers, and zeroed.
        let probes = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
        probes.path = path.as_ptr() as u64;
        probes.offsets = offsets.as_ptr() as u64;
        probes.cnt = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
        probes.flags = if returns { RETURN } else { 0 };
        probes.pid = pid.get();
        // SAFETY: the path and the offsets live until the call has returned.
        let link = unsafe { make(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
        Ok(MultiLink(link))
    }

    /// Puts the program into the array of those that are called by others of these.
    pub(super) fn set(
        &mut self,
        array: &Map,
        index: u32,
        program: &'static str,
    ) -> Result<(), LoadError> {
        let array = descriptor(array).ok_or_else(|| LoadError::Missing(program.to_owned()))?;
        let value = self.loaded(program)?;
        // SAFETY: an array of programs.
        unsafe { put(array, index, value) }.map_err(LoadError::Mapping)
    }

    /// The program's descriptor.
    fn loaded(&mut self, name: &'static str) -> Result<RawFd, LoadError> {
        if let Some(loaded) = self.loaded.get(name) {
            return Ok(loaded.as_raw_fd());
        }
        let missing = || LoadError::Missing(name.to_owned());
        let instructions = self.programs.get(name).ok_or_else(missing)?;
        let mut attr = zeroed();
        attr.__bindgen_anon_3.prog_type = BPF_PROG_TYPE_KPROBE as u32;
        attr.__bindgen_anon_3.expected_attach_type = BPF_TRACE_UPROBE_MULTI as u32;
        attr.__bindgen_anon_3.insns = instructions.as_ptr() as u64;
        attr.__bindgen_anon_3.insn_cnt = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
        attr.__bindgen_anon_3.license = self.license.as_ptr() as u64;
        // SAFETY: the name is shorter than its field, or cut with room for the zero at the end.
        let title = unsafe { &mut attr.__bindgen_anon_3.prog_name };
        for (to, from) in title.iter_mut().take(15).zip(name.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: instructions and license live until the call has returned.
        let loaded = unsafe { make(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
        let loaded = loaded.map_err(|error| LoadError::Refused {
            program: name.to_owned(),
            reason: error.to_string(),
            log: String::new(),
        })?;
        let descriptor = loaded.as_raw_fd();
        self.loaded.insert(name, loaded);
        Ok(descriptor)
    }
}

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Its program could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused it.
    #[error("{0}")]
    Refused(#[from] io::Error),
}

fn descriptor(map: &Map) -> Option<RawFd> {
    let (Map::Array(map)
    | Map::HashMap(map)
    | Map::PerCpuArray(map)
    | Map::ProgramArray(map)
    | Map::RingBuf(map)) = map
    else {
        return None;
    };
    Some(map.fd().as_fd().as_raw_fd())
}
