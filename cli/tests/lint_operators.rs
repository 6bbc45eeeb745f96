//! What `nopal lint` says where the input does not show all pods, or shows those of other projects' workloads; and of
//! the routes of other projects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use nopal::lint::{Selection, Severity, lint};
use nopal::manifest::{Source, read_source};

/// The codes of what is found, information left out.
fn complaints(text: &str) -> Vec<&'static str> {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let found = lint(&manifests, &Selection::default());
    let shown = found
        .iter()
        .filter(|finding| finding.severity != Severity::Info);
    shown.map(|finding| finding.code).collect()
}

/// A policy for some pods of `shop`, which lets some others in on port 8080.
fn policy(subjects: &str, from: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {subjects}}}\n  policyTypes: [Ingress]\n  ingress:\n  - from: [{from}]\n    ports: [{{protocol: TCP, port: 8080}}]\n"
    )
}

fn of_pods(labels: &str) -> String {
    format!("{{podSelector: {{matchLabels: {labels}}}}}")
}

fn workload(api_version: &str, kind: &str, app: &str) -> String {
    format!(
        "---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {app}, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}}}}}\n"
    )
}

fn resource(api_version: &str, kind: &str) -> String {
    format!(
        "---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\n"
    )
}

#[test]
fn workloads_of_other_projects_have_pods_too() {
    for (api_version, kind) in [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("apps.openshift.io/v1", "DeploymentConfig"),
        ("apps.kruise.io/v1alpha1", "CloneSet"),
    ] {
        let pods = workload(api_version, kind, "web") + &workload("apps/v1", "Deployment", "api");
        let good = pods.clone() + &policy("{app: web}", &of_pods("{app: api}"));
        assert_eq!(complaints(&good), [""; 0], "{kind}");
        let bad = pods + &policy("{app: cart}", &of_pods("{app: api}"));
        assert_eq!(complaints(&bad), ["NP201"], "{kind}");
    }
}

#[test]
fn pods_that_an_operator_may_make_are_not_missed() {
    let pods = workload("apps/v1", "Deployment", "api");
    let selects_none = pods.clone() + &policy("{app: db}", &of_pods("{app: api}"));
    let lets_in_none = pods + &policy("{app: api}", &of_pods("{app: db}"));
    for text in [&selects_none, &lets_in_none] {
        let with = |resource: String| complaints(&(text.clone() + &resource));
        let alone = complaints(text);
        assert_eq!(alone.len(), 1, "{alone:?}");
        assert_eq!(with(resource("postgresql.cnpg.io/v1", "Cluster")), [""; 0]);
        assert_eq!(
            with(resource("monitoring.coreos.com/v1", "Prometheus")),
            [""; 0]
        );
        // These make no pods.
        assert_eq!(
            with(resource("monitoring.coreos.com/v1", "PrometheusRule")),
            alone
        );
        assert_eq!(with(resource("cert-manager.io/v1", "Certificate")), alone);
        let elsewhere = resource("postgresql.cnpg.io/v1", "Cluster").replace("shop", "other");
        assert_eq!(with(elsewhere), alone);
    }
}

#[test]
fn a_label_with_a_slip_is_told_beside_an_operator_too() {
    let text = workload("apps/v1", "Deployment", "checkout")
        + &resource("postgresql.cnpg.io/v1", "Cluster")
        + &policy("{app: chekout}", &of_pods("{app: checkout}"));
    assert_eq!(complaints(&text), ["NP205"]);
}

#[test]
fn labels_that_the_cluster_or_an_operator_puts_on_are_not_missed() {
    let pods = workload("apps/v1", "Deployment", "web");
    for label in [
        "topology.kubernetes.io/zone: a",
        "strimzi.io/cluster: main",
        "cnpg.io/cluster: main",
    ] {
        let text = pods.clone() + &policy("{app: web}", &of_pods(&format!("{{{label}}}")));
        assert_eq!(complaints(&text), [""; 0], "{label}");
    }
}

/// A web application with a Service, which only `from` may call.
fn shop(from: &str) -> String {
    workload("apps/v1", "Deployment", "web")
        + &workload("apps/v1", "Deployment", "api")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: admin, port: 81, targetPort: 8081}]}\n"
        + &policy("{app: web}", from)
}

const ROUTES: [&str; 4] = [
    "---\napiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: web, namespace: shop}\nspec: {to: {kind: Service, name: web}, port: {targetPort: http}}\n",
    "---\napiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: web, namespace: shop}\nspec: {to: {kind: Service, name: web}, port: {targetPort: 8080}}\n",
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: shop}\nspec: {parentRefs: [{name: edge, namespace: gateways}], rules: [{backendRefs: [{name: web, port: 80}]}]}\n",
    "---\napiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web, namespace: shop}\nspec: {rules: [{http: {paths: [{backend: {serviceName: web, servicePort: 80}}]}}]}\n",
];

#[test]
fn a_route_whose_pods_only_neighbours_may_call_is_blocked() {
    for route in ROUTES {
        let blocked = shop(&of_pods("{app: api}")) + route;
        assert_eq!(complaints(&blocked), ["NP213"], "{route}");
        for from in [
            "{namespaceSelector: {matchLabels: {network.openshift.io/policy-group: ingress}}}",
            "{ipBlock: {cidr: 192.0.2.0/24}}",
        ] {
            let open = shop(from) + route;
            assert_eq!(complaints(&open), [""; 0], "{route} {from}");
        }
    }
}

#[test]
fn a_gateway_in_the_own_namespace_is_a_neighbour() {
    let route = ROUTES[2].replace(", namespace: gateways", "");
    let blocked = shop(&of_pods("{app: api}")) + &route;
    assert_eq!(complaints(&blocked), ["NP213"]);
    let open = shop("{podSelector: {}}") + &route;
    assert_eq!(complaints(&open), [""; 0]);
}

#[test]
fn a_route_inside_a_mesh_lets_nobody_in_from_outside() {
    let route = ROUTES[2].replace(
        "{name: edge, namespace: gateways}",
        "{kind: Service, group: '', name: web}",
    );
    assert_ne!(route, ROUTES[2]);
    assert_eq!(
        complaints(&(shop(&of_pods("{app: api}")) + &route)),
        [""; 0]
    );
}
