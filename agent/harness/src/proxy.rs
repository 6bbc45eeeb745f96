//! kube-proxy in the network namespace of a node.

use std::fs;

use nopal_lab::Namespace;
use serde_json::json;

use crate::{ControlPlane, HarnessError, Process, programs};

/// How kube-proxy writes its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// Its own nftables table.
    Nftables,
    /// Chains of iptables.
    Iptables,
}

impl ControlPlane {
    /// Starts kube-proxy for a node of the API server, in the node's namespace. `pods` are the networks of the cluster's
    /// pods, IPv4 first: what comes from elsewhere is masqueraded on its way to a Service. It says so in its log when it
    /// is ready, and not here.
    ///
    /// # Errors
    /// When kube-proxy is missing or cannot be started.
    pub fn start_proxy(
        &self,
        node: &Namespace,
        name: &str,
        mode: ProxyMode,
        pods: [&str; 2],
    ) -> Result<Process, HarnessError> {
        let program = programs::proxy()?;
        let mode = match mode {
            ProxyMode::Nftables => "nftables",
            ProxyMode::Iptables => "iptables",
        };
        let config = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "mode": mode, "hostnameOverride": name, "clusterCIDR": pods.join(","),
            "clientConnection": {"kubeconfig": self.kubeconfig()},
            "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
            // Zeros leave the settings of the whole machine as they are.
            "conntrack": {
                "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
            },
            "iptables": {"localhostNodePorts": false},
        });
        let path = self.folder().join(format!("kube-proxy.{name}.json"));
        let written = fs::write(&path, config.to_string());
        written.map_err(HarnessError::io(format!("write {}", path.display())))?;
        let arguments = [format!("--config={}", path.display())];
        let log = self.folder().join(format!("kube-proxy.{name}.log"));
        Process::start(node, &program, arguments, &log)
    }
}
