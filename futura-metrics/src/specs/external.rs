//! Metrics of other exporters, as far as rules and dashboards read them: the labels listed are those that are used.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, Unit},
};

/// kube-state-metrics and the version whose documentation was read.
pub const KUBE_STATE_METRICS: (&str, &str) = ("kube-state-metrics", "2.20.0");
/// cAdvisor, as the kubelet serves it.
pub const CADVISOR: (&str, &str) = ("cadvisor", "0.60.5");
/// node_exporter.
pub const NODE_EXPORTER: (&str, &str) = ("node_exporter", "1.5.0");
/// Percona's mongodb_exporter, run with `--collector.diagnosticdata`.
pub const MONGODB_EXPORTER: (&str, &str) = ("mongodb_exporter", "0.53.0");
/// redis_exporter.
pub const REDIS_EXPORTER: (&str, &str) = ("redis_exporter", "1.45.0");

/// Prometheus itself, which tells of every target whether it could be scraped.
pub const PROMETHEUS: (&str, &str) = ("prometheus", "2.42.0");

label! {
    /// A Kubernetes namespace.
    pub enum Namespace: "namespace";
}

label! {
    /// A pod's name.
    pub enum Pod: "pod";
}

label! {
    /// A container's name.
    pub enum Container: "container";
}

label! {
    /// A container's image; empty on the sums that cAdvisor keeps for pods and cgroups.
    pub enum Image: "image";
}

label! {
    /// Why a container waits, as far as it is asked for.
    pub enum WaitingReason: "reason" {
        ContainerCreating => "ContainerCreating",
        CrashLoopBackOff => "CrashLoopBackOff",
        ErrImagePull => "ErrImagePull",
        ImagePullBackOff => "ImagePullBackOff",
    }
}

label! {
    /// A deployment's name.
    pub enum Deployment: "deployment";
}

label! {
    /// A pod's phase.
    pub enum Phase: "phase" {
        Pending => "Pending", Running => "Running", Succeeded => "Succeeded", Failed => "Failed", Unknown => "Unknown",
    }
}

label! {
    /// What a limit is set on.
    pub enum Resource: "resource" { Cpu => "cpu", Memory => "memory" }
}

label! {
    /// A deployment's condition.
    pub enum Condition: "condition" { Available => "Available", Progressing => "Progressing" }
}

label! {
    /// Whether a condition holds.
    pub enum ConditionStatus: "status" { True => "true", False => "false", Unknown => "unknown" }
}

label! {
    /// A block device.
    pub enum Device: "device";
}

label! {
    /// A file system's type.
    pub enum FsType: "fstype";
}

label! {
    /// Where a file system is mounted.
    pub enum Mountpoint: "mountpoint";
}

label! {
    /// A processor's number.
    pub enum Cpu: "cpu";
}

label! {
    /// What a processor did.
    pub enum CpuMode: "mode" {
        Idle => "idle", Iowait => "iowait", Irq => "irq", Nice => "nice", Softirq => "softirq", Steal => "steal",
        System => "system", User => "user",
    }
}

label! {
    /// What MongoDB says of its connections.
    pub enum ConnType: "conn_type" { Current => "current", Available => "available", Active => "active" }
}

crate::declare! {
    /// Whether a pod is in this phase.
    pub KUBE_POD_STATUS_PHASE: GaugeSpec<(Namespace, Pod, Phase)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_pod_status_phase", Unit::State);

    /// What a container may use of a resource, in cores or bytes.
    pub KUBE_POD_CONTAINER_RESOURCE_LIMITS: GaugeSpec<(Namespace, Pod, Container, Resource)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_pod_container_resource_limits", Unit::Count);

    /// How often a container was started anew.
    pub KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL: CounterSpec<(Namespace, Pod, Container)> =
        CounterSpec::external(KUBE_STATE_METRICS, "kube_pod_container_status_restarts_total", Unit::Count);

    /// Whether a container waits for this reason; there is a series only while it does.
    pub KUBE_POD_CONTAINER_STATUS_WAITING_REASON: GaugeSpec<(Namespace, Pod, Container, WaitingReason)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_pod_container_status_waiting_reason", Unit::State);

    /// Whether a deployment's condition has this status.
    pub KUBE_DEPLOYMENT_STATUS_CONDITION: GaugeSpec<(Namespace, Deployment, Condition, ConditionStatus)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_deployment_status_condition", Unit::State);

    /// Replicas that a deployment asks for.
    pub KUBE_DEPLOYMENT_SPEC_REPLICAS: GaugeSpec<(Namespace, Deployment)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_deployment_spec_replicas", Unit::Count);

    /// Replicas of a deployment that are available.
    pub KUBE_DEPLOYMENT_STATUS_REPLICAS_AVAILABLE: GaugeSpec<(Namespace, Deployment)> =
        GaugeSpec::external(KUBE_STATE_METRICS, "kube_deployment_status_replicas_available", Unit::Count);

    /// CPU time that a container has used.
    pub CONTAINER_CPU_USAGE_SECONDS_TOTAL: CounterSpec<(Namespace, Pod, Container, Image)> =
        CounterSpec::external(CADVISOR, "container_cpu_usage_seconds_total", Unit::Seconds);

    /// Memory that a container uses and that the kernel cannot take back.
    pub CONTAINER_MEMORY_WORKING_SET_BYTES: GaugeSpec<(Namespace, Pod, Container, Image)> =
        GaugeSpec::external(CADVISOR, "container_memory_working_set_bytes", Unit::Bytes);

    /// Periods in which a container with a CPU limit ran.
    pub CONTAINER_CPU_CFS_PERIODS_TOTAL: CounterSpec<(Namespace, Pod, Container)> =
        CounterSpec::external(CADVISOR, "container_cpu_cfs_periods_total", Unit::Count);

    /// Periods in which a container was kept from running, as it had used up its CPU limit.
    pub CONTAINER_CPU_CFS_THROTTLED_PERIODS_TOTAL: CounterSpec<(Namespace, Pod, Container)> =
        CounterSpec::external(CADVISOR, "container_cpu_cfs_throttled_periods_total", Unit::Count);

    /// Time that a node's processors have spent, by what they did.
    pub NODE_CPU_SECONDS_TOTAL: CounterSpec<(Cpu, CpuMode)> =
        CounterSpec::external(NODE_EXPORTER, "node_cpu_seconds_total", Unit::Seconds);

    /// Memory that a node could give to programs without swapping.
    pub NODE_MEMORY_MEM_AVAILABLE_BYTES: GaugeSpec =
        GaugeSpec::external(NODE_EXPORTER, "node_memory_MemAvailable_bytes", Unit::Bytes);

    /// Memory of a node.
    pub NODE_MEMORY_MEM_TOTAL_BYTES: GaugeSpec =
        GaugeSpec::external(NODE_EXPORTER, "node_memory_MemTotal_bytes", Unit::Bytes);

    /// Space of a file system that users other than root may still fill.
    pub NODE_FILESYSTEM_AVAIL_BYTES: GaugeSpec<(Device, FsType, Mountpoint)> =
        GaugeSpec::external(NODE_EXPORTER, "node_filesystem_avail_bytes", Unit::Bytes);

    /// Size of a file system.
    pub NODE_FILESYSTEM_SIZE_BYTES: GaugeSpec<(Device, FsType, Mountpoint)> =
        GaugeSpec::external(NODE_EXPORTER, "node_filesystem_size_bytes", Unit::Bytes);

    /// MongoDB's connections, by what it says of them.
    pub MONGODB_SS_CONNECTIONS: GaugeSpec<(ConnType,)> =
        GaugeSpec::external(MONGODB_EXPORTER, "mongodb_ss_connections", Unit::Count);

    /// Whether the exporter reached MongoDB.
    pub MONGODB_UP: GaugeSpec = GaugeSpec::external(MONGODB_EXPORTER, "mongodb_up", Unit::State);

    /// Whether the exporter reached Redis.
    pub REDIS_UP: GaugeSpec = GaugeSpec::external(REDIS_EXPORTER, "redis_up", Unit::State);

    /// Commands that Redis has processed.
    pub REDIS_COMMANDS_PROCESSED_TOTAL: CounterSpec =
        CounterSpec::external(REDIS_EXPORTER, "redis_commands_processed_total", Unit::Count);

    /// Whether a target answered the last scrape.
    pub UP: GaugeSpec = GaugeSpec::external(PROMETHEUS, "up", Unit::State);
}
