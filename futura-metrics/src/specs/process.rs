//! The process itself, under the names that all Prometheus client libraries share.

use crate::spec::{CounterSpec, GaugeSpec, Unit};

crate::declare! {
    /// CPU time spent, user and system.
    pub PROCESS_CPU_SECONDS_TOTAL: CounterSpec = CounterSpec::new("process_cpu_seconds_total", Unit::Seconds);

    /// Resident memory.
    pub PROCESS_RESIDENT_MEMORY_BYTES: GaugeSpec = GaugeSpec::new("process_resident_memory_bytes", Unit::Bytes);

    /// Virtual memory.
    pub PROCESS_VIRTUAL_MEMORY_BYTES: GaugeSpec = GaugeSpec::new("process_virtual_memory_bytes", Unit::Bytes);

    /// Open file descriptors.
    pub PROCESS_OPEN_FDS: GaugeSpec = GaugeSpec::new("process_open_fds", Unit::Count);

    /// File descriptors that the process may open.
    pub PROCESS_MAX_FDS: GaugeSpec = GaugeSpec::new("process_max_fds", Unit::Count);

    /// Operating system threads.
    pub PROCESS_THREADS: GaugeSpec = GaugeSpec::new("process_threads", Unit::Count);

    /// When the process started.
    pub PROCESS_START_TIME_SECONDS: GaugeSpec = GaugeSpec::new("process_start_time_seconds", Unit::Timestamp);
}
