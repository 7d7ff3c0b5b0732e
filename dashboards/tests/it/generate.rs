//! The generator: what it writes, what it names, and what it leaves alone.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use futura_alert_rules::MARK;
use insta::assert_snapshot;
use tempfile::TempDir;

/// Runs the program in `folder`.
fn generate(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_generate-dashboards");
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    // How long it took is nobody's to promise.
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let report = text.split(" in ").next().unwrap().trim_end();
    // Nor is how many files there are in all.
    let words = report.split(' ').collect::<Vec<_>>();
    let of_all = |place: usize| words.get(place + 1).is_some_and(|next| *next == "unchanged,");
    let words = words.iter().enumerate().map(|(place, word)| if of_all(place) { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with everything generated below `out`.
fn generated() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(folder.path(), &["--out", "out"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    folder
}

fn file_names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn committed_files_are_up_to_date() {
    let output = generate(Path::new(env!("CARGO_MANIFEST_DIR")), &["--check"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn writing_twice_changes_nothing() {
    let folder = generated();
    assert_eq!(file_names(&folder.path().join("out")), ["alert-rules", "dashboards"]);
    let dashboards = folder.path().join("out/dashboards");
    assert_snapshot!(file_names(&dashboards).join("\n"), @"
    checks.json
    error-forwarding.json
    futuratickets-overview.json
    http-routes.json
    kubernetes
    kubernetes-cluster.json
    provisioning
    slos.json
    ticketing-internals.json
    ");
    assert_eq!(file_names(&dashboards.join("provisioning")), ["dashboards.yaml", "datasource.yaml"]);
    assert_eq!(file_names(&dashboards.join("kubernetes")).len(), 7);
    assert_snapshot!(stdout(&generate(folder.path(), &["--out", "out"])), @"0 files written, N unchanged, 0 removed");
    assert_eq!(code(&generate(folder.path(), &["--out", "out", "--check"])), 0);
}

#[test]
fn check_names_each_file_that_differs_and_touches_none() {
    let folder = generated();
    let out = folder.path().join("out");
    let (stale, missing) =
        (out.join("alert-rules/prometheus/payments.yaml"), out.join("dashboards/futuratickets-overview.json"));
    let leftover = out.join("alert-rules/runbooks/Forgotten.md");
    fs::write(&stale, format!("# {MARK}\ngroups: []\n")).unwrap();
    fs::remove_file(&missing).unwrap();
    fs::write(&leftover, format!("<!-- {MARK} -->\n")).unwrap();

    let output = generate(folder.path(), &["--out", "out", "--check"]);
    assert_eq!(code(&output), 1);
    assert_snapshot!(stderr(&output), @"
    stale: out/alert-rules/prometheus/payments.yaml
    left over: out/alert-rules/runbooks/Forgotten.md
    missing: out/dashboards/futuratickets-overview.json
    3 files differ from what these options generate: --out out --namespace futuratickets --runbooks-url https://runbooks.futuratickets.com --grafana-url https://grafana.futuratickets.com --profile prometheus-2.42 --prometheus-url http://prometheus:9090 --dashboards-path /var/lib/grafana/dashboards --format classic
    if the files were written with other options, repeat those with --check; if not, leave --check out to put them right
    ");
    assert!(leftover.exists() && !missing.exists());

    assert_snapshot!(stdout(&generate(folder.path(), &["--out", "out"])), @"2 files written, N unchanged, 1 removed");
    assert!(!leftover.exists() && missing.exists());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = generated();
    let out = folder.path().join("out");
    let foreign = ["alert-rules/prometheus/own.yaml", "alert-rules/other/notes.md", "dashboards/own.json"]
        .map(|path| out.join(path));
    for path in &foreign {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine\n\n").unwrap();
    }
    assert_snapshot!(stdout(&generate(folder.path(), &["--out", "out"])), @"0 files written, N unchanged, 0 removed");
    assert!(foreign.iter().all(|path| path.exists()));
}

#[test]
fn a_file_of_others_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("alert-rules/runbooks")).unwrap();
    fs::write(folder.path().join("alert-rules/runbooks/README.md"), "# Ours\n").unwrap();
    let output = generate(folder.path(), &["--out", "."]);
    assert_eq!(code(&output), 1);
    assert_snapshot!(stderr(&output), @"./alert-rules/runbooks/README.md was not generated: move it out of the way");
    assert_eq!(file_names(folder.path()), ["alert-rules"]);
}

#[test]
fn a_folder_that_cannot_be_written_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    // A file where a folder must go stops even a user who may write everywhere.
    fs::write(folder.path().join("out/dashboards"), "in the way").unwrap();
    let output = generate(folder.path(), &["--out", "out"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("out/dashboards"), "{}", stderr(&output));
    assert_eq!(file_names(&folder.path().join("out")), ["dashboards"]);
}

#[test]
fn outside_a_workspace_it_asks_for_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(folder.path(), &[]);
    assert_eq!(code(&output), 64);
    assert_snapshot!(stderr(&output), @"neither this folder nor one above it holds `alert-rules` and `dashboards`: pass --out DIR");
}

#[test]
fn another_site_is_written_throughout() {
    let folder = tempfile::tempdir().unwrap();
    let site =
        ["--namespace", "staging", "--grafana-url", "http://grafana.test/", "--runbooks-url", "http://runbooks.test"];
    assert_eq!(code(&generate(folder.path(), &[&["--out", "out"], &site[..]].concat())), 0);
    let rules = fs::read_to_string(folder.path().join("out/alert-rules/prometheus/kubernetes.yaml")).unwrap();
    assert!(rules.contains(r#"namespace="staging""#) && !rules.contains("futuratickets.com"), "{rules}");
    assert!(rules.contains("http://grafana.test/d/kubernetes-cluster?viewPanel=8"), "{rules}");
    assert!(rules.contains("http://runbooks.test/PodDown"), "{rules}");
}

#[test]
fn a_file_of_settings_is_taken_and_options_come_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "namespace: staging\ngrafana_url: http://grafana.test\nthresholds: { HighErrorRate: 25 }\n";
    fs::write(folder.path().join("own.yaml"), settings).unwrap();
    let arguments = ["--out", "out", "--config", "own.yaml", "--namespace", "canary"];
    let output = generate(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let read = |path: &str| fs::read_to_string(folder.path().join("out").join(path)).unwrap();
    assert!(read("alert-rules/prometheus/kubernetes.yaml").contains(r#"namespace="canary""#));
    let rules = read("alert-rules/prometheus/services.yaml");
    assert!(rules.contains("[5m])) > 25\n") && rules.contains("http://grafana.test/d/"), "{rules}");
    let dashboard = read("dashboards/futuratickets-overview.json");
    assert!(dashboard.contains(r#""value": 25.0"#), "{dashboard}");
    assert_eq!(code(&generate(folder.path(), &[&arguments[..], &["--check"]].concat())), 0);
    // What was written as the settings in force makes the same again.
    fs::copy(folder.path().join("out/alert-rules/site.yaml"), folder.path().join("printed.yaml")).unwrap();
    assert_eq!(code(&generate(folder.path(), &["--out", "out", "--config", "printed.yaml", "--check"])), 0);
}

#[test]
fn a_file_of_settings_that_is_wrong_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |settings: &str| {
        fs::write(folder.path().join("own.yaml"), settings).unwrap();
        let output = generate(folder.path(), &["--out", "out", "--config", "own.yaml"]);
        assert_eq!(code(&output), 64);
        stderr(&output)
    };
    assert_snapshot!(refused("name_space: staging"), @"cannot use own.yaml: there is no setting `name_space`; did you mean `namespace`?");
    assert_snapshot!(refused("durations: { RedisDwon: 5m }"), @"cannot use own.yaml: `durations`: there is no alert `RedisDwon`; did you mean `RedisDown`?");
    assert_snapshot!(refused("thresholds: { RedisDown: 1 }"), @"cannot use own.yaml: `thresholds`: alert `RedisDown` has no threshold to set, as it asks for a state; leave the line out");
    assert!(!folder.path().join("out").exists());
    assert_eq!(code(&generate(folder.path(), &["--out", "out", "--config", "missing.yaml"])), 1);
}

#[test]
fn people_are_told_as_the_file_says_and_the_profile_can() {
    let folder = tempfile::tempdir().unwrap();
    let routing = "secrets: /run/secrets, heartbeat: true, email: null, working_hours: { time_zone: Europe/Madrid }";
    fs::write(folder.path().join("own.yaml"), format!("routing: {{ {routing} }}\n")).unwrap();
    let options = ["--out", "out", "--config", "own.yaml", "--profile"];
    let output = generate(folder.path(), &[&options[..], &["prometheus-2.42"]].concat());
    assert_eq!(code(&output), 64);
    assert_snapshot!(stderr(&output), @"cannot use own.yaml: `routing`: `heartbeat`: Alertmanager reads a webhook's address from a file since 0.26: choose profile prometheus-3");
    assert_eq!(file_names(folder.path()), ["own.yaml"]);

    let output = generate(folder.path(), &[&options[..], &["prometheus-3"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let rules = folder.path().join("out/alert-rules");
    let configuration = fs::read_to_string(rules.join("alertmanager/alertmanager.yaml")).unwrap();
    for said in ["location: Europe/Madrid", "webhook_url_file: /run/secrets/discord"] {
        assert!(configuration.contains(said), "{said}: {configuration}");
    }
    assert!(!configuration.contains("email_configs"), "{configuration}");
    // The resource knows no time zones.
    assert!(!rules.join("kubernetes/operator/alertmanager.yaml").exists());
    let output = generate(folder.path(), &["--out", "out", "--check"]);
    assert!(stderr(&output).contains("missing: out/alert-rules/kubernetes/operator/alertmanager.yaml"));
}

#[test]
fn grafana_is_told_where_prometheus_and_the_dashboards_are() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.yaml"), "scrape_interval: 30s\n").unwrap();
    let options = ["--prometheus-url", "http://prometheus.test:9090/", "--dashboards-path", "/boards"];
    let arguments = [&["--out", "out", "--config", "own.yaml"], &options[..]].concat();
    assert_eq!(code(&generate(folder.path(), &arguments)), 0);
    let read = |path: &str| fs::read_to_string(folder.path().join("out/dashboards").join(path)).unwrap();
    assert_snapshot!(read("provisioning/datasource.yaml"), @"
    # Generated by generate-dashboards. Do not edit.
    apiVersion: 1
    datasources:
    - name: Prometheus
      uid: prometheus
      type: prometheus
      access: proxy
      url: http://prometheus.test:9090
      isDefault: true
      editable: false
      jsonData:
        httpMethod: POST
        prometheusType: Prometheus
        timeInterval: 30s
    ");
    assert_snapshot!(read("provisioning/dashboards.yaml"), @"
    # Generated by generate-dashboards. Do not edit.
    apiVersion: 1
    providers:
    - name: futuratickets
      orgId: 1
      folder: FuturaTickets
      folderUid: futuratickets
      type: file
      disableDeletion: false
      updateIntervalSeconds: 30
      allowUiUpdates: false
      options:
        path: /boards
    ");
}

#[test]
fn a_config_map_holds_the_very_dashboard() {
    let folder = generated();
    let read = |path: &str| fs::read_to_string(folder.path().join("out/dashboards").join(path)).unwrap();
    let text = read("kubernetes/checks.yaml");
    let map: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    assert_eq!(map["data"]["checks.json"].as_str(), Some(read("checks.json").as_str()));
    assert_snapshot!(text.lines().take(12).collect::<Vec<_>>().join("\n"), @"
    # Generated by generate-dashboards. Do not edit.
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: futura-dashboard-checks
      labels:
        app.kubernetes.io/part-of: futura
        grafana_dashboard: '1'
      annotations:
        grafana_folder: FuturaTickets
        k8s-sidecar-target-directory: FuturaTickets
    data:
    ");
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files.sort();
    files
}

#[test]
fn dashboards_are_written_in_one_model_or_the_other() {
    let folder = generated();
    let dashboards = folder.path().join("out/dashboards");
    let classic = files_below(&dashboards);
    let v2 = ["--out", "out", "--format", "v2"];
    let output = generate(folder.path(), &v2);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_snapshot!(files_below(&dashboards).join("\n"), @"
    v2/checks.json
    v2/error-forwarding.json
    v2/futuratickets-overview.json
    v2/http-routes.json
    v2/kubernetes-cluster.json
    v2/slos.json
    v2/ticketing-internals.json
    ");
    assert_eq!(code(&generate(folder.path(), &[&v2[..], &["--check"]].concat())), 0);
    assert_snapshot!(stdout(&generate(folder.path(), &v2)), @"0 files written, N unchanged, 0 removed");
    let text = fs::read_to_string(dashboards.join("v2/checks.json")).unwrap();
    assert_snapshot!(text.lines().take(9).collect::<Vec<_>>().join("\n"), @r#"
    {
      "apiVersion": "dashboard.grafana.app/v2",
      "kind": "Dashboard",
      "metadata": {
        "name": "checks"
      },
      "spec": {
        "description": "What the sidecars see from outside: what is up, and why what failed did. Generated by generate-dashboards. Do not edit.",
        "title": "FuturaTickets - Checks",
    "#);
    assert_eq!(code(&generate(folder.path(), &["--out", "out"])), 0);
    assert_eq!(files_below(&dashboards), classic);
}

#[test]
fn the_other_model_is_written_into_a_folder_of_ones_own() {
    let output = generate(Path::new(env!("CARGO_MANIFEST_DIR")), &["--format", "v2"]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("--out <DIR>"), "{}", stderr(&output));
}

#[test]
fn checking_with_other_options_says_which_were_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let staging = ["--out", "out", "--namespace", "staging"];
    assert_eq!(code(&generate(folder.path(), &staging)), 0);
    assert_eq!(code(&generate(folder.path(), &[&staging[..], &["--check"]].concat())), 0);
    let output = generate(folder.path(), &["--out", "out", "--check"]);
    assert_eq!(code(&output), 1);
    let advice: Vec<_> =
        stderr(&output).lines().filter(|line| !line.starts_with("stale: ")).map(str::to_owned).collect();
    let (_, advice) =
        advice.join("\n").split_once(' ').map(|(count, advice)| (count.to_owned(), advice.to_owned())).unwrap();
    assert_snapshot!(advice, @"
    files differ from what these options generate: --out out --namespace futuratickets --runbooks-url https://runbooks.futuratickets.com --grafana-url https://grafana.futuratickets.com --profile prometheus-2.42 --prometheus-url http://prometheus:9090 --dashboards-path /var/lib/grafana/dashboards --format classic
    if the files were written with other options, repeat those with --check; if not, leave --check out to put them right
    ");
}

#[test]
fn bad_usage_exits_64_and_help_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["--oops"][..], &["--namespace", "Not A Name"], &["--grafana-url", "ftp://x"], &["--profile", "2"]]
    {
        assert_eq!(code(&generate(folder.path(), arguments)), 64, "{arguments:?}");
    }
    let help = generate(folder.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    let help = String::from_utf8(help.stdout).unwrap();
    for taught in ["generate-dashboards --out ./monitoring", "promtool test rules", "repeat those", "64 for a wrong"] {
        assert!(help.contains(taught), "{taught}: {help}");
    }
}
