//! The data stores: MongoDB and Redis.

use futura_metrics::specs::external::{
    ConnType, MONGODB_SS_CONNECTIONS, MONGODB_UP, REDIS_COMMANDS_PROCESSED_TOTAL, REDIS_UP,
};

use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::overview,
    promql::{Instance, Window, all, by, counter, gauge, label},
    queries,
    runbook::{Runbook, ask, run},
    template::{template, value},
};

const MONGODB: &str = "mongodb-0:9216";

pub(super) fn alerts() -> Vec<Alert> {
    vec![mongodb_connection_issues(), mongodb_down(), high_mongodb_connections(), redis_down()]
}

fn connections(kind: ConnType, samples: Samples) -> [Series; 1] {
    [series(MONGODB_SS_CONNECTIONS, (kind,), samples).target::<Instance>(MONGODB).in_proportion()]
}

fn mongodb_connection_issues() -> Alert {
    let available = |samples| connections(ConnType::Available, samples);
    let left = gauge(MONGODB_SS_CONNECTIONS).only(label::<ConnType>().eq(ConnType::Available)).value();
    let definition = Definition {
        name: "MongoDBConnectionIssues",
        severity: Severity::Critical,
        team: Team::Database,
        service: Some("mongodb"),
        condition: left.min(by::<(Instance,)>()).below(10.0),
        lasts: minutes(5),
        panel: Some(overview::DATABASE_CONNECTIONS),
        summary: template(("MongoDB on ", label::<Instance>(), " is running out of connections")),
        description: template(("MongoDB on ", label::<Instance>(), " can take only ", value(), " more connections.")),
        examples: vec![
            Example::when(
                "9 connections are left for 20 minutes",
                available(Samples::steady(9.0, 20).then_steady(500.0, 10)),
            )
            .silent_at(4)
            .fires_at(5, (MONGODB,), 9.0)
            .silent_at(25),
            Example::when("10.5 connections are left", available(Samples::steady(10.5, 30))).silent_at(30),
            Example::when(
                "connections are short for 4 minutes",
                available(Samples::steady(3.0, 4).then_steady(500.0, 20)),
            )
            .silent_at(4)
            .silent_at(10),
        ],
        runbook: mongodb_connection_issues_runbook(),
    };
    definition.into()
}

fn mongodb_connection_issues_runbook() -> Runbook {
    Runbook {
        symptom: "MongoDB can take fewer than ten more connections.",
        meaning: "The next pod that starts, or the next burst, will be refused. Mostly a client does not give its \
                  connections back, or more pods run than the pool sizes were made for.",
        investigation: vec![
            ask("See how many connections there are, and of which kind", queries::mongodb_connections(ConnType::ALL)),
            run(
                "See who holds them",
                "kubectl -n {namespace} exec -it mongodb-0 -- mongosh --quiet --eval \
                 'db.currentOp(true).inprog.forEach(op => print(op.client, op.appName, op.desc))' | sort | uniq -c",
            ),
            run("See how many pods connect", "kubectl -n {namespace} get pods -o wide"),
            run(
                "See whether operations hang and hold their connection",
                "kubectl -n {namespace} exec -it mongodb-0 -- mongosh --quiet --eval \
                 'db.currentOp({ secs_running: { $gt: 10 } })'",
            ),
        ],
        resolution: &[
            "One client holds far more than its pool: restart it, for example `kubectl -n {namespace} rollout \
             restart deployment/api`.",
            "Operations hang: end them with `db.killOp(<opid>)` and look for the missing index.",
            "More pods than before: lower each pod's pool (`maxPoolSize` in the connection string), or raise \
             `net.maxIncomingConnections` and the limit of open files with it.",
        ],
        related: &["HighResponseTime", "HighErrorRate"],
    }
}

fn mongodb_down() -> Alert {
    let up = |samples| [series(MONGODB_UP, (), samples)];
    let definition = Definition {
        name: "MongoDBDown",
        severity: Severity::Critical,
        team: Team::Database,
        service: Some("mongodb"),
        // Without its exporter nobody knows that MongoDB answers, so no series is as bad as a zero.
        condition: gauge(MONGODB_UP).value().min(all()).or_zero().equal_to(0.0),
        lasts: minutes(2),
        panel: Some(overview::DATABASE_CONNECTIONS),
        summary: template(("MongoDB does not answer",)),
        description: template((
            "The exporter cannot reach MongoDB, or is gone itself: the data is out of reach or unwatched.",
        )),
        examples: vec![
            Example::when("MongoDB does not answer for 10 minutes", up(Samples::steady(0.0, 10).then_steady(1.0, 10)))
                .silent_at(1)
                .fires_at(2, (), 0.0)
                .fires_at(10, (), 0.0)
                .silent_at(11),
            Example::when("the exporter is gone", []).silent_at(1).fires_at(2, (), 0.0),
            Example::when(
                "another member is elected within a minute",
                up(Samples::steady(1.0, 5).then_steady(0.0, 1).then_steady(1.0, 10)),
            )
            .silent_at(6)
            .silent_at(8),
        ],
        runbook: mongodb_down_runbook(),
    };
    definition.into()
}

fn mongodb_down_runbook() -> Runbook {
    Runbook {
        symptom: "MongoDB has not answered for two minutes, or its exporter is gone.",
        meaning: "What reads or writes documents fails at once. Whatever is asked again while it is away adds to the \
                  load when it comes back.",
        investigation: vec![
            ask("See which exporter reports it", gauge(MONGODB_UP).value()),
            run(
                "See whether the pod runs, and why not",
                "kubectl -n {namespace} get pods -l app=mongodb\nkubectl -n {namespace} describe pod mongodb-0",
            ),
            run(
                "Ask MongoDB itself, and who is primary",
                "kubectl -n {namespace} exec -it mongodb-0 -- mongosh --quiet --eval 'db.hello()'",
            ),
            run("Read its last words", "kubectl -n {namespace} logs mongodb-0 --tail=100 --previous"),
            run("See whether its volume is full", "kubectl -n {namespace} exec mongodb-0 -- df -h /data/db"),
        ],
        resolution: &[
            "Its volume is full: enlarge the claim; it does not start before it has room for its journal.",
            "Killed for memory (`OOMKilled`): raise the limit, or lower `storage.wiredTiger.engineConfig.cacheSizeGB`.",
            "No primary is elected: bring a majority of the members back.",
            "Its files are damaged: restore the last backup into a new volume.",
            "MongoDB answers and only the exporter fails: repair its password or address.",
        ],
        related: &["MongoDBConnectionIssues", "DiskSpaceLow", "PodDown"],
    }
}

fn high_mongodb_connections() -> Alert {
    let current = |samples| connections(ConnType::Current, samples);
    let open = gauge(MONGODB_SS_CONNECTIONS).only(label::<ConnType>().eq(ConnType::Current)).value();
    let definition = Definition {
        name: "HighMongoDBConnections",
        severity: Severity::Warning,
        team: Team::Database,
        service: Some("mongodb"),
        condition: open.max(by::<(Instance,)>()).above(800.0),
        lasts: minutes(10),
        panel: Some(overview::DATABASE_CONNECTIONS),
        summary: template(("MongoDB on ", label::<Instance>(), " has many connections")),
        description: template((value(), " connections to MongoDB on ", label::<Instance>(), " are open.")),
        examples: vec![
            Example::when(
                "900 connections are open for 30 minutes",
                current(Samples::steady(900.0, 30).then_steady(60.0, 10)),
            )
            .silent_at(9)
            .fires_at(10, (MONGODB,), 900.0)
            .silent_at(31),
            Example::when("790 connections are open", current(Samples::steady(790.0, 40))).silent_at(40),
        ],
        runbook: high_mongodb_connections_runbook(),
    };
    definition.into()
}

fn high_mongodb_connections_runbook() -> Runbook {
    Runbook {
        symptom: "More than 800 connections to a MongoDB server are open.",
        meaning: "Each costs the server about a megabyte and a thread. It is several times what the pods' pools add up \
                  to, so a client opens connections and does not give them back.",
        investigation: vec![
            ask("See since when, and how many are still available", queries::mongodb_connections(ConnType::ALL)),
            run(
                "See who holds them",
                "kubectl -n {namespace} exec -it mongodb-0 -- mongosh --quiet --eval \
                 'db.currentOp(true).inprog.forEach(op => print(op.client, op.appName))' | sort | uniq -c | sort -n",
            ),
            run("See how many pods connect", "kubectl -n {namespace} get pods -o wide"),
        ],
        resolution: &[
            "One client holds most: restart it, and look for a client that is created for each request.",
            "More pods than before: lower each pod's pool (`maxPoolSize` in the connection string).",
            "It has to be so: raise the threshold of this alert, once the server's memory allows for it.",
        ],
        related: &["MongoDBConnectionIssues", "MongoDBDown"],
    }
}

fn redis_down() -> Alert {
    let up = |samples| [series(REDIS_UP, (), samples)];
    let definition = Definition {
        name: "RedisDown",
        severity: Severity::Critical,
        team: Team::Database,
        service: Some("redis"),
        // Without its exporter nobody knows that Redis answers, so no series is as bad as a zero.
        condition: gauge(REDIS_UP).value().min(all()).or_zero().equal_to(0.0),
        lasts: minutes(2),
        panel: Some(overview::REDIS_OPERATIONS),
        summary: template(("Redis does not answer",)),
        description: template((
            "The exporter cannot reach Redis, or is gone itself: the queue and the cache are down or unwatched.",
        )),
        examples: vec![
            Example::when("Redis does not answer for 10 minutes", up(Samples::steady(0.0, 10).then_steady(1.0, 10)))
                .silent_at(1)
                .fires_at(2, (), 0.0)
                .fires_at(10, (), 0.0)
                .silent_at(11),
            Example::when("the exporter is gone", []).silent_at(1).fires_at(2, (), 0.0),
            Example::when(
                "Redis restarts within a minute",
                up(Samples::steady(1.0, 5).then_steady(0.0, 1).then_steady(1.0, 10)),
            )
            .silent_at(6)
            .silent_at(8),
        ],
        runbook: redis_down_runbook(),
    };
    definition.into()
}

fn redis_down_runbook() -> Runbook {
    Runbook {
        symptom: "Redis has not answered for two minutes, or its exporter is gone.",
        meaning: "The API's breaker opens: until Redis answers nobody can join a queue or learn their place (503, with \
                  `Retry-After`). Events, reservations and orders go on. Where Redis kept nothing on disk, everyone \
                  who asks again begins a new line.",
        investigation: vec![
            ask("See which exporter reports it", gauge(REDIS_UP).value()),
            run(
                "See whether the pod runs, and why not",
                "kubectl -n {namespace} get pods -l app=redis\nkubectl -n {namespace} describe pod -l app=redis",
            ),
            run("Ask Redis itself", "kubectl -n {namespace} exec deploy/redis -- redis-cli ping"),
            run(
                "Read its last words: memory, disk, a failed snapshot",
                "kubectl -n {namespace} logs -l app=redis --tail=100 --previous",
            ),
            ask(
                "See what it did before",
                counter(REDIS_COMMANDS_PROCESSED_TOTAL).rate(Window::minutes(5)).sum(by::<(Instance,)>()),
            ),
        ],
        resolution: &[
            "Killed for memory (`OOMKilled`): raise its limit above `maxmemory`, or lower `maxmemory`.",
            "Its volume is full: free space or enlarge it; see DiskSpaceLow.",
            "It hangs: delete the pod, `kubectl -n {namespace} delete pod -l app=redis`; the queue is restored \
             from its snapshot.",
            "Redis answers and only the exporter fails: repair its password or address.",
        ],
        related: &["PodDown", "DiskSpaceLow"],
    }
}
