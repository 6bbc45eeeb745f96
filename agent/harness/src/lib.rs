//! A real control plane for tests: etcd and kube-apiserver in a network namespace, kubectl to talk to it, kube-proxy
//! in the namespaces of nodes, and containerd with kubelet there.
//!
//! The programs are found as Kubernetes' controller tests find them, through `KUBEBUILDER_ASSETS`; without that
//! variable in the cache folder that `deploy/envtest/build` fills. etcd is the system's where the folder has none.

mod audit;
mod certificates;
mod cgroups;
mod control_plane;
mod controllers;
mod deployed;
mod error;
mod etcd;
mod image;
mod kubelet;
mod node_config;
mod process;
mod programs;
mod proxy;

pub use audit::Asked;
pub use control_plane::{ControlPlane, SERVICES, Shape};
pub use error::HarnessError;
pub use image::Image;
pub use kubelet::{Kubelet, SANDBOX, Task};
pub use process::{Process, Signal};
pub use proxy::ProxyMode;
