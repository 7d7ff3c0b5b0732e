//! The Kubernetes cluster: nodes, and the pods of the namespace that a viewer chose.

use futura_alert_rules::{
    Site,
    panel::cluster,
    promql::{Counter, Gauge, Instance, Scraped, Selector, Vector, Window, all, by, counter, gauge, label},
    queries,
    template::template,
};
use futura_metrics::{
    spec::Label,
    specs::external::{
        CONTAINER_CPU_CFS_PERIODS_TOTAL, CONTAINER_CPU_CFS_THROTTLED_PERIODS_TOTAL, Container, Cpu, CpuMode,
        Deployment, KUBE_DEPLOYMENT_SPEC_REPLICAS, KUBE_DEPLOYMENT_STATUS_REPLICAS_AVAILABLE,
        KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL, KUBE_POD_STATUS_PHASE, Mountpoint, NODE_CPU_SECONDS_TOTAL,
        NODE_MEMORY_MEM_AVAILABLE_BYTES, NODE_MEMORY_MEM_TOTAL_BYTES, Namespace, Phase, Pod,
    },
};

use crate::{
    grafana::{Color, Dashboard, Matcher, Panel},
    panels::{Query, lines, number, query},
    variables::one,
};

const WINDOW: Window = Window::RateInterval;
/// What a processor does while nothing is to be done, or while it waits for a disk or for the machine below.
const NOT_BUSY: &[CpuMode] = &[CpuMode::Idle, CpuMode::Iowait, CpuMode::Steal];
/// From here on a node has nothing left for a peak.
const FULL: f64 = 0.85;

pub(crate) fn dashboard(site: &Site) -> Dashboard {
    // The queries of the alerts, for the namespace that a viewer chose instead of the site's.
    let viewed = Site { namespace: format!("${}", Namespace::NAME), ..site.clone() };
    let panels = vec![
        cpu(),
        memory(),
        pods_running(&viewed),
        restarts(&viewed),
        node_cpu(),
        node_memory(),
        disk_space(),
        pods_by_status(&viewed),
        pod_restarts(&viewed),
        replicas_missing(&viewed),
        container_cpu(&viewed),
        container_memory(&viewed),
        throttling(&viewed),
    ];
    let description = "Whether the cluster has room, and whether the pods of a namespace run.";
    Dashboard::new(cluster::UID, "FuturaTickets - Kubernetes Cluster", description, panels).choosing([one::<
        Namespace,
        _,
    >(
        "Namespace",
        &gauge(KUBE_POD_STATUS_PHASE),
        &site.namespace,
    )])
}

/// CPU time per second that is spent on work, and all there is.
fn cpu_time() -> [Vector<Scraped<(Cpu, CpuMode)>>; 2] {
    let time = counter(NODE_CPU_SECONDS_TOTAL);
    [time.clone().only(label::<CpuMode>().none_of(NOT_BUSY)).rate(WINDOW), time.rate(WINDOW)]
}

fn cpu() -> Panel {
    let [busy, whole] = cpu_time().map(|time| time.sum(all()));
    let description = "The share of all nodes' CPU that is in use. Near the whole, new pods start slowly and old ones are \
                       throttled: add a node, or find what grew below.";
    number(cluster::CPU, query(busy.ratio_to(whole), template("CPU")), description).good_up_to(FULL).low()
}

fn memory() -> Panel {
    let whole = gauge(NODE_MEMORY_MEM_TOTAL_BYTES).value().sum(all());
    let available = gauge(NODE_MEMORY_MEM_AVAILABLE_BYTES).value().sum(all());
    let used = (whole.clone() - available).ratio_to(whole);
    let description = "The share of all nodes' memory that is in use and could not be freed. Near the whole, the kubelet evicts \
                       pods: add a node before it does.";
    number(cluster::MEMORY, query(used, template("Memory")), description).good_up_to(FULL).low()
}

fn pods_running(site: &Site) -> Panel {
    let running = phases(site).only(label::<Phase>().eq(Phase::Running)).value().sum(all());
    let description = "Pods of the namespace that run. A fall without a release means that pods were evicted or their \
                       node is gone: see which below.";
    number(cluster::PODS_RUNNING, query(running, template("Running")), description).good_from(1.0).low()
}

fn restarts(site: &Site) -> Panel {
    let restarts = container_restarts(site).increase(Window::hours(1)).sum(all());
    let description = "Containers of the namespace that were started anew within the last hour. Any number but zero is worth \
                       a look at the pod below and at its last log.";
    number(cluster::RESTARTS, query(restarts, template("Restarts")), description).good_up_to(1.0).low()
}

fn node_cpu() -> Panel {
    let [busy, whole] = cpu_time().map(|time| time.sum(by::<(Instance,)>()));
    let description = "The share of each node's CPU that is in use. One node far above the others means that pods lie \
                       badly: spread them, or drain the node.";
    lines(cluster::NODE_CPU, busy.ratio_to(whole), description).narrow().under("Nodes")
}

fn node_memory() -> Panel {
    let whole = gauge(NODE_MEMORY_MEM_TOTAL_BYTES).value().sum(by::<(Instance,)>());
    let available = gauge(NODE_MEMORY_MEM_AVAILABLE_BYTES).value().sum(by::<(Instance,)>());
    let used = (whole.clone() - available).ratio_to(whole);
    let description = "The share of each node's memory that is in use and could not be freed. A line that only climbs is a \
                       leak: look for its pod under the limits below.";
    lines(cluster::NODE_MEMORY, used, description).narrow()
}

fn disk_space() -> Panel {
    let query = query(queries::disk_free_share(), template((label::<Instance>(), " ", label::<Mountpoint>())));
    let description = "The share of each disk that is still free. Below the line, remove old images and logs, or enlarge the \
                       volume, before databases stop writing.";
    lines(cluster::DISK_SPACE, query, description).lowest_first().narrow()
}

fn phases(site: &Site) -> Selector<Gauge, (Namespace, Pod, Phase)> {
    gauge(KUBE_POD_STATUS_PHASE).only(label::<Namespace>().eq(&site.namespace))
}

fn container_restarts(site: &Site) -> Selector<Counter, (Namespace, Pod, Container)> {
    counter(KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL).only(label::<Namespace>().eq(&site.namespace))
}

fn pods_by_status(site: &Site) -> Panel {
    let query = phases(site).value().sum(by::<(Phase,)>());
    let description = "Pods of the namespace by phase. Pending for long means no room, no image or no volume; failed means \
                       that a job ended badly: `kubectl describe pod` says why.";
    lines(cluster::PODS_BY_STATUS, query, description)
        .stacked()
        .colored(Matcher::ByName("Running"), Color::Green)
        .colored(Matcher::ByName("Succeeded"), Color::Blue)
        .colored(Matcher::ByName("Pending"), Color::Orange)
        .colored(Matcher::ByName("Unknown"), Color::Yellow)
        .colored(Matcher::ByName("Failed"), Color::Red)
        .narrow()
        .under("Pods")
}

fn pod_restarts(site: &Site) -> Panel {
    let restarts = container_restarts(site).increase(Window::hours(1)).sum(by::<(Namespace, Pod)>());
    let description = "How often each pod's containers were started anew within the last hour. A stair that goes on is a loop: \
                       read the log of the run before, `kubectl logs --previous`.";
    lines(cluster::POD_RESTARTS, query(restarts, template((label::<Pod>(),))), description).whole().narrow()
}

fn replicas_missing(site: &Site) -> Panel {
    let replicas = |spec| gauge(spec).only(label::<Namespace>().eq(&site.namespace)).value();
    let by = by::<(Namespace, Deployment)>();
    let missing =
        replicas(KUBE_DEPLOYMENT_SPEC_REPLICAS).max(by) - replicas(KUBE_DEPLOYMENT_STATUS_REPLICAS_AVAILABLE).max(by);
    let description = "Replicas that each deployment asks for and does not have. For minutes that is a rollout; for longer the \
                       new pods do not become ready: `kubectl rollout status` says how far it came.";
    lines(cluster::REPLICAS_MISSING, query(missing, template((label::<Deployment>(),))), description).narrow()
}

/// What a container is called within its namespace, which was chosen.
fn by_container(vector: Vector<(Namespace, Pod, Container)>) -> Query {
    query(vector, template((label::<Pod>(), " ", label::<Container>())))
}

fn container_cpu(site: &Site) -> Panel {
    let share = by_container(queries::container_cpu_share(site, WINDOW));
    let description = "CPU that each container uses, as a share of its limit. At the limit it is throttled, which users feel \
                       as slow answers: add pods, or raise the limit.";
    lines(cluster::CONTAINER_CPU, share, description).narrow().under("Limits")
}

fn container_memory(site: &Site) -> Panel {
    let share = by_container(queries::container_memory_share(site));
    let description = "Memory that each container holds, as a share of its limit. At the limit the kernel kills it, with all \
                       its requests: restart it in time, then look for what grew.";
    lines(cluster::CONTAINER_MEMORY, share, description).narrow()
}

fn throttling(site: &Site) -> Panel {
    let periods = |spec| {
        let periods = counter(spec).only(label::<Namespace>().eq(&site.namespace));
        periods.rate(WINDOW).sum(by::<(Pod, Container)>())
    };
    let share = periods(CONTAINER_CPU_CFS_THROTTLED_PERIODS_TOTAL).ratio_to(periods(CONTAINER_CPU_CFS_PERIODS_TOTAL));
    let description = "The share of periods in which a container had used up its CPU limit and was kept from running. Much of it \
                       below the limit on average means short peaks: raise the limit.";
    lines(cluster::THROTTLING, share, description).narrow()
}
