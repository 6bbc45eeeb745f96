//! What `nopal lint` says of policies that the API server accepts, and, as important, where it is silent.

use std::sync::Arc;

use nopal::lint::{Finding, Selection, Severity, lint};
use nopal::manifest::{Source, read_source};

fn findings_with(text: &str, selection: &Selection) -> Vec<Finding> {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(
        manifests.errors.is_empty(),
        "{:?}\n{text}",
        manifests.errors
    );
    lint(&manifests, selection)
}

/// Code and severity of what is found, information left out.
fn complaints(text: &str) -> Vec<(&'static str, &'static str)> {
    let findings = findings_with(text, &Selection::default());
    let shown = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info);
    shown
        .map(|finding| (finding.code, finding.severity.word()))
        .collect()
}

fn policy(name: &str, spec: &str) -> String {
    let lines = spec.lines().flat_map(|line| ["  ", line, "\n"]);
    let spec: String = lines.collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

fn pod(namespace: &str, app: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}, namespace: {namespace}, labels: {{app: {app}}}}}\n"
    )
}

#[test]
fn what_is_right_and_common_is_no_complaint() {
    let right = [
        (
            "a default deny",
            "podSelector: {}\npolicyTypes: [Ingress, Egress]",
        ),
        ("a default deny of ingress without types", "podSelector: {}"),
        (
            "empty lists with types",
            "podSelector: {}\npolicyTypes: [Ingress, Egress]\ningress: []\negress: []",
        ),
        (
            "an empty egress list with types",
            "podSelector: {}\npolicyTypes: [Egress]\negress: []",
        ),
        (
            "the own namespace",
            "policyTypes: [Ingress]\ningress:\n- from: [{podSelector: {}}]",
        ),
        (
            "the own namespace beside another",
            "policyTypes: [Ingress]\ningress:\n- from: [{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {}}]",
        ),
        (
            "DNS in every namespace",
            "policyTypes: [Egress]\negress:\n- to: [{namespaceSelector: {}}]\n  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]",
        ),
        (
            "DNS for all beside other peers",
            "policyTypes: [Egress]\negress:\n- to: [{podSelector: {matchLabels: {app: db}}}]\n- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]",
        ),
        (
            "DNS with the protocol of TCP left out",
            "policyTypes: [Egress]\negress:\n- ports: [{port: 53, protocol: UDP}, {port: 53}]",
        ),
        (
            "all pods with a label in all namespaces",
            "policyTypes: [Ingress]\ningress:\n- from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]",
        ),
        (
            "all namespaces but one",
            "policyTypes: [Ingress]\ningress:\n- from:\n  - namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [test]}]}\n  ports: [{port: 80}]",
        ),
        (
            "selectors of expressions alone",
            "podSelector: {matchExpressions: [{key: app, operator: In, values: [web, api]}]}\npolicyTypes: [Ingress]\ningress:\n- from: [{podSelector: {matchExpressions: [{key: app, operator: Exists}]}}]",
        ),
        (
            "a published port",
            "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress]\ningress:\n- ports: [{port: 443}]",
        ),
        (
            "the internet without what is private",
            "policyTypes: [Egress]\negress:\n- to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]}}]",
        ),
        (
            "one opening in an exception",
            "policyTypes: [Egress]\negress:\n- to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}]\n- to: [{ipBlock: {cidr: 10.1.2.3/32}}]\n  ports: [{port: 5432}]",
        ),
        (
            "the node-local DNS cache",
            "policyTypes: [Egress]\negress:\n- to: [{ipBlock: {cidr: 169.254.20.10/32}}]\n  ports: [{port: 53, protocol: UDP}]",
        ),
        (
            "a named port for sources outside",
            "policyTypes: [Ingress]\ningress:\n- from: [{ipBlock: {cidr: 198.51.100.0/24}}]\n  ports: [{port: http}]",
        ),
    ];
    for (what, spec) in right {
        assert_eq!(complaints(&policy("right", spec)), [], "{what}\n{spec}");
    }
}

#[test]
fn the_demonstration_is_no_complaint() {
    assert_eq!(complaints(include_str!("../demo/shop.yaml")), []);
}

#[test]
fn a_split_peer_is_judged_by_the_pods_that_are_there() {
    let split = policy(
        "split",
        "policyTypes: [Ingress]\ningress:\n- from:\n  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}\n  - podSelector: {matchLabels: {app: prometheus}}",
    );
    let own = |app| split.clone() + &pod("shop", app);
    assert_eq!(complaints(&split), [("NP108", "warning")]);
    assert_eq!(complaints(&own("web")), [("NP108", "error")]);
    assert_eq!(complaints(&own("prometheus")), [("NP108", "warning")]);
    let both_make_sense = own("prometheus") + &pod("ops", "grafana");
    assert_eq!(complaints(&both_make_sense), []);
    let is_meant_there = own("web") + &pod("ops", "prometheus");
    assert!(complaints(&is_meant_there).contains(&("NP108", "error")));
}

#[test]
fn labels_that_controllers_put_on_are_not_missed() {
    let by_index = policy(
        "first",
        "policyTypes: [Ingress]\ningress:\n- from: [{podSelector: {matchLabels: {apps.kubernetes.io/pod-index: \"0\"}}}]",
    );
    let there = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ops, labels: {apps.kubernetes.io/pod-index: \"0\"}}\n";
    assert_eq!(complaints(&(by_index + &pod("shop", "web") + there)), []);
}

#[test]
fn what_holds_for_the_whole_cluster_alone_is_information_in_an_open_world() {
    let text = policy(
        "db",
        "policyTypes: [Ingress]\ningress:\n- from: [{podSelector: {matchLabels: {app: prometheus}}}]",
    ) + &pod("shop", "db")
        + &pod("ops", "prometheus");
    assert_eq!(complaints(&text), [("NP111", "warning")]);
    let open = Selection {
        is_open_world: true,
        ..Selection::default()
    };
    let findings = findings_with(&text, &open);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Info)
    );
    assert!(findings.iter().any(|finding| finding.code == "NP111"));
}

#[test]
fn what_a_peer_selects_is_told_though_something_else_in_its_rule_is_refused() {
    let pods = format!("{}{}", pod("shop", "db"), pod("shop", "frontend"));
    let misspelt = "- podSelector: {matchLabels: {app: fronted}}";
    let frontend = "- podSelector: {matchLabels: {app: frontend}}";
    let bad_block = "- ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}";
    let of = |peers: &[&str], port: &str| {
        let peers = peers.join("\n  ");
        policy(
            "db",
            &format!(
                "podSelector: {{matchLabels: {{app: db}}}}\npolicyTypes: [Ingress]\ningress:\n- from:\n  {peers}\n  ports: [{{protocol: TCP, port: {port}}}]"
            ),
        ) + &pods
    };
    let places = |text: &str| -> Vec<(&'static str, String)> {
        let findings = findings_with(text, &Selection::default());
        let told = findings
            .iter()
            .filter(|finding| finding.severity != Severity::Info);
        told.map(|finding| (finding.code, finding.path.to_string()))
            .collect()
    };
    let first = "spec.ingress[0].from[0].podSelector";
    let second = "spec.ingress[0].from[1].podSelector";
    let told = places(&of(&[misspelt, bad_block], "80"));
    for wanted in [("NP205", first), ("NP202", first)] {
        assert!(
            told.iter()
                .any(|(code, path)| (*code, path.as_str()) == wanted),
            "{told:?}"
        );
    }
    let told = places(&of(&[bad_block, misspelt], "80"));
    assert!(told.contains(&("NP205", second.to_owned())), "{told:?}");
    let told = places(&of(&[frontend, misspelt], "70000"));
    assert!(told.contains(&("NP205", second.to_owned())), "{told:?}");
    assert!(told.iter().all(|(_, path)| path != first), "{told:?}");
    // A peer with a mistake of its own is not judged by the rest of its text.
    let unknown = "- podSelector: {matchLabels: {app: fronted}, matchLabel: {tier: a}}";
    let told = places(&of(&[unknown, frontend], "80"));
    let codes: Vec<&str> = told.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["NP001"]);
}

#[test]
fn a_dropped_field_leaves_the_rest_of_its_rule() {
    let text = policy(
        "db",
        "policyTypes: [Ingress]\ningress:\n- to: [{podSelector: {matchLabels: {app: web}}}]\n  ports: [{port: 80, protocol: TCP}]",
    );
    let findings = findings_with(&text, &Selection::default());
    let shown = findings
        .iter()
        .filter(|found| found.severity != Severity::Info);
    let messages: Vec<_> = shown
        .map(|found| (found.code, found.message.as_str()))
        .collect();
    assert_eq!(
        messages,
        [(
            "NP105",
            "to does not belong to ingress: an API server that drops it is left with a rule that allows everyone on TCP 80; nopal lets the rule match nothing"
        )]
    );
}

#[test]
fn an_exception_is_compared_with_the_other_policies_on_the_same_pods() {
    let internet = policy(
        "internet",
        "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Egress]\negress:\n- to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}]",
    );
    let other = |subjects: &str, rest: &str| {
        let spec = format!(
            "podSelector: {subjects}\npolicyTypes: [Egress]\negress:\n- to: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}]\n{rest}"
        );
        internet.clone() + &policy("private", &spec)
    };
    assert_eq!(complaints(&other("{}", "")), [("NP121", "error")]);
    assert_eq!(
        complaints(&other("{matchLabels: {app: web}}", "")),
        [("NP121", "error")]
    );
    assert_eq!(complaints(&other("{matchLabels: {app: db}}", "")), []);
    let some_ports = "  ports: [{port: 443, protocol: TCP}]";
    assert_eq!(complaints(&other("{}", some_ports)), [("NP121", "warning")]);
}

#[test]
fn ignores_hide_findings_and_useless_ones_are_told() {
    let rule = "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n";
    let above = policy(
        "a",
        &format!("{rule}# nopal: ignore NP106 (agreed)\n- {{}}"),
    );
    let beside = policy("a", &format!("{rule}- {{}} # nopal: ignore NP106"));
    let twice = policy("a", &format!("{rule}- {{}} # nopal: ignore NP106, NP110"));
    let unknown = policy("a", &format!("{rule}- {{}} # nopal: ignore NP106 NP999"));
    let elsewhere = policy("a", &format!("{rule}- {{}}\n# nopal: ignore NP106"));
    assert_eq!(complaints(&above), []);
    assert_eq!(complaints(&beside), []);
    assert_eq!(complaints(&twice), [("NP901", "warning")]);
    assert_eq!(complaints(&unknown), [("NP901", "warning")]);
    assert_eq!(
        complaints(&elsewhere),
        [("NP106", "warning"), ("NP901", "warning")]
    );
    let annotated = policy("a", &format!("{rule}- {{}}")).replace(
        "namespace: shop}",
        "namespace: shop, annotations: {nopal.dev/ignore: \"NP106\"}}",
    );
    assert_eq!(complaints(&annotated), []);
    let only = Selection {
        select: vec!["NP110".to_owned(), "NP901".to_owned()],
        ..Selection::default()
    };
    // NP106 did not run, so nobody can tell whether ignoring it is useless.
    assert!(findings_with(&above, &only).is_empty());
}

#[test]
fn a_text_that_looks_like_an_ignore_is_none() {
    let text = policy(
        "a",
        "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n- {}",
    )
    .replace(
        "namespace: shop}",
        "namespace: shop, annotations: {note: \"see#nopal: ignore NP106\"}}",
    );
    assert_eq!(complaints(&text), [("NP106", "warning")]);
}

#[test]
fn a_deny_all_is_listed_on_demand_alone() {
    let text = policy("deny", "podSelector: {}\npolicyTypes: [Ingress, Egress]");
    assert_eq!(complaints(&text), []);
    let select = |code: &str| Selection {
        select: vec![code.to_owned()],
        ..Selection::default()
    };
    assert_eq!(findings_with(&text, &select("NP131")).len(), 2);
    assert!(findings_with(&text, &select("NP13")).is_empty());
}

#[test]
fn findings_point_at_every_place_that_causes_them() {
    let text = policy(
        "db",
        "podSelector:\n  matchLabels: {app: web}\n  matchExpressions:\n  - {key: app, operator: NotIn, values: [web]}\npolicyTypes: [Ingress]",
    );
    let only = Selection {
        select: vec!["NP114".to_owned()],
        ..Selection::default()
    };
    let findings = findings_with(&text, &only);
    let places: Vec<_> = findings[0]
        .related
        .iter()
        .map(|(place, _)| place.position().line)
        .collect();
    assert_eq!((findings[0].code, places), ("NP114", vec![7, 9]));
}

#[test]
fn selectors_are_compared_with_the_pods_that_are_there() {
    let closed = policy(
        "a",
        "podSelector: {matchLabels: {app: api}}\npolicyTypes: [Ingress]",
    );
    assert_eq!(complaints(&closed), []);
    assert_eq!(
        complaints(&(closed.clone() + &pod("ops", "api"))),
        [("NP238", "warning")]
    );
    assert_eq!(
        complaints(&(closed.clone() + &pod("shop", "web"))),
        [("NP201", "warning")]
    );
    let finished = pod("shop", "api") + "status: {phase: Succeeded}\n";
    assert_eq!(complaints(&(closed.clone() + &finished)), []);
    let workload = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: shop, labels: {app: api}}\nspec: {template: {metadata: {labels: {app: API}}}}\n";
    assert_eq!(
        complaints(&(closed + workload)),
        [("NP201", "warning"), ("NP205", "warning")]
    );
}

#[test]
fn a_namespace_of_others_need_not_be_in_the_input() {
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let by = |label: &str| {
        let spec = format!(
            "policyTypes: [Ingress]\ningress:\n- from: [{{namespaceSelector: {{matchLabels: {{{label}}}}}}}]"
        );
        complaints(&(policy("a", &spec) + namespace))
    };
    assert_eq!(by("kubernetes.io/metadata.name: kube-system"), []);
    assert_eq!(by("name: somebody-elses"), []);
    assert_eq!(by("name: shop"), [("NP206", "warning")]);
    assert_eq!(by("team: ops"), [("NP203", "warning")]);
}

#[test]
fn port_names_are_looked_up_on_every_kind_of_container() {
    let spec = |ports: &str| {
        format!(
            "podSelector: {{matchLabels: {{app: web}}}}\npolicyTypes: [Ingress]\ningress:\n- ports: {ports}"
        )
    };
    let with = |ports: &str, containers: &str| {
        complaints(
            &(policy("a", &spec(ports)) + &pod("shop", "web") + "spec: {" + containers + "}\n"),
        )
    };
    let http = "containers: [{name: a, ports: [{name: http, containerPort: 80}]}]";
    let sidecar = "initContainers: [{name: a, restartPolicy: Always, ports: [{name: http, containerPort: 80}]}]";
    let setup = "initContainers: [{name: a, ports: [{name: http, containerPort: 80}]}]";
    assert_eq!(with("[{port: http}]", http), []);
    assert_eq!(with("[{port: http}]", sidecar), []);
    assert_eq!(with("[{port: http}]", setup), [("NP207", "error")]);
    assert_eq!(
        with("[{port: http, protocol: UDP}]", http),
        [("NP208", "error")]
    );
    assert_eq!(with("[{port: 8080}]", http), []);
}
