//! A file that may not be read. Alone in its program: a copy of the command that another thread still holds open
//! while it forks could not be run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

const NOBODY: u32 = 65_534;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/33}}]}]}
";

/// Root may read everything, so the command runs as somebody else where the tests run as root.
#[test]
fn a_file_without_permission_is_an_error_and_the_others_are_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let allow = |name: &str, mode| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("", 0o755);
    fs::write(path("closed.yaml"), POLICY).unwrap();
    allow("closed.yaml", 0o000);
    fs::write(path("open.yaml"), POLICY).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_nopal"), path("nopal")).unwrap();
    let mut command = Command::new(path("nopal"));
    command
        .args(["lint", ".", "--format", "concise"])
        .current_dir(folder.path());
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(found.contains("NP007"), "{found}");
    assert!(
        errors.starts_with("error: ./closed.yaml: cannot be read: Permission denied"),
        "{errors}"
    );
}
