//! What every Prometheus client tells of its process; what the system doesn't tell is left out.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Seconds of CPU that this process has used.
pub(super) fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let whole = u32::try_from(used.tv_sec).unwrap_or(u32::MAX);
    let nanos = u32::try_from(used.tv_nsec).unwrap_or(0);
    f64::from(whole) + f64::from(nanos) / 1e9
}

/// Its resident memory, `VmRSS` of proc_pid_status(5).
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(cpu_seconds() > 0.0);
    }
}
