//! The user's own `kubectl`, for what a live cluster knows.
//!
//! It reaches a cluster in every way that its user has set up (certificates, tokens, login plugins, proxies), asks for
//! lists in pages, and prints them as the files that nopal reads anyway. A client of our own would be many crates for
//! the same answers. Helm and kustomize are called in the same way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program, from the search path.
const PROGRAM: &str = "kubectl";

/// A cluster, as `kubectl` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// `--context`; without it, the current one.
    pub context: Option<String>,
    /// `--kubeconfig`; without it, the files that kubectl takes.
    pub kubeconfig: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubectlError {
    /// The program cannot be started.
    #[error(
        "{PROGRAM} cannot be run ({0}): install it, or pipe what it prints of the cluster into nopal and name - as the path"
    )]
    Missing(String),
    /// The API server does not let the user do it.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// The API server has no such kind.
    #[error("{0}")]
    UnknownKind(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Default for Kubectl {
    fn default() -> Self {
        Self {
            program: PROGRAM.into(),
            context: None,
            kubeconfig: None,
        }
    }
}

impl Kubectl {
    /// What the cluster is called in messages and as a file of findings.
    pub fn name(&self) -> String {
        match &self.context {
            Some(context) => format!("cluster:{context}"),
            None => "cluster".to_owned(),
        }
    }

    /// Runs `kubectl` with these arguments; gives what it prints.
    ///
    /// # Errors
    /// When it cannot be run or fails, with its own words.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, KubectlError> {
        let output = Command::new(&self.program)
            .args(self.place())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| KubectlError::Missing(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failure(&String::from_utf8_lossy(&output.stderr)))
    }

    fn place(&self) -> Vec<OsString> {
        let context = self.context.iter().map(OsString::from);
        let context = context.flat_map(|context| ["--context".into(), context]);
        let kubeconfig = self.kubeconfig.iter().map(OsString::from);
        let kubeconfig = kubeconfig.flat_map(|file| ["--kubeconfig".into(), file]);
        context.chain(kubeconfig).collect()
    }
}

/// What kubectl's words mean. It ends with 1 whatever went wrong, so its words are all there is.
fn failure(said: &str) -> KubectlError {
    let said = said.trim();
    let message = match said.lines().last() {
        Some(last) => last.trim_start_matches("error: ").to_owned(),
        None => format!("{PROGRAM} failed without a word"),
    };
    if said.contains("(Forbidden)") || said.contains("is forbidden") {
        KubectlError::Forbidden(message)
    } else if said.contains("doesn't have a resource type") {
        KubectlError::UnknownKind(message)
    } else if said.contains("(NotFound)") {
        KubectlError::NotFound(message)
    } else {
        KubectlError::Failed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_says_is_told_apart() {
        let forbidden = failure(
            "Error from server (Forbidden): nodes is forbidden: User \"u\" cannot list resource \"nodes\"\n",
        );
        assert!(matches!(forbidden, KubectlError::Forbidden(_)));
        let unknown = failure("error: the server doesn't have a resource type \"podmonitors\"\n");
        let message = "the server doesn't have a resource type \"podmonitors\"".to_owned();
        assert_eq!(unknown, KubectlError::UnknownKind(message));
        let absent = failure("Error from server (NotFound): networkpolicies \"db\" not found");
        assert!(matches!(absent, KubectlError::NotFound(_)));
        let refused = failure("E1123 memcache.go\nThe connection to the server was refused");
        let message = "The connection to the server was refused".to_owned();
        assert_eq!(refused, KubectlError::Failed(message));
        assert!(matches!(failure(""), KubectlError::Failed(_)));
    }

    #[test]
    fn context_and_kubeconfig_go_to_kubectl() {
        let kubectl = Kubectl {
            context: Some("prod".to_owned()),
            kubeconfig: Some("f".into()),
            ..Kubectl::default()
        };
        assert_eq!(kubectl.place(), ["--context", "prod", "--kubeconfig", "f"]);
        assert_eq!(kubectl.name(), "cluster:prod");
        assert_eq!(Kubectl::default().place(), Vec::<OsString>::new());
    }
}
