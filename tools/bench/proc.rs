//! What a process has cost so far, from `/proc`.

/// Sums over the threads that a process has now.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cost {
    /// Nanoseconds on a processor.
    pub cpu_ns: u64,
    /// Context switches: how often a thread stopped running, of its own will or not.
    pub switches: u64,
}

impl Cost {
    /// What this process has cost until now.
    ///
    /// # Errors
    /// If there is no such process.
    pub(crate) fn of(pid: u32) -> Result<Cost, String> {
        let path = format!("/proc/{pid}/task");
        let tasks = std::fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
        let mut cost = Cost::default();
        for task in tasks.map_while(Result::ok) {
            // A thread may end meanwhile.
            let schedule = text(&task.path().join("schedstat").to_string_lossy());
            let status = text(&task.path().join("status").to_string_lossy());
            cost.cpu_ns += number(schedule.split(' ').next());
            cost.switches += field(&status, "voluntary_ctxt_switches:");
            cost.switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(cost)
    }

    /// What came since `before`.
    pub(crate) fn since(self, before: Cost) -> Cost {
        Cost {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

/// Resident memory now, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    field(&text(&format!("/proc/{pid}/status")), "VmRSS:") * 1024
}

/// The most resident memory so far, in bytes.
pub(crate) fn resident_max(pid: u32) -> u64 {
    field(&text(&format!("/proc/{pid}/status")), "VmHWM:") * 1024
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number in the line that begins with `name`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    number(line.and_then(|rest| rest.split_whitespace().next()))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
