//! What the system says this process holds in memory.

/// Resident bytes; none where there is no `/proc`.
pub(crate) fn bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1_024.0)
}
