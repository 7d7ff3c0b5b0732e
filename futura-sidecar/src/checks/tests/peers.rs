//! Real servers for tests, each of its own folder and port, that end with the value.

use std::{
    env, fs, io,
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpStream, time::sleep};

use super::closed_port;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(super) struct Peer {
    child: Child,
    pub(super) address: SocketAddr,
    folder: TempDir,
}

impl Peer {
    /// Starts a server; none, which is said, where its program is not installed.
    async fn start(mut command: Command, address: SocketAddr, folder: TempDir) -> Option<Self> {
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return skipped(command.get_program().as_ref()),
            Err(error) => panic!("{}: {error}", command.get_program().display()),
        };
        let peer = Self { child, address, folder };
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("it listens");
        Some(peer)
    }

    /// A server of Redis with these further arguments.
    pub(super) async fn redis(arguments: &[&str]) -> Option<Self> {
        let (address, folder) = (closed_port().await, tempdir().expect("a folder"));
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]).args(arguments);
        Self::start(command, address, folder).await
    }

    /// A server of Redis that speaks nothing but TLS, and the roots that trust it.
    pub(super) async fn redis_with_tls() -> Option<(Self, RootCertStore)> {
        let (address, folder) = (closed_port().await, tempdir().expect("a folder"));
        let roots = certificate(folder.path());
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--tls-port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-auth-clients", "no"]);
        Some((Self::start(command, address, folder).await?, roots))
    }

    /// A server of PostgreSQL that speaks TLS too, whose user `monitor` has the password `secret`; `hash` is how it is kept.
    pub(super) async fn postgres(hash: &str) -> Option<(Self, RootCertStore)> {
        let Some(programs) = postgres_programs() else { return skipped(Path::new("postgres")) };
        let (address, folder) = (closed_port().await, tempdir().expect("a folder"));
        let roots = certificate(folder.path());
        fs::write(folder.path().join("password"), "secret").expect("a file");
        // PostgreSQL does not run as root.
        let owner =
            nix::unistd::User::from_name("postgres").ok().flatten().filter(|_| nix::unistd::geteuid().is_root());
        if let Some(owner) = &owner {
            for path in ["", "password", "key.pem", "cert.pem"] {
                chown(folder.path().join(path), Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).expect("root may");
            }
        }
        let of_owner = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some(owner) = &owner {
                command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
            }
            command.current_dir(folder.path());
            command
        };
        let mut initdb = of_owner("initdb");
        initdb.args(["--pgdata", "data", "--username", "monitor", "--pwfile", "password", "--no-sync"]);
        initdb.args(["--auth-local=trust", &format!("--auth-host={hash}")]).stdout(Stdio::null());
        assert!(initdb.status().expect("initdb").success());
        let mut command = of_owner("postgres");
        command.args(["-D", "data", "-k", "", "-h", "127.0.0.1", "-p", &address.port().to_string(), "-F"]);
        for setting in ["ssl=on", "ssl_cert_file=../cert.pem", "ssl_key_file=../key.pem", "max_connections=20"] {
            command.args(["-c", setting]);
        }
        Some((Self::start(command, address, folder).await?, roots))
    }

    /// A server that speaks MongoDB's protocol. `TEST_SECANTUSD` names the program, which `cargo xtask test` installs.
    pub(super) async fn mongodb(folder: TempDir, arguments: &[&str]) -> Option<Self> {
        let Some(program) = env::var_os("TEST_SECANTUSD") else { return skipped(Path::new("TEST_SECANTUSD")) };
        let address = closed_port().await;
        let mut command = Command::new(program);
        command.args(["--port", &address.port().to_string(), "--storage-path", "data", "--cache-size", "64M"]);
        command.args(arguments);
        Self::start(command, address, folder).await
    }

    /// Has a server of MongoDB's know a user, by the driver that came with it.
    pub(super) fn create_user(&self, user: &str, password: &str) {
        let python = Path::new(&env::var_os("TEST_SECANTUSD").expect("it runs")).with_file_name("python");
        let script = "import pymongo, sys\n\
            client = pymongo.MongoClient(sys.argv[1], directConnection=True)\n\
            client.admin.command('createUser', sys.argv[2], pwd=sys.argv[3], roles=['root'])";
        let url = format!("mongodb://{}", self.address);
        let status = Command::new(python).args(["-c", script, &url, user, password]).status();
        assert!(status.expect("python").success());
    }

    /// Ends the server and gives back its folder.
    pub(super) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.folder, tempdir().expect("a folder"))
    }

    fn end(&mut self) {
        // PostgreSQL's own processes end with it only if it is asked to end.
        let id = self.child.id().try_into().ok().and_then(rustix::process::Pid::from_raw);
        let asked = id.map(|id| rustix::process::kill_process(id, rustix::process::Signal::INT));
        assert!(asked.is_some_and(|asked| asked.is_ok()), "its own process");
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn skipped<T>(program: &Path) -> Option<T> {
    eprintln!("SKIPPED: {} is not installed; `cargo xtask test` does that", program.display());
    None
}

/// Where Debian keeps the newest PostgreSQL.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").is_file()).max()
}

/// Writes a certificate of this host with its key; the roots that trust it.
fn certificate(folder: &Path) -> RootCertStore {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
    fs::write(folder.join("cert.pem"), cert.pem()).expect("a file");
    let key = folder.join("key.pem");
    fs::write(&key, signing_key.serialize_pem()).expect("a file");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its own file");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    roots
}
