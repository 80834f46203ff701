//! What the process has used so far.

use std::time::Duration;

pub fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock of the process is there, and time is where its value may be written.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A size in bytes out of /proc/self/status, by the name of its line.
fn memory(name: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("no /proc");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("no such line in /proc/self/status");
    let kilobytes: i64 = line
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("no number of kB");
    kilobytes << 10
}

pub fn resident() -> i64 {
    memory("VmRSS:")
}

pub fn peak_resident() -> i64 {
    memory("VmHWM:")
}
