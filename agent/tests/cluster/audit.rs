//! Audit mode of a namespace, against a real API server.

use serde_json::json;

use crate::cluster::Cluster;
use crate::objects::policy;

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn a_namespace_in_audit_mode_takes_its_policies_along_and_back() {
    let mut cluster = Cluster::start("agent-audit-ns");
    let _agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("enforced");
    let mode = |cluster: &mut Cluster, mode: &str| {
        cluster.change("Namespace", "", "shop", |namespace| {
            namespace["metadata"]["annotations"] = json!({"nopal.dev/mode": mode});
        });
    };
    mode(&mut cluster, "audit");
    cluster.agrees("audited by the namespace");
    let stated = json!({"podSelector": {"matchLabels": {"app": "db"}}});
    let mut stated = policy("shop", "db", &stated);
    stated["metadata"]["annotations"] = json!({"nopal.dev/mode": "enforce"});
    cluster.apply(stated);
    cluster.agrees("one policy is enforced all the same");
    mode(&mut cluster, "Audit");
    cluster.status_shows("node-a", &|status| {
        status["inForce"]["problems"]["Namespace shop"]
            .as_array()
            .map(Vec::len)
            == Some(1)
    });
    cluster.agrees("an unknown mode enforces");
}
