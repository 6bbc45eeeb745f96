//! The list of NetworkPolicy tests that Kubernetes has for every network (`test/e2e/network/netpol`), as cases of our
//! own: the policies of each, and the truth table of who reaches whom then. Three namespaces with three pods each, over
//! two nodes; every pair of pods, both ports, TCP, UDP and SCTP, IPv4 and IPv6. A table must be what the reference
//! evaluator says of the objects in the API server, and what packets do. Each case names the test that it stands for, of
//! Kubernetes 1.36.
//!
//! Pods are started as in production: by a runtime's calls of the CNI plugins, the last of which is the agent's.

mod case;
mod judge;
mod kubelet;
mod run;
mod services;
mod site;
mod table;

use judge::Direct;
use nopal_harness::ProxyMode;
use services::Services;
use site::Site;

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn the_upstream_list_of_network_policy_tests_holds() {
    let site = Site::start("agent-list");
    run::run_all(&site, &Direct, &case::all());
    site.stop_pods();
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn policies_see_the_pods_behind_services_of_kube_proxy_in_nftables_mode() {
    services_hold("agent-prox-n", ProxyMode::Nftables);
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn policies_see_the_pods_behind_services_of_kube_proxy_in_iptables_mode() {
    services_hold("agent-prox-i", ProxyMode::Iptables);
}

fn services_hold(prefix: &str, mode: ProxyMode) {
    let site = Site::start(prefix);
    let services = Services::start(&site, mode);
    run::run_all(&site, &services, &case::of_services());
}
