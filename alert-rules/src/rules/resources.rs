//! CPU, memory and disk: what runs out.

use futura_metrics::specs::external::{
    CONTAINER_CPU_USAGE_SECONDS_TOTAL, CONTAINER_MEMORY_WORKING_SET_BYTES, Container, Device,
    KUBE_POD_CONTAINER_RESOURCE_LIMITS, Mountpoint, NODE_FILESYSTEM_AVAIL_BYTES, NODE_FILESYSTEM_SIZE_BYTES, Pod,
    Resource,
};

use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::{cluster, overview},
    promql::{Instance, Window, label},
    queries,
    runbook::{Runbook, ask, run},
    site::Site,
    template::{template, value},
};

const POD: &str = "api-6c9f4-x2x7p";
const IMAGE: &str = "registry.example/ticket-api:1.4.0";
const GIBIBYTE: f64 = 1_073_741_824.0;
const NODE: &str = "node-1:9100";

pub(super) fn alerts(site: &Site) -> Vec<Alert> {
    vec![high_cpu_usage(site), high_memory_usage(site), critical_memory_usage(site), disk_space_low()]
}

fn high_cpu_usage(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let firing = (namespace, POD, "api");
    let usage = |samples| -> [Series; 2] {
        [
            series(CONTAINER_CPU_USAGE_SECONDS_TOTAL, (namespace, POD, "api", IMAGE), samples).in_proportion(),
            series(
                KUBE_POD_CONTAINER_RESOURCE_LIMITS,
                (namespace, POD, "api", Resource::Cpu),
                Samples::steady(0.5, 60),
            ),
        ]
    };
    let definition = Definition {
        name: "HighCPUUsage",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some("kubernetes"),
        condition: queries::container_cpu_share(site, Window::minutes(5)).above(0.8),
        lasts: minutes(10),
        panel: Some(overview::POD_CPU_USAGE),
        summary: template(("Container ", label::<Container>(), " of ", label::<Pod>(), " is short of CPU")),
        description: template((
            "Container ",
            label::<Container>(),
            " of ",
            label::<Pod>(),
            " uses ",
            value(),
            " of its CPU limit; at the limit it is throttled.",
        )),
        examples: vec![
            Example::when(
                "a container uses 90 % of its limit for 30 minutes",
                usage(Samples::growing(27.0, 30).then_growing(6.0, 30)),
            )
            .silent_at(14)
            .fires_at(20, firing, 0.9)
            .silent_at(31),
            Example::when("a container uses 79 % of its limit", usage(Samples::growing(23.7, 60)))
                .silent_at(30)
                .silent_at(60),
            Example::when(
                "a container uses 90 % of its limit for 10 minutes",
                usage(Samples::growing(27.0, 10).then_growing(6.0, 30)),
            )
            .silent_at(12)
            .silent_at(20),
        ],
        runbook: high_cpu_usage_runbook(site),
    };
    definition.into()
}

fn high_cpu_usage_runbook(site: &Site) -> Runbook {
    Runbook {
        symptom: "A container uses more than four fifths of its CPU limit.",
        meaning: "At the limit the kernel stops the container for part of each tenth of a second, which users feel \
                  as slow answers long before anything fails.",
        investigation: vec![
            ask("See which containers are near their limit", queries::container_cpu_share(site, Window::minutes(5))),
            run("See what uses the CPU now", "kubectl -n {namespace} top pods --containers --sort-by=cpu"),
            ask("See whether traffic grew as well", queries::request_rate(Window::minutes(5))),
            run("See whether the autoscaler is at its end", "kubectl -n {namespace} get hpa"),
        ],
        resolution: &[
            "Traffic grew: let the autoscaler add pods, or `kubectl -n {namespace} scale deployment/api \
             --replicas=5`.",
            "Traffic did not grow: look for a loop or for a release that costs more, and go back.",
            "It is like this every day: raise the limit and the request with it.",
        ],
        related: &["HighResponseTime", "HighMemoryUsage"],
    }
}

/// Memory that a container with a limit of a gibibyte holds.
fn memory_of(namespace: &str, held: Samples) -> [Series; 2] {
    let limit = (namespace, POD, "api", Resource::Memory);
    [
        series(CONTAINER_MEMORY_WORKING_SET_BYTES, (namespace, POD, "api", IMAGE), held).in_proportion(),
        series(KUBE_POD_CONTAINER_RESOURCE_LIMITS, limit, Samples::steady(GIBIBYTE, 60)),
    ]
}

fn high_memory_usage(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let usage = |samples| memory_of(namespace, samples);
    let definition = Definition {
        name: "HighMemoryUsage",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some("kubernetes"),
        condition: queries::container_memory_share(site).above(0.85),
        lasts: minutes(10),
        panel: Some(overview::POD_MEMORY_USAGE),
        summary: template(("Container ", label::<Container>(), " of ", label::<Pod>(), " is short of memory")),
        description: template((
            "Container ",
            label::<Container>(),
            " of ",
            label::<Pod>(),
            " holds ",
            value(),
            " of its memory limit; at the limit it is killed.",
        )),
        examples: vec![
            Example::when(
                "a container holds 7/8 of its limit for 30 minutes",
                usage(Samples::steady(GIBIBYTE * 0.875, 30).then_steady(GIBIBYTE * 0.5, 20)),
            )
            .silent_at(9)
            .fires_at(10, (namespace, POD, "api"), 0.875)
            .silent_at(31),
            Example::when("a container holds 84 % of its limit", usage(Samples::steady(GIBIBYTE * 0.84, 60)))
                .silent_at(60),
        ],
        runbook: high_memory_usage_runbook(site),
    };
    definition.into()
}

fn high_memory_usage_runbook(site: &Site) -> Runbook {
    Runbook {
        symptom: "A container holds more than 85 % of its memory limit.",
        meaning: "At the limit the kernel kills the process, with all its requests. Memory that only grows means a \
                  leak; memory that follows traffic means a limit that is too low.",
        investigation: vec![
            ask("See which containers are near their limit", queries::container_memory_share(site)),
            run("See what holds the memory now", "kubectl -n {namespace} top pods --containers --sort-by=memory"),
            run(
                "See whether it was killed before",
                "kubectl -n {namespace} get pods\n\
                 kubectl -n {namespace} describe pod <pod> | grep -A 5 'Last State'",
            ),
        ],
        resolution: &[
            "It grows since a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "It grows without end: restart one pod after another with `kubectl -n {namespace} rollout restart \
             deployment/api`, which buys time to find the leak.",
            "It follows traffic: raise the limit, or spread the traffic over more pods.",
        ],
        related: &["CriticalMemoryUsage", "PodDown", "HighCPUUsage"],
    }
}

fn critical_memory_usage(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let usage = |samples| memory_of(namespace, samples);
    let definition = Definition {
        name: "CriticalMemoryUsage",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some("kubernetes"),
        condition: queries::container_memory_share(site).above(0.9),
        lasts: minutes(5),
        panel: Some(cluster::CONTAINER_MEMORY),
        summary: template(("Container ", label::<Container>(), " of ", label::<Pod>(), " is about to be killed")),
        description: template((
            "Container ",
            label::<Container>(),
            " of ",
            label::<Pod>(),
            " holds ",
            value(),
            " of its memory limit; the kernel kills it when it asks for more.",
        )),
        examples: vec![
            Example::when(
                "a container holds 15/16 of its limit for 30 minutes",
                usage(Samples::steady(GIBIBYTE * 0.9375, 30).then_steady(GIBIBYTE * 0.5, 20)),
            )
            .silent_at(4)
            .fires_at(5, (namespace, POD, "api"), 0.9375)
            .silent_at(31),
            Example::when("a container holds 89 % of its limit", usage(Samples::steady(GIBIBYTE * 0.89, 60)))
                .silent_at(60),
        ],
        runbook: critical_memory_usage_runbook(site),
    };
    definition.into()
}

fn critical_memory_usage_runbook(site: &Site) -> Runbook {
    Runbook {
        symptom: "A container holds more than 90 % of its memory limit.",
        meaning: "A burst is enough for the kernel to kill it, with all that it was doing. A restart now, one pod after \
                  another, costs less than that.",
        investigation: vec![
            ask("See which containers are near their limit", queries::container_memory_share(site)),
            run("See what holds the memory now", "kubectl -n {namespace} top pods --containers --sort-by=memory"),
            run("See whether it has grown since a release", "kubectl -n {namespace} rollout history deployment/api"),
        ],
        resolution: &[
            "Restart one pod after another: `kubectl -n {namespace} rollout restart deployment/api`.",
            "It grows since a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "It follows traffic: add pods, then raise the limit with `kubectl -n {namespace} set resources \
             deployment/api --limits=memory=1Gi`.",
        ],
        related: &["HighMemoryUsage", "PodRestartingOften"],
    }
}

fn disk_space_low() -> Alert {
    let disk = |fstype, available| -> [Series; 2] {
        let labels = ("/dev/vda1", fstype, "/");
        [
            series(NODE_FILESYSTEM_AVAIL_BYTES, labels, available).target::<Instance>(NODE).in_proportion(),
            series(NODE_FILESYSTEM_SIZE_BYTES, labels, Samples::steady(100.0 * GIBIBYTE, 60)).target::<Instance>(NODE),
        ]
    };
    let definition = Definition {
        name: "DiskSpaceLow",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some("node"),
        condition: queries::disk_free_share().below(0.15),
        lasts: minutes(10),
        panel: Some(cluster::DISK_SPACE),
        summary: template(("The disk ", label::<Mountpoint>(), " of ", label::<Instance>(), " fills up")),
        description: template(("Only ", value(), " of ", label::<Device>(), " on ", label::<Instance>(), " is left.")),
        examples: vec![
            Example::when(
                "14 % are left for 30 minutes",
                disk("ext4", Samples::steady(14.0 * GIBIBYTE, 30).then_steady(40.0 * GIBIBYTE, 20)),
            )
            .silent_at(9)
            .fires_at(10, (NODE, "/dev/vda1", "/"), 0.14)
            .silent_at(31),
            Example::when("15.5 % are left", disk("ext4", Samples::steady(15.5 * GIBIBYTE, 60))).silent_at(60),
            Example::when(
                "file systems that are no disks are full",
                queries::NO_DISKS.iter().flat_map(|fstype| disk(fstype, Samples::steady(0.0, 60))),
            )
            .silent_at(60),
        ],
        runbook: disk_space_low_runbook(),
    };
    definition.into()
}

fn disk_space_low_runbook() -> Runbook {
    Runbook {
        symptom: "A node's file system has less than 15 % of its space left.",
        meaning: "When it is full, databases stop writing and the kubelet evicts pods. Logs, old images and a \
                  database that grows are the usual causes.",
        investigation: vec![
            ask("See which disks are short, and of how much", queries::disk_free_share()),
            run("See what the node says of itself", "kubectl describe node <node> | grep -A 8 Conditions"),
            run(
                "Find what is large",
                "kubectl debug node/<node> -it --image=busybox -- du -xhd2 /host/var | sort -h | tail -20",
            ),
            run("See which volumes are claimed and how large they are", "kubectl -n {namespace} get pvc"),
        ],
        resolution: &[
            "Old images and containers: `crictl rmi --prune` on the node.",
            "Logs: lower the rotation's size, and find who writes so much.",
            "A database's volume: enlarge the claim, if its storage class allows it (`kubectl get storageclass`).",
            "Nothing to remove: drain the node (`kubectl drain <node> --ignore-daemonsets`) and replace it by a \
             larger one.",
        ],
        related: &["PodDown", "RedisDown"],
    }
}
