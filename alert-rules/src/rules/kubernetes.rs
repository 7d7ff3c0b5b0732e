//! Pods and deployments of the namespace.

use futura_metrics::specs::external::{
    Condition, ConditionStatus, Container, Deployment, KUBE_DEPLOYMENT_STATUS_CONDITION,
    KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL, KUBE_POD_CONTAINER_STATUS_WAITING_REASON, KUBE_POD_STATUS_PHASE,
    Namespace, Phase, Pod, WaitingReason,
};

use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::cluster,
    promql::{Window, by, gauge, label},
    queries,
    runbook::{Runbook, ask, run},
    site::Site,
    template::{template, value},
};

const SERVICE: &str = "kubernetes";
const POD: &str = "api-6c9f4-x2x7p";
/// Phases in which a pod does no work though it should; a pod that succeeded is done.
const NOT_RUNNING: &[Phase] = &[Phase::Pending, Phase::Failed, Phase::Unknown];

pub(super) fn alerts(site: &Site) -> Vec<Alert> {
    vec![pod_down(site), deployment_rollout_stuck(site), pod_crash_looping(site), pod_restarting_often(site)]
}

fn pod_down(site: &Site) -> Alert {
    let pod = POD;
    let phases = |namespace: &str, pending: Samples, running: Samples| -> [Series; 2] {
        let phase = |phase, samples| series(KUBE_POD_STATUS_PHASE, (namespace, pod, phase), samples);
        [phase(Phase::Pending, pending), phase(Phase::Running, running)]
    };
    let (zero, one) = (|| Samples::steady(0.0, 30), || Samples::steady(1.0, 30));
    let namespace = site.namespace.as_str();
    let not_running = gauge(KUBE_POD_STATUS_PHASE)
        .only(label::<Namespace>().eq(namespace))
        .only(label::<Phase>().any_of(NOT_RUNNING))
        .value();
    let definition = Definition {
        name: "PodDown",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: not_running.max(by::<(Namespace, Pod)>()).above(0.0),
        lasts: minutes(5),
        panel: Some(cluster::PODS_BY_STATUS),
        summary: template(("Pod ", label::<Pod>(), " is not running")),
        description: template(("Pod ", label::<Namespace>(), "/", label::<Pod>(), " is pending, failed or unknown.")),
        examples: vec![
            Example::when(
                "a pod is pending for 10 minutes",
                phases(
                    namespace,
                    Samples::steady(1.0, 10).then_steady(0.0, 10),
                    Samples::steady(0.0, 10).then_steady(1.0, 10),
                ),
            )
            .silent_at(4)
            .fires_at(5, (namespace, pod), 1.0)
            .silent_at(11),
            Example::when(
                "a pod is pending for 4 minutes",
                phases(
                    namespace,
                    Samples::steady(1.0, 4).then_steady(0.0, 20),
                    Samples::steady(0.0, 4).then_steady(1.0, 20),
                ),
            )
            .silent_at(4)
            .silent_at(10),
            Example::when(
                "one pod has failed and another is on a lost node",
                [("api-1", Phase::Failed), ("api-2", Phase::Unknown)]
                    .map(|(pod, phase)| series(KUBE_POD_STATUS_PHASE, (namespace, pod, phase), one())),
            )
            .fires_at(10, (namespace, "api-1"), 1.0)
            .fires_at(10, (namespace, "api-2"), 1.0),
            Example::when("a pod of another namespace is pending", phases("elsewhere", one(), zero())).silent_at(30),
        ],
        runbook: pod_down_runbook(site),
    };
    definition.into()
}

fn pod_down_runbook(site: &Site) -> Runbook {
    let phases = gauge(KUBE_POD_STATUS_PHASE).only(label::<Namespace>().eq(&site.namespace)).value();
    Runbook {
        symptom: "A pod of the namespace has not been in the phase Running for five minutes.",
        meaning: "The others carry its share. If it is the last of its kind, what it does has stopped.",
        investigation: vec![
            run("See which pods are not running", "kubectl -n {namespace} get pods"),
            run("Read its events: scheduling, image, volumes, probes", "kubectl -n {namespace} describe pod <pod>"),
            run("Read what it said before it ended", "kubectl -n {namespace} logs <pod> --previous"),
            ask("See how many pods are in each phase", phases.sum(by::<(Phase,)>())),
        ],
        resolution: &[
            "Pending for want of CPU or memory: free some, or add a node.",
            "`ImagePullBackOff`: repair the tag or the registry's secret, or `kubectl -n {namespace} rollout undo \
             deployment/api`.",
            "`OOMKilled`: raise the memory limit; then look for what grew.",
            "`CrashLoopBackOff`: read the log; a wrong setting or an unreachable dependency is usual.",
            "Stuck on a lost node: `kubectl -n {namespace} delete pod <pod>`, and its controller starts another.",
        ],
        related: &["DeploymentRolloutStuck", "HighMemoryUsage"],
    }
}

fn deployment_rollout_stuck(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let stuck = |samples| {
        let labels = (namespace, "api", Condition::Progressing, ConditionStatus::False);
        [series(KUBE_DEPLOYMENT_STATUS_CONDITION, labels, samples)]
    };
    let not_progressing = gauge(KUBE_DEPLOYMENT_STATUS_CONDITION)
        .only(label::<Namespace>().eq(namespace))
        .only(label::<Condition>().eq(Condition::Progressing))
        .only(label::<ConditionStatus>().eq(ConditionStatus::False))
        .value();
    let definition = Definition {
        name: "DeploymentRolloutStuck",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: not_progressing.max(by::<(Namespace, Deployment)>()).above(0.0),
        lasts: minutes(15),
        panel: Some(cluster::REPLICAS_MISSING),
        summary: template(("The rollout of ", label::<Deployment>(), " is stuck")),
        description: template((
            "Deployment ",
            label::<Namespace>(),
            "/",
            label::<Deployment>(),
            " makes no progress: old and new pods stand side by side.",
        )),
        examples: vec![
            Example::when(
                "a rollout makes no progress for 30 minutes",
                stuck(Samples::steady(1.0, 30).then_steady(0.0, 10)),
            )
            .silent_at(14)
            .fires_at(15, (namespace, "api"), 1.0)
            .silent_at(31),
            Example::when("a rollout goes on after 14 minutes", stuck(Samples::steady(1.0, 14).then_steady(0.0, 20)))
                .silent_at(14)
                .silent_at(20),
            Example::when("rollouts make progress", stuck(Samples::steady(0.0, 30))).silent_at(30),
        ],
        runbook: deployment_rollout_stuck_runbook(),
    };
    definition.into()
}

fn deployment_rollout_stuck_runbook() -> Runbook {
    Runbook {
        symptom: "A deployment has reported no progress for a quarter of an hour.",
        meaning: "The new pods do not become ready, so Kubernetes keeps the old ones. Users notice little, but the \
                  release is not out and the next one will wait behind it.",
        investigation: vec![
            run("See how far it came", "kubectl -n {namespace} rollout status deployment/<deployment> --timeout=5s"),
            run("Read why it stopped", "kubectl -n {namespace} describe deployment <deployment>"),
            run(
                "See the new pods and what keeps them from being ready",
                "kubectl -n {namespace} get pods\nkubectl -n {namespace} describe pod <pod>",
            ),
            run("Read the log of a new pod", "kubectl -n {namespace} logs <pod>"),
        ],
        resolution: &[
            "The new release is at fault: `kubectl -n {namespace} rollout undo deployment/<deployment>`.",
            "No room for new pods: add a node, or lower the requests.",
            "A quota or a missing secret or volume: repair it; the rollout goes on by itself.",
        ],
        related: &["PodDown"],
    }
}

fn pod_crash_looping(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let firing = (namespace, POD, "api");
    let waits = |reason, samples| -> [Series; 1] {
        [series(KUBE_POD_CONTAINER_STATUS_WAITING_REASON, (namespace, POD, "api", reason), samples)]
    };
    let looping = gauge(KUBE_POD_CONTAINER_STATUS_WAITING_REASON)
        .only(label::<Namespace>().eq(namespace))
        .only(label::<WaitingReason>().eq(WaitingReason::CrashLoopBackOff))
        // Between two waits the container runs for a moment, in which it does not seem to loop.
        .max_over_time(Window::minutes(5));
    let definition = Definition {
        name: "PodCrashLooping",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: looping.max(by::<(Namespace, Pod, Container)>()).above(0.0),
        lasts: minutes(5),
        panel: Some(cluster::POD_RESTARTS),
        summary: template(("Container ", label::<Container>(), " of ", label::<Pod>(), " crashes again and again")),
        description: template((
            "Container ",
            label::<Container>(),
            " of ",
            label::<Namespace>(),
            "/",
            label::<Pod>(),
            " ends soon after each start; Kubernetes waits longer every time.",
        )),
        examples: vec![
            Example::when(
                "a container loops for 20 minutes",
                waits(WaitingReason::CrashLoopBackOff, Samples::steady(1.0, 20).then_steady(0.0, 20)),
            )
            .silent_at(4)
            .fires_at(5, firing, 1.0)
            .fires_at(24, firing, 1.0)
            .silent_at(26),
            Example::when(
                "a container waits for its image",
                waits(WaitingReason::ImagePullBackOff, Samples::steady(1.0, 30)),
            )
            .silent_at(30),
        ],
        runbook: pod_crash_looping_runbook(),
    };
    definition.into()
}

fn pod_crash_looping_runbook() -> Runbook {
    let waiting = gauge(KUBE_POD_CONTAINER_STATUS_WAITING_REASON).value();
    Runbook {
        symptom: "A container has been in `CrashLoopBackOff` for five minutes.",
        meaning: "It ends by itself soon after each start: a setting that is refused, a dependency that it cannot do \
                  without, too little memory, or a probe that gives it no time.",
        investigation: vec![
            run("Read what it said before it ended", "kubectl -n {namespace} logs <pod> -c <container> --previous"),
            run(
                "See how it ended: its exit code, or `OOMKilled`",
                "kubectl -n {namespace} describe pod <pod> | grep -A 8 'Last State'",
            ),
            run("See what changed last", "kubectl -n {namespace} rollout history deployment/api"),
            ask("See which containers wait, and why", waiting.sum(by::<(Namespace, Pod, WaitingReason)>())),
        ],
        resolution: &[
            "Exit code 64, or a setting named in the log: repair the setting or the secret.",
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "`OOMKilled`: raise the memory limit; then look for what grew.",
            "Killed by its liveness probe while it starts: give it a startup probe, or more time.",
        ],
        related: &["PodRestartingOften", "PodDown", "DeploymentRolloutStuck"],
    }
}

fn pod_restarting_often(site: &Site) -> Alert {
    let namespace = site.namespace.as_str();
    let restarts = |samples| -> [Series; 1] {
        [series(KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL, (namespace, POD, "api"), samples).in_proportion()]
    };
    let definition = Definition {
        name: "PodRestartingOften",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: queries::container_restarts(site, Window::hours(1)).above(3.0),
        lasts: minutes(15),
        panel: Some(cluster::POD_RESTARTS),
        summary: template(("Container ", label::<Container>(), " of ", label::<Pod>(), " restarts often")),
        description: template((
            "Container ",
            label::<Container>(),
            " of ",
            label::<Namespace>(),
            "/",
            label::<Pod>(),
            " was started anew ",
            value(),
            " times within an hour.",
        )),
        examples: vec![
            Example::when(
                "a container restarts 4.2 times an hour for 90 minutes",
                restarts(Samples::growing(0.07, 90).then_growing(0.0, 90)),
            )
            .silent_at(57)
            .fires_at(65, (namespace, POD, "api"), 4.2)
            .silent_at(150),
            Example::when("a container restarts 2.9 times an hour", restarts(Samples::growing(0.048_333, 150)))
                .silent_at(100)
                .silent_at(150),
        ],
        runbook: pod_restarting_often_runbook(site),
    };
    definition.into()
}

fn pod_restarting_often_runbook(site: &Site) -> Runbook {
    Runbook {
        symptom: "A container was started anew more than three times within an hour.",
        meaning: "It works between its restarts, so users see only single failures, but each takes the requests in \
                  flight with it. Usual are memory that grows up to the limit, and a liveness probe that is too strict.",
        investigation: vec![
            ask("See which containers restart, and how often", queries::container_restarts(site, Window::hours(6))),
            run(
                "See how it ended: its exit code, or `OOMKilled`",
                "kubectl -n {namespace} describe pod <pod> | grep -A 8 'Last State'",
            ),
            run("Read what it said before it ended", "kubectl -n {namespace} logs <pod> -c <container> --previous"),
            run("See what the node says", "kubectl -n {namespace} get events --sort-by=.lastTimestamp | tail -30"),
        ],
        resolution: &[
            "`OOMKilled`: raise the memory limit; then look for what grew.",
            "Killed by its liveness probe: see why it does not answer in time, and give the probe more patience.",
            "A panic in the log: find it in Sentry, and go back to the release before it.",
        ],
        related: &["PodCrashLooping", "HighMemoryUsage"],
    }
}
