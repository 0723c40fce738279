//! What the kernel says about this process: memory, processor time, descriptors.

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The process as the kernel sees it. A figure that cannot be had is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes of memory that are not paged out.
    pub resident_bytes: Option<u64>,
    /// Processor time used, in seconds.
    pub cpu_seconds: f64,
    /// Open descriptors.
    pub open_descriptors: Option<u64>,
    /// Most descriptors that may be open.
    pub descriptors_max: Option<u64>,
}

impl Process {
    /// Asks the kernel. It reads `/proc`, which does not touch a disk.
    #[must_use]
    pub fn observe() -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = f64::from(u32::try_from(cpu.tv_sec).unwrap_or(u32::MAX));
        let nanos = f64::from(u32::try_from(cpu.tv_nsec).unwrap_or(0));
        Process {
            resident_bytes: resident_bytes(),
            cpu_seconds: seconds + nanos / 1e9,
            open_descriptors: open_descriptors(),
            descriptors_max: getrlimit(Resource::Nofile).current,
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(page_size()).ok()?)
}

fn open_descriptors() -> Option<u64> {
    // Looking takes a descriptor of its own.
    let entries = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(entries.saturating_sub(1)).ok()
}
