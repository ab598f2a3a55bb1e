//! Least privilege: what the daemon gives up for good, once it knows what it has to do.
//!
//! Four layers, each of which holds without the others, for the daemon and what it starts (`journalctl`):
//! capabilities, `no_new_privs`, [Landlock](https://docs.kernel.org/userspace-api/landlock.html) for places, seccomp
//! for system calls. All four are a thread's own and inherited by those that it starts: [`enter`] belongs before the
//! first of them. What the kernel can't do is said, and the protection goes on.
#![forbid(unsafe_code)]

mod calls;
mod needs;
mod places;
mod rights;

pub use self::needs::Needs;

/// A layer that isn't in force, and why.
#[derive(Debug, thiserror::Error)]
pub enum Gap {
    /// Capabilities stay that nobody needs.
    #[error("capabilities can't be dropped: {source}")]
    Capabilities {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Programs that we start could gain rights.
    #[error("no_new_privs can't be set: {source}")]
    NoNewPrivileges {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// All files can be opened that root may.
    #[error(
        "Landlock isn't in force ({reason}): it needs Linux 5.13 and `landlock` among the `lsm=` of the kernel's command line"
    )]
    Places {
        /// What the kernel said.
        reason: String,
    },
    /// All system calls can be made.
    #[error(
        "the filter of system calls isn't in force ({reason}): it needs a kernel with CONFIG_SECCOMP_FILTER"
    )]
    Calls {
        /// What the kernel said.
        reason: String,
    },
}

impl Gap {
    /// Its layer, in a word.
    pub const fn layer(&self) -> &'static str {
        match self {
            Self::Capabilities { .. } => "capabilities",
            Self::NoNewPrivileges { .. } => "no_new_privs",
            Self::Places { .. } => "landlock",
            Self::Calls { .. } => "seccomp",
        }
    }
}

/// Gives up all that isn't needed, for this thread and all that it starts; what couldn't be.
#[must_use = "what isn't in force is to be said"]
pub fn enter(needs: &Needs) -> Vec<Gap> {
    let layers = [
        rights::no_new_privileges(),
        // Before the capabilities: some places can be named with them only.
        places::confine(needs),
        rights::drop_capabilities(needs),
        calls::filter(needs),
    ];
    layers.into_iter().filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests;
