//! Makes the unwind tables of modules.

use memmap2::Mmap;

use crate::target::{Image, Module};
use crate::unwind::cache::Identity;
use crate::unwind::parallel::{Source, build_all};
use crate::unwind::{NoTable, Table};

/// A file whose table is wanted.
pub struct Job {
    identity: Identity,
    image: Image,
    debug: Option<Mmap>,
}

/// A file's table.
pub struct Built {
    /// Which file.
    pub identity: Identity,
    /// The table, or why there is none.
    pub table: Result<Table, NoTable>,
}

impl Job {
    /// The job for a module; `None` for memory that is no image.
    pub fn of(module: &Module) -> Option<Self> {
        let image = module.image()?;
        Some(Self {
            identity: Identity::of(&image, module.metadata().as_ref())?,
            image,
            debug: module.debug_bytes(),
        })
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.image.len()
    }

    /// Which file it is for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Does these jobs, several at a time: a large program takes some hundred milliseconds.
pub fn build(jobs: Vec<Job>) -> Vec<Built> {
    let sources = jobs
        .iter()
        .map(|job| Source {
            bytes: &job.image,
            debug: job.debug.as_deref(),
        })
        .collect::<Vec<_>>();
    let tables = build_all(&sources);
    jobs.into_iter()
        .zip(tables)
        .map(|(job, table)| Built {
            identity: job.identity,
            table,
        })
        .collect()
}
