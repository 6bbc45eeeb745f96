//! What `nopal lint` says of manifests as people write them: each slip is told once, by the rule that knows its cause,
//! and what is right in other words is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use nopal::lint::{Certainty, Finding, Selection, Severity, lint};
use nopal::manifest::{Source, read_source};

fn findings(text: &str) -> Vec<Finding> {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    lint(&manifests, &Selection::default())
}

/// The codes of what is found, information left out.
fn complaints(text: &str) -> Vec<&'static str> {
    let found = findings(text);
    let shown = found
        .iter()
        .filter(|finding| finding.severity != Severity::Info);
    shown.map(|finding| finding.code).collect()
}

/// How serious a rule's one finding is.
fn severity(text: &str, code: &str) -> Severity {
    let found = findings(text);
    let own: Vec<_> = found.iter().filter(|found| found.code == code).collect();
    assert_eq!(own.len(), 1, "{code} in {found:?}");
    own[0].severity
}

fn policy_named(metadata: &str, spec: &str) -> String {
    let lines = spec.lines().flat_map(|line| ["  ", line, "\n"]);
    let spec: String = lines.collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{{metadata}}}\nspec:\n{spec}"
    )
}

fn policy(spec: &str) -> String {
    policy_named("name: web, namespace: shop", spec)
}

fn ingress(rules: &str) -> String {
    policy(&format!(
        "podSelector: {{matchLabels: {{app: web}}}}\npolicyTypes: [Ingress]\ningress:\n{rules}"
    ))
}

fn egress(rules: &str) -> String {
    let dns = "- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]\n  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]";
    policy(&format!(
        "podSelector: {{matchLabels: {{app: web}}}}\npolicyTypes: [Egress]\negress:\n{rules}\n{dns}"
    ))
}

fn pod(metadata: &str, spec: &str) -> String {
    format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n")
}

fn app(namespace: &str, app: &str, spec: &str) -> String {
    let metadata = format!("name: {app}, namespace: {namespace}, labels: {{app: {app}}}");
    pod(&metadata, spec)
}

#[test]
fn a_misspelt_policy_types_is_told_as_that_alone() {
    let text = policy("podSelector: {}\npolicyType: [Ingress]");
    assert_eq!(complaints(&text), ["NP001"]);
}

#[test]
fn a_dash_with_nothing_behind_it_is_an_empty_peer() {
    assert_eq!(complaints(&ingress("- from:\n  -")), ["NP005"]);
}

#[test]
fn a_peer_of_host_network_pods_is_told_once() {
    let text = app("shop", "web", "")
        + &app("shop", "agent", "hostNetwork: true")
        + &ingress("- from: [{podSelector: {matchLabels: {app: agent}}}]");
    assert_eq!(complaints(&text), ["NP220"]);
}

#[test]
fn name_servers_and_their_port_in_two_rules_are_a_split_rule() {
    let ports = "- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]";
    let split = |peer: &str| complaints(&egress(&format!("- to: [{peer}]\n{ports}")));
    let name_servers = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}";
    assert_eq!(split(name_servers), ["NP109"]);
    assert_eq!(split("{podSelector: {matchLabels: {app: db}}}"), [""; 0]);
}

#[test]
fn a_selector_of_the_label_that_each_namespace_has_is_every_namespace() {
    let every = "- from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]}}]\n  ports: [{protocol: TCP, port: 80}]";
    assert_eq!(complaints(&ingress(every)), ["NP110"]);
    let narrowed = every.replace("Exists", "NotIn, values: [dev]");
    assert_eq!(complaints(&ingress(&narrowed)), [""; 0]);
}

#[test]
fn two_rules_may_be_everyone_together() {
    let half = |cidr: &str, port: u16| {
        format!(
            "- from: [{{ipBlock: {{cidr: {cidr}}}}}]\n  ports: [{{protocol: TCP, port: {port}}}]\n"
        )
    };
    let text = ingress(&(half("0.0.0.0/1", 443) + &half("128.0.0.0/1", 443)));
    assert_eq!(complaints(&text), ["NP119"]);
    let apart = ingress(&(half("0.0.0.0/1", 443) + &half("128.0.0.0/1", 80)));
    assert_eq!(complaints(&apart), [""; 0]);
}

#[test]
fn a_cluster_with_both_families_shows_in_services_nodes_and_blocks() {
    let private = "[10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]";
    let internet = format!("{{ipBlock: {{cidr: 0.0.0.0/0, except: {private}}}}}");
    let text = egress(&format!("- to: [{internet}]"));
    assert_eq!(severity(&text, "NP120"), Severity::Info);
    for shows_both in [
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {ipFamilyPolicy: RequireDualStack}\n",
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {ipFamilies: [IPv4, IPv6]}\n",
        "---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {podCIDRs: [10.244.0.0/24, \"fd00:244::/64\"]}\n",
    ] {
        let both = text.clone() + shows_both;
        assert_eq!(severity(&both, "NP120"), Severity::Warning, "{shows_both}");
    }
    let one_excepts = egress(&format!(
        "- to: [{internet}, {{ipBlock: {{cidr: \"::/0\"}}}}]\n  ports: [{{protocol: TCP, port: 443}}]"
    ));
    assert_eq!(complaints(&one_excepts), ["NP120", "NP119"]);
}

#[test]
fn the_port_of_a_service_is_mistaken_whether_or_not_its_pods_are_shown() {
    let service = |target: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {target}}}]}}\n"
        )
    };
    let lets_in = ingress(
        "- from: [{podSelector: {matchLabels: {app: api}}}]\n  ports: [{protocol: TCP, port: 80}]",
    );
    assert_eq!(complaints(&(lets_in.clone() + &service("8080"))), ["NP211"]);
    assert_eq!(complaints(&(lets_in.clone() + &service("80"))), [""; 0]);
    assert_eq!(complaints(&(lets_in + &service("http"))), [""; 0]);
    let goes = "podSelector: {matchLabels: {app: api}}\npolicyTypes: [Egress]\negress:\n- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]\n- to: [{podSelector: {matchLabels: {app: web}}}]\n  ports: [{protocol: TCP, port: 80}]";
    assert_eq!(complaints(&(policy(goes) + &service("8080"))), ["NP211"]);
    let others = policy(&goes.replace("app: web", "app: db"));
    assert_eq!(complaints(&(others + &service("8080"))), [""; 0]);
}

#[test]
fn an_exception_may_be_open_by_another_label_of_the_same_pods() {
    let excepts = ingress("- from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.5.0.0/16]}}]");
    let opens = policy_named(
        "name: front, namespace: shop",
        "podSelector: {matchLabels: {tier: front}}\npolicyTypes: [Ingress]\ningress:\n- from: [{ipBlock: {cidr: 10.5.0.0/16}}]",
    );
    let text = excepts + &opens;
    assert_eq!(complaints(&text), [""; 0]);
    let labels = |labels: &str| {
        let metadata = format!("name: web, namespace: shop, labels: {{{labels}}}");
        findings(&(text.clone() + &pod(&metadata, "")))
    };
    let found = labels("app: web, tier: front");
    let own: Vec<_> = found.iter().filter(|found| found.code == "NP121").collect();
    assert_eq!(own.len(), 1, "{found:?}");
    assert_eq!(own[0].certainty, Certainty::ClosedWorld);
    assert_eq!(own[0].severity, Severity::Error);
    let found = labels("app: web");
    assert!(found.iter().all(|found| found.code != "NP121"), "{found:?}");
}

#[test]
fn the_address_of_a_service_without_selector_is_no_peer_either() {
    let text = egress(
        "- to: [{ipBlock: {cidr: 10.96.0.1/32}}]\n  ports: [{protocol: TCP, port: 443}]",
    ) + "---\napiVersion: v1\nkind: Service\nmetadata: {name: kubernetes, namespace: default}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 443, targetPort: 6443}]}\n";
    assert_eq!(complaints(&text), ["NP123"]);
}

#[test]
fn the_metadata_services_of_few_clouds_are_told_where_little_else_is_meant() {
    let to = |cidr: &str| {
        complaints(&egress(&format!(
            "- to: [{{ipBlock: {{cidr: \"{cidr}\"}}}}]"
        )))
    };
    assert_eq!(to("100.64.0.0/10"), ["NP125"]);
    assert_eq!(to("fd00:ec2::/32"), ["NP125"]);
    assert_eq!(to("::/0"), ["NP119", "NP125"]);
    // The network of a cluster's own pods and Services.
    assert_eq!(to("fd00::/8"), [""; 0]);
    assert_eq!(to("100.0.0.0/8"), [""; 0]);
}

#[test]
fn a_description_may_speak_against_the_rules() {
    let described = |key: &str, text: &str, rules: &str| {
        let metadata = format!("name: base, namespace: shop, annotations: {{{key}: \"{text}\"}}");
        let spec = format!("podSelector: {{}}\npolicyTypes: [Ingress]\ningress: {rules}");
        complaints(&policy_named(&metadata, &spec))
    };
    assert_eq!(
        described("example.com/description", "Deny all ingress.", "[{}]"),
        ["NP132", "NP106"]
    );
    assert_eq!(described("team", "deny", "[{}]"), ["NP106"]);
    let base = "Denies all; other policies allow what each service needs.";
    assert_eq!(described("description", base, "[]"), [""; 0]);
    assert_eq!(
        described("description", "Services allow what they need.", "[]"),
        [""; 0]
    );
}

#[test]
fn every_address_of_both_families_on_every_port_is_no_denial() {
    let text = policy_named(
        "name: deny-ingress, namespace: shop",
        "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n- from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: \"::/0\"}}]",
    );
    assert!(
        complaints(&text).contains(&"NP132"),
        "{:?}",
        complaints(&text)
    );
}

#[test]
fn what_names_no_namespace_may_be_meant_for_that_of_the_others() {
    let spec = "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress]";
    let unnamed = policy_named("name: web", spec);
    assert_eq!(
        complaints(&(unnamed.clone() + &app("shop", "web", ""))),
        ["NP133"]
    );
    assert_eq!(
        complaints(&(unnamed.clone() + &app("default", "web", ""))),
        [""; 0]
    );
    assert_eq!(
        complaints(&(unnamed + &pod("name: web, labels: {app: web}", ""))),
        [""; 0]
    );
    let unnamed_pod = pod("name: web, labels: {app: web}", "");
    assert_eq!(complaints(&(policy(spec) + &unnamed_pod)), [""; 0]);
    let beside_another = policy(spec) + &unnamed_pod + &app("shop", "db", "");
    assert_eq!(complaints(&beside_another), [""; 0]);
}

#[test]
fn a_slip_in_the_name_of_a_namespace_is_told_and_another_name_is_not() {
    let from = |name: &str| {
        app("shop", "web", "")
            + &app("monitoring", "prometheus", "")
            + &app("team-b", "api", "")
            + &ingress(&format!(
                "- from: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}]"
            ))
    };
    for slip in ["monitorng", "montioring", "monnitoring"] {
        assert_eq!(complaints(&from(slip)), ["NP203"], "{slip}");
    }
    for other in ["monitoring", "monitoring2", "team-a", "ingress-nginx"] {
        assert_eq!(complaints(&from(other)), [""; 0], "{other}");
    }
}

#[test]
fn the_platform_labels_namespaces_that_nobody_writes_down() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned()
        + &ingress(
            "- from: [{namespaceSelector: {matchLabels: {network.openshift.io/policy-group: ingress}}}]",
        );
    assert_eq!(complaints(&text), [""; 0]);
}

#[test]
fn an_application_may_have_its_name_under_another_usual_key() {
    let pods = pod(
        "name: web, namespace: shop, labels: {app.kubernetes.io/name: web}",
        "",
    );
    let text = pods + &policy("podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress]");
    assert_eq!(complaints(&text), ["NP201", "NP205"]);
}

#[test]
fn a_port_name_with_two_numbers_behind_one_service_is_a_warning() {
    let named = |name: &str, number: u16| {
        let metadata = format!("name: {name}, namespace: shop, labels: {{app: web}}");
        let ports =
            format!("containers: [{{name: c, ports: [{{name: http, containerPort: {number}}}]}}]");
        pod(&metadata, &ports)
    };
    let text = named("a", 8080)
        + &named("b", 3000)
        + &ingress("- from: [{podSelector: {}}]\n  ports: [{protocol: TCP, port: http}]");
    assert_eq!(severity(&text, "NP209"), Severity::Info);
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}\n";
    assert_eq!(severity(&(text + service), "NP209"), Severity::Warning);
}

#[test]
fn a_peer_may_select_some_of_the_replicas_too() {
    let replica = |name: &str, labels: &str| {
        pod(
            &format!(
                "name: {name}, namespace: shop, labels: {{{labels}}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api, uid: u, controller: true}}]"
            ),
            "",
        )
    };
    let pods = replica("a", "app: api, version: v1") + &replica("b", "app: api, version: v2");
    let from = |labels: &str| {
        let rule = format!("- from: [{{podSelector: {{matchLabels: {{{labels}}}}}}}]");
        complaints(&(pods.clone() + &app("shop", "web", "") + &ingress(&rule)))
    };
    assert_eq!(from("version: v1"), ["NP233"]);
    assert_eq!(from("app: api"), [""; 0]);
}

#[test]
fn dns_on_a_port_without_protocol_is_told_once() {
    let text = policy(
        "podSelector: {}\npolicyTypes: [Egress]\negress:\n- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]\n  ports: [{port: 53}]",
    );
    assert_eq!(complaints(&text), ["NP112"]);
}

#[test]
fn every_port_of_every_protocol_is_told_as_that_alone() {
    let text = ingress("- ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]");
    assert_eq!(complaints(&text), ["NP106"]);
}

#[test]
fn kindnet_enforces_policies_since_a_day_that_its_tags_tell() {
    let with = |tag: &str| {
        let set = format!(
            "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: kindnet, namespace: kube-system}}\nspec: {{template: {{metadata: {{labels: {{app: kindnet}}}}, spec: {{hostNetwork: true, containers: [{{name: c, image: \"docker.io/kindest/kindnetd:{tag}\"}}]}}}}}}\n"
        );
        complaints(&(policy("podSelector: {}\npolicyTypes: [Ingress]") + &set))
    };
    assert_eq!(with("v20230511-dc714da8"), ["NP241"]);
    assert_eq!(with("v20240813-c6f155d6"), [""; 0]);
    assert_eq!(with("latest"), [""; 0]);
}
