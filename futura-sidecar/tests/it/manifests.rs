//! The Kubernetes manifests: what they configure is valid, and what they refer to is there.

use std::{collections::BTreeMap, fs, path::PathBuf};

use futura_alert_rules::Site;
use futura_sidecar::Config;
use serde::Deserialize;
use serde_yaml::Value;
use tempfile::tempdir;
use url::Url;

/// Each manifest's objects, by kind and name.
fn manifests() -> Vec<BTreeMap<String, Value>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let objects = serde_yaml::Deserializer::from_str(&text).map(|document| {
            let object = Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            (format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])), object)
        });
        manifests.push(objects.collect());
    }
    manifests
}

/// The pods that are described, with their containers of both sorts.
fn pods(objects: &BTreeMap<String, Value>) -> impl Iterator<Item = (&Value, Vec<&Value>)> {
    objects.values().filter(|object| object["spec"]["template"].is_mapping()).map(|object| {
        let spec = &object["spec"]["template"]["spec"];
        let of = |key: &str| spec[key].as_sequence().into_iter().flatten();
        (object, of("initContainers").chain(of("containers")).collect())
    })
}

#[test]
fn what_the_manifests_configure_is_valid() {
    let mut checked = 0;
    for objects in manifests() {
        let files = objects.values().filter_map(|object| object["data"].as_mapping()).flatten();
        let folder = tempdir().expect("a folder");
        let place = folder.path().display().to_string();
        fs::create_dir(folder.path().join("checks.d")).expect("a folder");
        for (name, text) in files {
            let (name, text) = (name.as_str().expect("a name"), text.as_str().expect("a text"));
            let text =
                text.replace("/var/lib/futura", &place).replace("/etc/futura-checks", &format!("{place}/checks.d"));
            let text = text.replace("${HOSTNAME}", "checks-2");
            let within = if name == "sidecar.yaml" { folder.path().to_owned() } else { folder.path().join("checks.d") };
            fs::write(within.join(name), &text).expect("a file");
            checked += 1;
        }
        let file = folder.path().join("sidecar.yaml");
        Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        // A replica has its share: all of them are looked at.
        let whole = fs::read_to_string(&file).expect("a file").replace("checks-2/3", "0/1");
        fs::write(&file, whole).expect("a file");
        let config = Config::load(&file).expect("valid");
        assert!(config.checks.len() >= 2 || config.errors.is_some());
    }
    assert_eq!(checked, 5);
}

/// The generated configuration of Alertmanager posts to a name that one of the manifests gives a Service.
#[test]
fn alertmanager_finds_the_sidecar_that_it_posts_to() {
    let url = Site::default().routing.sidecar_url.expect("it is told by default");
    let url = Url::parse(&url).expect("an address");
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
    let manifests = manifests();
    let objects = manifests.iter().find(|objects| objects.contains_key(&format!("Service {host}"))).expect("a Service");
    let service = &objects[&format!("Service {host}")]["spec"];
    let serves = |served: &&Value| served["port"].as_u64() == Some(port.into());
    let served = service["ports"].as_sequence().expect("ports").iter().find(serves).expect("the port");

    let selected = |object: &Value| object["spec"]["template"]["metadata"]["labels"] == service["selector"];
    let (_, containers) = pods(objects).find(|(object, _)| selected(object)).expect("pods that it selects");
    let ports = containers.iter().flat_map(|container| container["ports"].as_sequence().into_iter().flatten());
    let listens = |named: &&Value| named["name"] == served["targetPort"];
    assert_eq!(
        ports.filter(listens).map(|named| named["containerPort"].as_u64()).collect::<Vec<_>>(),
        [Some(port.into())]
    );

    let config = objects[&format!("ConfigMap {host}")]["data"]["sidecar.yaml"].as_str().expect("a configuration");
    let config: Value = serde_yaml::from_str(config).expect("YAML");
    assert_eq!(config["errors"]["listen"], format!("0.0.0.0:{port}"));

    let policy = &objects[&format!("NetworkPolicy {host}")]["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"], service["selector"]);
    let lets_in = |rule: &&Value| {
        let ports = rule["ports"].as_sequence().into_iter().flatten();
        ports.map(|allowed| &allowed["port"]).any(|allowed| *allowed == served["targetPort"])
    };
    assert_eq!(policy["ingress"].as_sequence().expect("rules").iter().filter(lets_in).count(), 1);
}

#[test]
fn what_the_manifests_refer_to_is_there() {
    for objects in manifests() {
        for (object, containers) in pods(&objects) {
            let (spec, template) = (&object["spec"], &object["spec"]["template"]);
            assert_eq!(spec["selector"]["matchLabels"], template["metadata"]["labels"]);
            let volumes = template["spec"]["volumes"].as_sequence().expect("volumes");
            for volume in volumes.iter().filter_map(|volume| volume["configMap"]["name"].as_str()) {
                assert!(objects.contains_key(&format!("ConfigMap {volume}")), "{volume}");
            }
            for container in containers {
                for mount in container["volumeMounts"].as_sequence().into_iter().flatten() {
                    assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount:?}");
                }
                let named: Vec<_> =
                    container["ports"].as_sequence().into_iter().flatten().map(|port| &port["name"]).collect();
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    let port = &container[probe]["httpGet"]["port"];
                    assert!(port.is_null() || named.contains(&port), "{probe}: {port:?}");
                }
            }
        }
    }
}

#[test]
fn every_container_runs_as_nobody_and_can_change_nothing() {
    for objects in manifests() {
        for (object, containers) in pods(&objects) {
            assert_eq!(object["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"], true);
            for container in containers {
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["allowPrivilegeEscalation"], false);
                assert_eq!(context["capabilities"]["drop"][0], "ALL");
            }
        }
    }
}
