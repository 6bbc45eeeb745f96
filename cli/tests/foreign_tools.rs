//! What other programs make of what nopal gives them: the SARIF Multitool of findings, pre-commit of the hooks, krew of its
//! archive, published schemas of the action and of what docs/ci.md shows.
//!
//! The programs are those that `.ci/integration-tools` installs; `NOPAL_TOOLS` names their folder. `make test-integrations`
//! runs these tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const NOPAL: &str = env!("CARGO_BIN_EXE_nopal");

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap()
}

fn tool(name: &str) -> Command {
    let folder = std::env::var("NOPAL_TOOLS")
        .expect("NOPAL_TOOLS: the folder that .ci/integration-tools prints");
    Command::new(Path::new(&folder).join(name))
}

/// Whether a program ended well, and all that it printed.
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), printed)
}

fn done(command: &mut Command) -> String {
    let (well, printed) = run(command);
    assert!(well, "{command:?}: {printed}");
    printed
}

fn copy_of_the_shop(folder: &Path) -> PathBuf {
    let file = folder.join("shop.yaml");
    fs::copy(root().join("cli/demo/shop.yaml"), &file).unwrap();
    file
}

/// Runs the standard's rules and those of GitHub over a file.
fn multitool(file: &Path) -> (bool, String) {
    let mut validate = tool("sarif-multitool");
    // It is a .NET program, which wants a library for languages that nothing here needs.
    validate.env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    run(validate
        .arg("validate")
        .arg(file)
        .args(["--rule-kind", "Sarif;Ghas"]))
}

#[test]
#[ignore = "needs NOPAL_TOOLS: make test-integrations"]
fn findings_pass_the_rules_of_sarif_and_of_github() {
    let folder = TempDir::new().unwrap();
    let unread = folder.path().join("unread.yaml");
    fs::write(&unread, "a: [").unwrap();
    let inputs = [
        root().join("testdata/cases"),
        root().join("cli/demo"),
        unread,
    ];
    for input in &inputs {
        let log = folder.path().join("log.sarif");
        let mut lint = Command::new(NOPAL);
        lint.arg("lint").arg(input).arg("--output-file");
        lint.arg(format!("sarif={}", log.display()));
        assert_ne!(lint.output().unwrap().status.code(), None);
        let (well, printed) = multitool(&log);
        assert!(
            well && printed.contains("Analysis completed successfully"),
            "{printed}"
        );
        let told: Vec<_> = printed
            .lines()
            .filter(|line| line.contains(": error ") || line.contains(": warning "))
            // The project has no home page that a tool's description could name.
            .filter(|line| !(line.contains("SARIF2005") && line.contains("'informationUri'")))
            .collect();
        assert!(told.is_empty(), "{}: {told:?}", input.display());
    }
    let broken = folder.path().join("broken.sarif");
    let log = fs::read_to_string(folder.path().join("log.sarif")).unwrap();
    fs::write(&broken, log.replace("\"driver\"", "\"drivers\"")).unwrap();
    let (well, printed) = multitool(&broken);
    assert!(!well || printed.contains(": error "), "{printed}");
}

#[test]
#[ignore = "needs NOPAL_TOOLS: make test-integrations"]
fn pre_commit_runs_the_hooks_of_this_repository() {
    let folder = TempDir::new().unwrap();
    let manifest = root().join(".pre-commit-hooks.yaml");
    done(tool("pre-commit").arg("validate-manifest").arg(&manifest));
    // The hooks as they are in the working tree, in a repository as pre-commit wants one.
    let hooks = folder.path().join("hooks");
    let work = folder.path().join("work");
    let git = |at: &Path, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.test"]);
        done(git.args(arguments).current_dir(at))
    };
    for folder in [&hooks, &work] {
        fs::create_dir(folder).unwrap();
        git(folder, &["init", "--quiet"]);
    }
    fs::copy(&manifest, hooks.join(".pre-commit-hooks.yaml")).unwrap();
    git(&hooks, &["add", "--all"]);
    git(&hooks, &["commit", "--quiet", "--message", "hooks"]);
    let revision = git(&hooks, &["rev-parse", "HEAD"]);
    let shop = copy_of_the_shop(&work);
    done(Command::new(NOPAL).current_dir(&work).args([
        "snapshot",
        "shop.yaml",
        "--file",
        "policies.snapshot",
    ]));
    let config = format!(
        "repos:\n- repo: {}\n  rev: {revision}  hooks:\n  - {{id: nopal-lint}}\n  - {{id: nopal-snapshot, args: [--file, policies.snapshot, shop.yaml]}}\n",
        hooks.display()
    );
    fs::write(work.join(".pre-commit-config.yaml"), config).unwrap();
    let path = std::env::var("PATH").unwrap();
    let nopals = Path::new(NOPAL).parent().unwrap().display();
    let commit = || {
        git(&work, &["add", "--all"]);
        let mut commit = tool("pre-commit");
        commit.args(["run", "--all-files"]).current_dir(&work);
        commit.env("PATH", format!("{nopals}:{path}"));
        commit.env("PRE_COMMIT_HOME", folder.path().join("home"));
        run(&mut commit)
    };
    let (well, printed) = commit();
    assert!(well && printed.matches("Passed").count() == 2, "{printed}");
    let text = fs::read_to_string(&shop).unwrap();
    fs::write(&shop, text.replace("port: 5432", "port: 5433")).unwrap();
    let (well, printed) = commit();
    assert!(!well, "{printed}");
    assert!(
        printed.contains("- hook id: nopal-snapshot\n- exit code: 1"),
        "{printed}"
    );
    assert!(
        printed.contains("\n- ingress from shop/api: TCP 5432\n"),
        "{printed}"
    );
}

#[test]
#[ignore = "needs NOPAL_TOOLS: make test-integrations"]
fn krew_installs_what_was_packed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    fs::copy(NOPAL, path.join("nopal-linux-amd64")).unwrap();
    let mut pack = Command::new(root().join("deploy/krew/pack"));
    done(
        pack.arg(path)
            .args(["https://example.test/nopal", "https://example.test/files"]),
    );
    let archive = format!("nopal-v{}-linux-amd64.tar.gz", env!("CARGO_PKG_VERSION"));
    let install = || {
        let mut install = tool("krew");
        install.arg("install").env("KREW_ROOT", path.join("krew"));
        install.arg(format!("--manifest={}", path.join("nopal.yaml").display()));
        install.arg(format!("--archive={}", path.join(&archive).display()));
        run(&mut install)
    };
    let (well, printed) = install();
    assert!(
        well && printed.contains("Installed plugin: nopal"),
        "{printed}"
    );
    let version = done(Command::new(path.join("krew/bin/kubectl-nopal")).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    // Another archive than the one whose checksum the manifest names.
    fs::remove_dir_all(path.join("krew")).unwrap();
    fs::write(path.join(&archive), "not what was packed").unwrap();
    let (well, printed) = install();
    assert!(
        !well && !path.join("krew/bin/kubectl-nopal").exists(),
        "{printed}"
    );
}

/// The first YAML block of docs/ci.md below a heading.
fn shown(heading: &str) -> String {
    let page = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let section = page.split(&format!("## {heading}\n")).nth(1).unwrap();
    let block = section.split("```yaml\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
#[ignore = "needs NOPAL_TOOLS: make test-integrations"]
fn the_action_and_the_jobs_that_the_documentation_shows_keep_their_schemas() {
    let folder = TempDir::new().unwrap();
    let action = fs::read_to_string(root().join("action.yml")).unwrap();
    let cases = [
        ("vendor.github-actions", action, "composite"),
        ("vendor.github-workflows", shown("GitHub"), "runs-on"),
        ("vendor.gitlab-ci", shown("GitLab"), "script"),
    ];
    for (schema, text, word) in cases {
        let check = |text: &str| {
            let file = folder.path().join("checked.yml");
            fs::write(&file, text).unwrap();
            run(tool("check-jsonschema")
                .args(["--builtin-schema", schema])
                .arg(&file))
        };
        let (well, printed) = check(&text);
        assert!(well, "{schema}: {printed}");
        assert!(text.contains(word), "{schema}");
        assert!(
            !check(&text.replace(word, "misspelt")).0,
            "{schema} takes everything"
        );
    }
}
