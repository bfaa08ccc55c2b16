//! Keys in memory stay out of swap and out of core dumps, as far as the system lets this process see to it.
//!
//! The whole process is locked and not single pages: a key is copied by what signs with it, and this workspace has no unsafe code that
//! could lock an address. Pages count as they are first touched, so nothing is taken that is not used. Where the limit of locked memory
//! is not unlimited nothing is locked: the next allocation beyond it would fail, and a node that dies keeps no secret better.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What was reached, and why not what was not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryGuard {
    /// No page reaches swap; or what keeps this process from it.
    pub locked: Result<(), String>,
    /// No core dump is written; or why one could be.
    pub undumped: Result<(), String>,
}

/// Guards this process, for its whole life. Called before the first key is read.
pub fn guard_memory() -> MemoryGuard {
    MemoryGuard { locked: lock(), undumped: undump() }
}

fn lock() -> Result<(), String> {
    let limit = unlimited();
    if let Some(bytes) = limit.current {
        return Err(format!(
            "the limit of locked memory is {} KiB and not unlimited (LimitMEMLOCK=infinity in the unit)",
            bytes / 1024
        ));
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(all).map_err(|e| format!("mlockall: {e}"))
}

/// The limit of locked memory, raised as far as this process may.
fn unlimited() -> Rlimit {
    let now = getrlimit(Resource::Memlock);
    for maximum in [None, now.maximum] {
        if setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum }).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Memlock)
}

/// One byte, not none: Linux takes 1 as "no dump at all", also for a dump that is piped to a program, where 0 would count for files alone.
fn undump() -> Result<(), String> {
    let maximum = getrlimit(Resource::Core).maximum;
    // Who may have no byte at all has nothing to lower.
    let one = maximum.map_or(1, |most| most.min(1));
    let limit = Rlimit { current: Some(one), maximum };
    setrlimit(Resource::Core, limit).map_err(|e| format!("the limit of core dumps: {e}"))
}
