//! The machine that figures were taken on, in one line.

/// Processors, kernel and memory, as a reader of the figures wants to know them.
pub(crate) fn line() -> String {
    let cpus = text("/proc/cpuinfo");
    let model = field(&cpus, "model name").unwrap_or("an unnamed processor");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = text("/proc/sys/kernel/osrelease");
    let memory = text("/proc/meminfo");
    let memory = field(&memory, "MemTotal").unwrap_or("unknown memory");
    format!("{count} × {model}, Linux {}, {memory}", kernel.trim())
}

fn text(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands behind `name` and a colon in the first line that has it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
