//! A revision of the git repository around the current folder, through the user's own git.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The files of a revision, in a folder that goes away with this value.
#[derive(Debug)]
pub struct Tree {
    folder: TempDir,
    /// The repository's own folder.
    top: PathBuf,
}

/// Writes the files of a revision into a folder of their own. The repository and its index stay as they are.
pub fn checkout(revision: &str) -> Result<Tree, String> {
    let top = git(&["rev-parse", "--show-toplevel"], None)?;
    let commit = format!("{revision}^{{commit}}");
    let commit = git(
        &[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ],
        None,
    )
    .map_err(|_| format!("git knows no revision {revision:?}"))?;
    let folder = TempDir::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let index = folder.path().join("index");
    git(&["read-tree", &commit], Some(&index))?;
    let prefix = format!("--prefix={}/", folder.path().join("tree").display());
    let top = PathBuf::from(top);
    let top_argument = top.display().to_string();
    git(
        &["-C", &top_argument, "checkout-index", "--all", &prefix],
        Some(&index),
    )?;
    Ok(Tree { folder, top })
}

impl Tree {
    /// Where the revision has a path of the working tree; `None` for standard input, which no revision has.
    pub fn path(&self, path: &Path) -> Result<Option<PathBuf>, String> {
        if path.as_os_str() == crate::manifest::STANDARD_INPUT {
            return Ok(None);
        }
        let absolute = std::path::absolute(path)
            .and_then(|path| path.canonicalize().or(Ok(path)))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let top = self.top.canonicalize().unwrap_or_else(|_| self.top.clone());
        let within = absolute.strip_prefix(&top).map_err(|_| {
            format!(
                "{} is not in the git repository {}",
                path.display(),
                top.display()
            )
        })?;
        Ok(Some(self.folder.path().join("tree").join(within)))
    }
}

fn git(arguments: &[&str], index: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new("git");
    command.args(arguments);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let output = command
        .output()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
