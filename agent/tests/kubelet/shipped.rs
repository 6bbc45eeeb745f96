//! The images of the node: the agent's, made of what `deploy/Dockerfile` puts into it, and that of the pods.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal_harness::{Image, SANDBOX};

/// Names the folder that `deploy/build-static` has filled.
const SHIPPED: &str = "NOPAL_SHIPPED";
const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");

/// As the runtime calls what the manifest calls `nopal-agent:0.1.0`.
const NAME: &str = "docker.io/library/nopal-agent:0.1.0";

/// Where packages have programs.
const PROGRAMS: [&str; 4] = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];

/// The agent's image: both programs as they are shipped, and what Debian's packages of the Dockerfile bring, from this
/// machine's Debian. Of the base image it has the places and `sleep`.
pub(crate) fn agent(folder: &Path) -> Image {
    let image = Image::new(NAME, &entrypoint(), &folder.join("image")).unwrap();
    image.add_links().unwrap();
    for program in ["nopal-agent", "nopal-cni"] {
        let place = format!("/usr/local/bin/{program}");
        image.add(&self::program(program), &place).unwrap();
    }
    let packages = packages();
    assert!(packages.contains(&"nftables"), "{packages:?}");
    let programs = packages.into_iter().flat_map(programs_of);
    for program in programs.chain([PathBuf::from("/bin/sleep")]) {
        image.add_program(&program).unwrap();
    }
    image
}

/// The agent or the plugin, as it is shipped.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os(SHIPPED);
    let folder =
        folder.expect("NOPAL_SHIPPED has the programs: `make test-cluster-kubelet` builds them");
    Path::new(&folder).join(name)
}

/// The image of the pods, of one static program that is built for it.
pub(crate) fn prober(folder: &Path) -> Image {
    let program = folder.join("prober");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubelet/prober.rs");
    let built = Command::new("rustc")
        .args(["--edition=2024", "-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    let is_built = built.unwrap().success();
    assert!(is_built, "rustc builds the program of the pods");
    let image = Image::new(SANDBOX, "/prober", &folder.join("prober.image")).unwrap();
    image.add(&program, "/prober").unwrap();
    image
}

fn entrypoint() -> String {
    let line = DOCKERFILE
        .lines()
        .find_map(|line| line.strip_prefix("ENTRYPOINT "));
    let [program]: [String; 1] = serde_json::from_str(line.unwrap()).unwrap();
    program
}

/// The packages that the Dockerfile installs into the image.
fn packages() -> Vec<&'static str> {
    let (_, packages) = DOCKERFILE.split_once("--no-install-recommends ").unwrap();
    let (packages, _) = packages.split_once('\n').unwrap();
    packages.trim_end_matches('\\').split_whitespace().collect()
}

/// The programs of an installed package, without scripts.
fn programs_of(package: &str) -> Vec<PathBuf> {
    let listed = Command::new("dpkg").args(["-L", package]).output().unwrap();
    assert!(
        listed.status.success(),
        "{package} is installed: {listed:?}"
    );
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files = listed.lines().filter(|file| {
        let is_program = PROGRAMS.iter().any(|place| file.starts_with(place));
        is_program && is_elf(file.as_ref())
    });
    files.map(PathBuf::from).collect()
}

fn is_elf(file: &Path) -> bool {
    let mut start = [0; 4];
    let is_file = fs::metadata(file).is_ok_and(|data| data.is_file());
    is_file && File::open(file).unwrap().read_exact(&mut start).is_ok() && start == *b"\x7fELF"
}
