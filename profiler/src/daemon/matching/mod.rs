//! Which processes a target of the configuration means.

mod candidate;
mod cgroup;
mod container;
mod exe;
mod pattern;
mod unit;

#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use cgroup::Cgroup;
pub use container::Container;
pub use exe::{Comm, Exe};
pub use unit::Unit;

/// What a process must be like. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Match {
    /// Its executable.
    pub exe: Option<Exe>,
    /// Its short name.
    pub comm: Option<Comm>,
    /// Its control group, or one above that.
    pub cgroup: Option<Cgroup>,
    /// Its systemd unit.
    pub unit: Option<Unit>,
    /// Its container.
    pub container: Option<Container>,
}

impl Match {
    /// Whether nothing is asked for: that would be every process there is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `candidate` is meant.
    pub fn matches(&self, candidate: &Candidate) -> bool {
        let Self {
            exe,
            comm,
            cgroup,
            unit,
            container,
        } = self;
        let groups = &candidate.cgroups;
        let any_group = |matches: &dyn Fn(&str) -> bool| groups.iter().any(|group| matches(group));
        !self.is_empty()
            && comm.as_ref().is_none_or(|it| it.matches(&candidate.comm))
            && exe.as_ref().is_none_or(|it| it.matches(&candidate.exe))
            && unit.as_ref().is_none_or(|it| any_group(&|g| it.matches(g)))
            && container
                .as_ref()
                .is_none_or(|it| any_group(&|g| it.matches(g)))
            && cgroup
                .as_ref()
                .is_none_or(|it| any_group(&|g| it.matches(g)))
    }
}
