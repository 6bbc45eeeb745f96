//! Folders that are no manifests yet: a Helm chart or a kustomization is rendered by the user's own tool.

use std::path::Path;
use std::process::{Command, Stdio};

/// A tool that makes manifests of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Helm,
    Kustomize,
}

impl Tool {
    /// The tool that a folder is meant for; `None` for a folder of plain manifests.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).is_file();
        let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
        if has("Chart.yaml") {
            Some(Self::Helm)
        } else if names.into_iter().any(has) {
            Some(Self::Kustomize)
        } else {
            None
        }
    }

    /// What it prints of a folder, or why it does not.
    pub(super) fn render(self, folder: &Path) -> Result<Vec<u8>, String> {
        let (what, program, arguments): (_, _, &[&str]) = match self {
            Self::Helm => ("a Helm chart", "helm", &["template", "nopal"]),
            Self::Kustomize => ("a kustomization", "kubectl", &["kustomize"]),
        };
        let command = format!("{program} {}", arguments.join(" "));
        let output = Command::new(program)
            .args(arguments)
            .arg(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                format!(
                    "the folder is {what}, and {program} cannot be run ({error}): install it, or pipe what it renders into nopal and name - as the path"
                )
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "the folder is {what}, and `{command}` fails: {}",
            said.trim()
        ))
    }
}
