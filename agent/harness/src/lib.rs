//! A real control plane for tests: etcd and kube-apiserver in a network namespace, and kubectl to talk to it.
//!
//! The programs are found as Kubernetes' controller tests find them, through `KUBEBUILDER_ASSETS`; without that
//! variable in the cache folder that `deploy/envtest/build` fills. etcd is Debian's (`etcd-server`) where the folder
//! has none.

mod certificates;
mod control_plane;
mod error;
mod process;
mod programs;

pub use control_plane::ControlPlane;
pub use error::HarnessError;
pub use process::{Process, Signal};
