//! Where the programs are.

use std::env;
use std::path::{Path, PathBuf};

use crate::HarnessError;

/// The variable by which controller tests are told where the programs are.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The version that `deploy/envtest/go.mod` pins.
const VERSION: &str = "v1.36.2";

/// Whether etcd is taken from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Where none is beside the API server.
    AsWell,
    /// Whatever is beside the API server.
    Alone,
}

/// The programs of a control plane.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) etcd: PathBuf,
    pub(crate) apiserver: PathBuf,
    pub(crate) kubectl: PathBuf,
}

impl Programs {
    /// Finds them all, or says which is missing.
    pub(crate) fn find(system: System) -> Result<Self, HarnessError> {
        let folder = folder();
        let places = env::var_os("PATH").unwrap_or_default();
        let own = (system == System::AsWell).then(|| folder.clone());
        let etcd = own
            .into_iter()
            .chain(env::split_paths(&places))
            .find_map(|place| is_there(&place.join("etcd")));
        Ok(Self {
            apiserver: built(&folder, "kube-apiserver")?,
            kubectl: built(&folder, "kubectl")?,
            etcd: etcd.ok_or_else(|| HarnessError::Missing {
                program: "etcd",
                folder: folder.clone(),
                remedy: "apt-get install etcd-server",
            })?,
        })
    }
}

/// Finds kube-proxy, which not every test needs.
pub(crate) fn proxy() -> Result<PathBuf, HarnessError> {
    built(&folder(), "kube-proxy")
}

/// Finds kubelet, which few tests need.
pub(crate) fn kubelet() -> Result<PathBuf, HarnessError> {
    built(&folder(), "kubelet")
}

/// Finds Helm.
pub(crate) fn helm() -> Result<PathBuf, HarnessError> {
    built(&folder(), "helm")
}

/// Finds the controllers and the scheduler.
pub(crate) fn controllers() -> Result<[PathBuf; 2], HarnessError> {
    let folder = folder();
    Ok([
        built(&folder, "kube-controller-manager")?,
        built(&folder, "kube-scheduler")?,
    ])
}

fn built(folder: &Path, program: &'static str) -> Result<PathBuf, HarnessError> {
    is_there(&folder.join(program)).ok_or_else(|| HarnessError::Missing {
        program,
        folder: folder.to_owned(),
        remedy: "deploy/envtest/build",
    })
}

fn is_there(path: &Path) -> Option<PathBuf> {
    path.is_file().then(|| path.to_owned())
}

fn folder() -> PathBuf {
    if let Some(assets) = env::var_os(ASSETS).filter(|assets| !assets.is_empty()) {
        return assets.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
    let in_home = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = cache.map_or_else(in_home, PathBuf::from);
    cache.join("nopal").join(format!("envtest-{VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let module = include_str!("../../../deploy/envtest/go.mod");
        assert!(module.contains(&format!("k8s.io/kubernetes {VERSION}\n")));
    }
}
