//! The sidecar as it is shipped: one file that needs nothing of the system but its kernel.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use crate::{
    cargo,
    client::Client,
    ports,
    process::{self, Process},
    terminal,
};

/// How long the compiler may take to say what it builds for.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// How long a build may take: a cold one with optimizations is slow on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How large the program may be, in bytes.
const SIZE_LIMIT_BYTES: usize = 12_000_000;

/// Links the C library in. `--target` keeps it away from build scripts and macros, which have to be loaded by the compiler.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// What is between two flags in `CARGO_ENCODED_RUSTFLAGS`, which may hold blanks.
const SEPARATOR: &str = "\u{1f}";

/// Writes down what has to be moved at the start in bits, one for each word, and not in 24 bytes: all of it is read then.
const PACKED: &str = "link-arg=-Wl,-z,pack-relative-relocs";

/// Keeps one of functions that are alike to the byte, as those that generic code makes for similar types are, and of constants
/// and tables for unwinding. It is LLD that can, which Rust links with on [`LLD_HOST`]; the linkers of other hosts may not know
/// the options.
const FOLDED: &str = "link-arg=-Wl,--icf=all,--ignore-data-address-equality";

/// Where Rust brings its linker along.
const LLD_HOST: &str = "x86_64-unknown-linux-gnu";

/// Leaves out of zstd the ways to compress that only levels above 3 take; metrics are compressed at level 1.
const FAST_ZSTD: &str = "-DZSTD_EXCLUDE_GREEDY_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_LAZY_BLOCK_COMPRESSOR \
    -DZSTD_EXCLUDE_LAZY2_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_BTLAZY2_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_BTOPT_BLOCK_COMPRESSOR \
    -DZSTD_EXCLUDE_BTULTRA_BLOCK_COMPRESSOR";

/// Builds it, and tells where it lies and how large it is.
pub(crate) async fn run() -> Result<PathBuf> {
    let target = host().await?;
    let mut command = cargo::command(["rustc", "--profile", "dist", "--package", "futura-sidecar"]);
    command.args(["--bin", "futura-sidecar", "--features", "shipped", "--target", &target]);
    // Said here too, as the profile's own word does not reach a package that it has more to say about.
    command.args(["--", "-C", "strip=symbols", "-C", PACKED]);
    if target == LLD_HOST {
        command.args(["-C", FOLDED]);
    }
    let folders = folders()?;
    let given = rust_flags(env::var("CARGO_ENCODED_RUSTFLAGS").ok(), env::var("RUSTFLAGS").ok());
    let unnamed = folders.iter().map(|folder| format!("--remap-path-prefix={}=", folder.display()));
    let flags: Vec<_> = given.into_iter().chain([STATIC.to_owned()]).chain(unnamed).collect();
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR));
    let flags = env::var("CFLAGS").unwrap_or_default();
    command.env("CFLAGS", format!("{flags} {FAST_ZSTD}").trim_start());
    let output = process::output(command, Stdio::inherit(), BUILD_LIMIT).await?;
    ensure!(output.status.success(), "the build of futura-sidecar failed");
    let program = cargo::scratch(&target)?.join("dist/futura-sidecar");
    let bytes = fs::read(&program).with_context(|| format!("the build made no {}", program.display()))?;
    ensure!(!names_interpreter(&bytes), "{} is not linked statically", program.display());
    if let Some(folder) = named(&bytes, &folders) {
        bail!("{} names a folder of the machine that built it: {}", program.display(), folder.display());
    }
    terminal::line(format_args!("{}: {:.1} MB, linked statically", program.display(), bytes.len() as f64 / 1e6));
    check_size(bytes.len())?;
    Ok(program)
}

/// Builds it and runs it where there is nothing else: it has to find a target by the name that `/etc/hosts` has for it.
pub(crate) async fn check() -> Result<()> {
    let program = run().await?;
    let root = tempfile::Builder::new().prefix("futura-dist-").tempdir()?;
    fs::copy(&program, root.path().join("futura-sidecar")).context("cannot copy the program")?;
    fs::create_dir(root.path().join("etc"))?;
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 target.test\n")?;
    fs::write(root.path().join("modules.yml"), "modules:\n  tcp: { prober: tcp }\n")?;
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let [port] = ports::free()?;
    let mut command = process::command("unshare");
    // Root may change its root as it is, others only where they are root of a namespace.
    command.args((!geteuid().is_root()).then_some("--map-root-user")).arg("--root").arg(root.path());
    command.args(["/futura-sidecar", "probe", "--config.file=/modules.yml"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut sidecar = Process::spawn("futura-sidecar", command, &root.path().join("log"))?;
    let client = Client::new()?;
    sidecar.ready(&client, &format!("http://127.0.0.1:{port}/-/healthy")).await?;
    let query = format!("module=tcp&target=target.test:{}", target.local_addr()?.port());
    let answer = client.get(&format!("http://127.0.0.1:{port}/probe?{query}&debug=true")).await?;
    ensure!(answer.contains("\nprobe_success 1\n"), "the probe in an empty root failed:\n{answer}");
    let status = sidecar.terminate().await?;
    ensure!(status.success(), "it ended with {status}");
    refuses_grpc(&program, &root.path().join("modules.yml")).await
}

/// That it says what it was built without, instead of sending its traces by something else.
async fn refuses_grpc(program: &Path, modules: &Path) -> Result<()> {
    let mut command = process::command(program);
    command.arg("probe").arg(format!("--config.file={}", modules.display())).arg("--web.listen-address=127.0.0.1:0");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317").env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let output = process::output(command, Stdio::piped(), LOOK_LIMIT).await?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(!output.status.success() && said.contains("without gRPC"), "it took gRPC and {}: {said}", output.status);
    Ok(())
}

/// Where what is compiled lies on this machine: the later ones may lie in the earlier.
fn folders() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sources = home.context("cargo's folder is nowhere: set CARGO_HOME")?.join("registry/src");
    let mut folders = vec![cargo::root().to_owned(), cargo::scratch("")?];
    // Where sources are vendored there are none.
    folders.extend(fs::read_dir(&sources).into_iter().flatten().flatten().map(|registry| registry.path()));
    Ok(folders)
}

/// The flags for the compiler that cargo would read from these variables.
fn rust_flags(encoded: Option<String>, plain: Option<String>) -> Vec<String> {
    let (text, separator) = encoded.map_or_else(|| (plain.unwrap_or_default(), " "), |encoded| (encoded, SEPARATOR));
    text.split(separator).filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}

/// The first of these folders that a file names.
fn named<'a>(file: &[u8], folders: &'a [PathBuf]) -> Option<&'a Path> {
    let is_named = |folder: &&PathBuf| {
        let path = folder.as_os_str().as_encoded_bytes();
        file.windows(path.len()).any(|bytes| bytes == path)
    };
    folders.iter().find(is_named).map(PathBuf::as_path)
}

/// What the compiler builds for where nobody says, such as `x86_64-unknown-linux-gnu`.
async fn host() -> Result<String> {
    let mut command = process::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.arg("--version").arg("--verbose").current_dir(cargo::root());
    let output = process::output(command, Stdio::inherit(), LOOK_LIMIT).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell its host")
}

/// That a program of so many bytes is no larger than it may be.
fn check_size(bytes: usize) -> Result<()> {
    ensure!(
        bytes <= SIZE_LIMIT_BYTES,
        "futura-sidecar has {bytes} bytes, more than the {SIZE_LIMIT_BYTES} that it may have: \
         `CARGO_PROFILE_DIST_STRIP=none cargo bloat --profile dist --package futura-sidecar --features shipped --crates` \
         tells what is large"
    );
    Ok(())
}

/// Whether an ELF file of 64 bits asks for a program that loads it with its libraries (`PT_INTERP`).
fn names_interpreter(file: &[u8]) -> bool {
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
    let number = |at: usize, bytes: usize| {
        let field = file.get(at..at + bytes).unwrap_or_default();
        field.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    // `e_phoff`, `e_phentsize` and `e_phnum` of the header tell where the program headers are, each of which begins with its type.
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).any(|header| file.get(start + header * size..).is_some_and(|header| header.starts_with(&PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::{SIZE_LIMIT_BYTES, check_size, named, names_interpreter, rust_flags};
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    #[test]
    fn a_program_with_shared_libraries_is_known_by_its_loader() {
        let shell = fs::read("/bin/sh").unwrap();
        assert!(names_interpreter(&shell));
        let mut header = shell[..64].to_vec();
        assert!(!names_interpreter(&header));
        header.truncate(10);
        assert!(!names_interpreter(&header));
    }

    #[test]
    fn flags_are_read_as_cargo_reads_them() {
        let read = |encoded: Option<&str>, plain: Option<&str>| {
            rust_flags(encoded.map(str::to_owned), plain.map(str::to_owned))
        };
        assert_eq!(read(None, None), [""; 0]);
        assert_eq!(read(None, Some("-C  debuginfo=1")), ["-C", "debuginfo=1"]);
        assert_eq!(read(Some("--cfg\u{1f}name=\"a b\""), Some("-C debuginfo=1")), ["--cfg", "name=\"a b\""]);
    }

    #[test]
    fn a_folder_that_a_program_names_is_found() {
        let folders = ["/home/ada/work", "/home/ada/.cargo/registry/src/index"].map(PathBuf::from);
        assert_eq!(named(b"\0tokio-1.0.0/src/lib.rs\0", &folders), None);
        let file = b"\0/home/ada/.cargo/registry/src/index/tokio-1.0.0/src/lib.rs\0";
        assert_eq!(named(file, &folders), Some(Path::new("/home/ada/.cargo/registry/src/index")));
    }

    #[test]
    fn a_program_that_grew_past_its_limit_is_refused() {
        assert!(check_size(SIZE_LIMIT_BYTES).is_ok());
        let error = check_size(SIZE_LIMIT_BYTES + 1).unwrap_err().to_string();
        assert!(error.contains("has 12000001 bytes, more than the 12000000"), "{error}");
    }
}
