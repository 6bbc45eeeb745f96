//! What other programs take from nopal: completions, manual pages, the kubectl plugin, the GitHub Action's steps and krew's
//! archive.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const NOPAL: &str = env!("CARGO_BIN_EXE_nopal");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn nopal(arguments: &[&str]) -> (i32, String, String) {
    run(Command::new(NOPAL).args(arguments))
}

fn commands() -> Vec<String> {
    let help = nopal(&["help"]).1;
    let list = help.split("Commands:\n").nth(1).unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert!(names.len() > 15, "{names:?}");
    names
}

#[test]
fn a_shell_reads_the_completions_and_they_name_every_command() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, text, _) = nopal(&["completions", shell]);
        assert_eq!(code, 0);
        for command in commands() {
            assert!(text.contains(&command), "{shell}: {command}");
        }
    }
    let file = folder.path().join("nopal.bash");
    let (_, text, _) = nopal(&["completions", "bash"]);
    fs::write(&file, text).unwrap();
    let asked = format!(
        ". {}; COMP_WORDS=(nopal wat); COMP_CWORD=1; _nopal nopal wat nopal; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let (_, words, errors) = run(Command::new("bash").args(["-c", &asked]));
    assert_eq!(words, "watch-denied\n", "{errors}");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man");
    assert_eq!(nopal(&["man", "--dir", pages.to_str().unwrap()]).0, 0);
    for command in commands().iter().filter(|command| *command != "help") {
        let page = fs::read_to_string(pages.join(format!("nopal-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    let own = fs::read_to_string(pages.join("nopal.1")).unwrap();
    assert_eq!(nopal(&["man"]).1, own);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (code, _, errors) = nopal(&["man", "--dir", file.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("manual pages cannot be written"),
        "{errors}"
    );
}

#[test]
fn as_a_kubectl_plugin_it_tells_what_its_users_type() {
    let folder = TempDir::new().unwrap();
    let plugin = folder.path().join("kubectl-nopal");
    symlink(NOPAL, &plugin).unwrap();
    let (code, help, _) = run(Command::new(&plugin).args(["lint", "--help"]));
    assert_eq!(code, 0);
    assert!(help.contains("Usage: kubectl nopal lint "), "{help}");
    let (code, _, errors) = run(Command::new(&plugin).arg("lint"));
    assert_eq!(code, 2);
    assert!(errors.contains("kubectl nopal lint"), "{errors}");
    assert!(nopal(&["lint", "--help"]).1.contains("Usage: nopal lint "));
}

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
";

/// A git repository with a policy that denies all, and a change after that which opens.
struct Runner {
    folder: TempDir,
}

impl Runner {
    fn new() -> Self {
        let runner = Self {
            folder: TempDir::new().unwrap(),
        };
        for name in ["work/a b", "temp", "bin"] {
            fs::create_dir_all(runner.path(name)).unwrap();
        }
        symlink(NOPAL, runner.path("bin/nopal")).unwrap();
        // Stands for GitHub's own command: it keeps what it is called with.
        let gh = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> \"$RUNNER_TEMP/gh.log\"\ncase \"$*\" in *--jq*) cat \"$RUNNER_TEMP/known\" ;; esac\n";
        fs::write(runner.path("bin/gh"), gh).unwrap();
        fs::set_permissions(runner.path("bin/gh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(runner.path("temp/known"), "").unwrap();
        fs::write(runner.path("work/a b/web.yaml"), POLICY).unwrap();
        runner.git(&["init", "--quiet"]);
        runner.git(&["add", "--all"]);
        runner.git(&["commit", "--quiet", "--message", "one"]);
        let open = format!(
            "{POLICY}  ingress: [{{from: [{{ipBlock: {{cidr: 203.0.113.0/33}}}}]}}, {{ports: [{{port: 80, protocol: TCP}}]}}]\n"
        );
        fs::write(runner.path("work/a b/web.yaml"), open).unwrap();
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.test"]);
        git.args(arguments).current_dir(self.path("work"));
        let (code, _, errors) = run(&mut git);
        assert_eq!(code, 0, "{errors}");
    }

    /// Runs a step of the action; gives its exit code, what it prints and the outputs that it sets.
    fn step(&self, name: &str, variables: &[(&str, &str)]) -> (i32, String, String) {
        let path = std::env::var("PATH").unwrap();
        let mut step = Command::new(root().join("deploy/action/step"));
        step.arg(name).current_dir(self.path("work"));
        step.env("PATH", format!("{}:{path}", self.path("bin").display()));
        step.env("RUNNER_TEMP", self.path("temp"));
        step.env("GITHUB_OUTPUT", self.path("temp/output"));
        step.env("GITHUB_STEP_SUMMARY", self.path("temp/summary"));
        step.env("GITHUB_REPOSITORY", "owner/name");
        step.envs(variables.iter().copied());
        let (code, text, errors) = run(&mut step);
        let output = fs::read_to_string(self.path("temp/output")).unwrap_or_default();
        (code, text + &errors, output)
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

#[test]
fn the_action_lints_and_keeps_the_verdict_for_the_end() {
    let runner = Runner::new();
    let (code, text, output) = runner.step("lint", &[("NOPAL_PATHS", "\na b\n")]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("::error file=a b/web.yaml,line=7"), "{text}");
    assert!(output.starts_with("code=1\nsarif="), "{output}");
    assert!(runner.written("temp/nopal.sarif").contains("NP007"));
    assert_eq!(runner.step("verdict", &[("NOPAL_LINT", "1")]).0, 1);
    assert_eq!(
        runner
            .step("verdict", &[("NOPAL_LINT", "0"), ("NOPAL_DIFF", "2")])
            .0,
        2
    );
    assert_eq!(
        runner
            .step("verdict", &[("NOPAL_LINT", "0"), ("NOPAL_DIFF", "")])
            .0,
        0
    );
    assert_eq!(runner.step("no-step", &[]).0, 2);
}

#[test]
fn the_action_comments_once_and_changes_its_comment_later() {
    let runner = Runner::new();
    let asked = [
        ("NOPAL_PATHS", "a b"),
        ("NOPAL_BASE", "HEAD"),
        ("NOPAL_PULL", "7"),
    ];
    let (code, text, output) = runner.step("diff", &asked);
    assert_eq!((code, output.as_str()), (0, "code=0\n"), "{text}");
    let summary = runner.written("temp/summary");
    assert!(
        summary.starts_with("<!-- nopal diff -->\n## What this changes"),
        "{summary}"
    );
    assert!(summary.contains("TCP 80"), "{summary}");
    let log = runner.written("temp/gh.log");
    assert!(
        log.contains("--method POST repos/owner/name/issues/7/comments"),
        "{log}"
    );
    fs::write(runner.path("temp/known"), "41\n42\n").unwrap();
    let widened = [&asked[..], &[("NOPAL_FAIL_ON", "widened")]].concat();
    let (code, _, output) = runner.step("diff", &widened);
    assert_eq!((code, output.as_str()), (0, "code=0\ncode=1\n"));
    let log = runner.written("temp/gh.log");
    assert!(
        log.contains("--method PATCH repos/owner/name/issues/comments/41 "),
        "{log}"
    );
    let none = [("NOPAL_PATHS", "a b"), ("NOPAL_BASE", "no-such-revision")];
    assert_ne!(runner.step("diff", &none).0, 0);
}

#[test]
fn the_krew_manifest_names_what_was_packed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let pack = || {
        let mut pack = Command::new(root().join("deploy/krew/pack"));
        pack.args([
            path,
            "https://example.test/?a&b|c",
            "https://example.test/files/",
        ]);
        run(&mut pack)
    };
    let (code, _, errors) = pack();
    assert_eq!(code, 1);
    assert!(errors.contains("neither nopal-linux-amd64"), "{errors}");
    fs::write(folder.path().join("nopal-linux-arm64"), "a program").unwrap();
    assert_eq!(pack().0, 0);
    let manifest = fs::read_to_string(folder.path().join("nopal.yaml")).unwrap();
    assert!(
        !manifest.contains('@') && !manifest.contains("amd64"),
        "{manifest}"
    );
    assert!(
        manifest.contains("homepage: https://example.test/?a&b|c\n"),
        "{manifest}"
    );
    let archive = format!("nopal-v{}-linux-arm64.tar.gz", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&format!("uri: https://example.test/files/{archive}\n")));
    let file = folder.path().join(&archive);
    let (_, sum, _) = run(Command::new("sha256sum").arg(&file));
    let sum = sum.split_whitespace().next().unwrap();
    assert!(manifest.contains(&format!("sha256: {sum}\n")), "{manifest}");
    let (_, list, _) = run(Command::new("tar").arg("-tzf").arg(&file));
    assert_eq!(list, "LICENSE\nnopal\n");
    let first = fs::read(&file).unwrap();
    assert_eq!(pack().0, 0);
    assert_eq!(
        fs::read(&file).unwrap(),
        first,
        "the same programs give the same archive"
    );
}
