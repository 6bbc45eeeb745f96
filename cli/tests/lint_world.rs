//! What `nopal lint` says of policies together with each other, Services and pods, and where it is silent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use nopal::lint::{Finding, Profile, Selection, Severity, lint};
use nopal::manifest::{Source, read_source};

fn findings(text: &str, selection: &Selection) -> Vec<Finding> {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    lint(&manifests, selection)
}

/// The codes of what is found, information left out.
fn complaints(text: &str) -> Vec<&'static str> {
    let found = findings(text, &Selection::default());
    let shown = found
        .iter()
        .filter(|finding| finding.severity != Severity::Info);
    shown.map(|finding| finding.code).collect()
}

/// How often a rule finds something, and on which objects.
fn found(text: &str, code: &str) -> Vec<String> {
    let found = findings(text, &Selection::default());
    let own = found.iter().filter(|finding| finding.code == code);
    own.map(|finding| finding.object.to_string()).collect()
}

fn policy(name: &str, spec: &str) -> String {
    let lines = spec.lines().flat_map(|line| ["  ", line, "\n"]);
    let spec: String = lines.collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

fn pod(namespace: &str, app: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}, namespace: {namespace}, labels: {{app: {app}}}}}\nspec: {{{spec}}}\n"
    )
}

fn service(app: &str, ports: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {app}, namespace: shop}}\nspec: {{selector: {{app: {app}}}, ports: {ports}}}\n"
    )
}

const DNS: &str = "podSelector: {}\npolicyTypes: [Egress]\negress:\n- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]\n  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]";

/// A shop in the shape of a chart: a default deny, DNS for all, and each path opened at both ends.
fn shop() -> String {
    let web = "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress, Egress]\ningress:\n- from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]\n  ports: [{protocol: TCP, port: http}]\negress:\n- to: [{podSelector: {matchLabels: {app: db}}}]\n  ports: [{protocol: TCP, port: 5432}]";
    let db = "podSelector: {matchLabels: {app: db}}\npolicyTypes: [Ingress]\ningress:\n- from: [{podSelector: {matchLabels: {app: web}}}]\n  ports: [{protocol: TCP, port: 5432}]";
    let ingress = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: shop}\nspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}]}\n";
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned(),
        pod(
            "shop",
            "web",
            "containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]",
        ),
        pod(
            "shop",
            "db",
            "containers: [{name: db, ports: [{containerPort: 5432}]}]",
        ),
        service("web", "[{name: http, port: 80, targetPort: http}]"),
        service("db", "[{port: 5432}]"),
        ingress.to_owned(),
        policy(
            "default-deny",
            "podSelector: {}\npolicyTypes: [Ingress, Egress]",
        ),
        policy("dns", DNS),
        policy("web", web),
        policy("db", db),
    ]
    .concat()
}

#[test]
fn a_shop_that_is_right_is_no_complaint() {
    assert_eq!(complaints(&shop()), Vec::<&str>::new());
}

#[test]
fn each_mistake_in_the_shop_is_told() {
    let changed = |before: &str, after: &str| {
        let text = shop();
        assert!(text.contains(before), "{before}");
        complaints(&text.replacen(before, after, 1))
    };
    let number = "ports: [{protocol: TCP, port: http}]";
    assert!(changed(number, "ports: [{protocol: TCP, port: 80}]").contains(&"NP211"));
    assert!(changed("k8s-app: kube-dns", "k8s-app: kube-dsn").is_empty());
    assert!(changed("port: 53}, {protocol: TCP, port: 53}", "port: 54}").contains(&"NP216"));
    assert!(
        changed(
            "to: [{podSelector: {matchLabels: {app: db}}}]",
            "to: [{podSelector: {matchLabels: {app: bd}}}]"
        )
        .contains(&"NP221")
    );
    let inside = "from: [{podSelector: {matchLabels: {app: web}}}]\n    ports: [{protocol: TCP, port: http}]";
    let outside = "from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]\n    ports: [{protocol: TCP, port: http}]";
    assert!(changed(outside, inside).contains(&"NP213"));
}

#[test]
fn dns_is_asked_for_by_the_union_of_policies_and_where_pods_ask_it() {
    let web = "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Egress]\negress:\n- to: [{podSelector: {matchLabels: {app: db}}}]\n  ports: [{protocol: TCP, port: 5432}]";
    let alone = policy("web", web);
    assert_eq!(complaints(&alone), ["NP216"]);
    assert!(complaints(&(alone.clone() + &policy("dns", DNS))).is_empty());
    let db = pod("shop", "db", "");
    let with = |spec: &str| found(&(alone.clone() + &db + &pod("shop", "web", spec)), "NP216");
    assert_eq!(with("").len(), 1);
    assert!(with("dnsPolicy: None").is_empty());
    let open = "podSelector: {}\npolicyTypes: [Egress]\negress:\n- to: [{podSelector: {}}]\n  ports: [{port: 53, protocol: UDP}]";
    let own = alone.clone() + &policy("own", open);
    assert!(
        found(&own, "NP216").len() == 2,
        "no name server is in the own namespace"
    );
    let deny = policy("deny", "podSelector: {}\npolicyTypes: [Egress]");
    assert!(complaints(&deny).is_empty());
}

#[test]
fn a_port_that_a_container_declares_or_that_stands_beside_the_targets_is_right() {
    let rule = |ports: &str| {
        let spec = format!(
            "podSelector: {{matchLabels: {{app: web}}}}\npolicyTypes: [Ingress]\ningress:\n- ports: {ports}"
        );
        policy("web", &spec)
    };
    let web = pod(
        "shop",
        "web",
        "containers: [{name: web, ports: [{containerPort: 8080}]}]",
    );
    let both = pod(
        "shop",
        "web",
        "containers: [{name: web, ports: [{containerPort: 8080}, {containerPort: 80}]}]",
    );
    let service = service("web", "[{port: 80, targetPort: 8080}]");
    let wrong = found(&(rule("[{port: 80}]") + &web + &service), "NP211");
    assert_eq!(wrong.len(), 1);
    for right in [
        rule("[{port: 8080}]") + &web + &service,
        rule("[{port: 80}, {port: 8080}]") + &web + &service,
        rule("[{port: 80}]") + &both + &service,
        rule("[{port: 80}]") + &web,
    ] {
        assert_eq!(found(&right, "NP211"), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn of_two_equal_policies_one_is_redundant() {
    let spec = "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress]\ningress:\n- from: [{podSelector: {matchLabels: {app: api}}}]";
    let both = policy("a", spec) + &policy("b", spec);
    assert_eq!(found(&both, "NP227"), ["NetworkPolicy shop/b"]);
    // One isolates for egress too, so it stays.
    let wider = policy("b", &spec.replace("[Ingress]", "[Ingress, Egress]"));
    let text = policy("a", spec) + &wider;
    assert_eq!(found(&text, "NP227"), ["NetworkPolicy shop/a"]);
}

#[test]
fn several_policies_make_one_redundant_together() {
    let of = |tiers: &str| {
        format!(
            "podSelector: {{matchExpressions: [{{key: tier, operator: {tiers}}}]}}\npolicyTypes: [Ingress]\ningress:\n- ports: [{{protocol: TCP, port: 80}}]"
        )
    };
    let all = policy(
        "all",
        "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n- from: [{podSelector: {}}]\n  ports: [{protocol: TCP, port: 80}]",
    );
    let with = of("Exists");
    let without = of("DoesNotExist");
    let half = all.clone() + &policy("with", &with);
    assert_eq!(found(&half, "NP227"), Vec::<String>::new());
    let whole = half + &policy("without", &without);
    assert_eq!(found(&whole, "NP227"), ["NetworkPolicy shop/all"]);
}

#[test]
fn a_default_deny_is_not_redundant_beside_policies_that_allow() {
    let allow =
        "podSelector: {}\npolicyTypes: [Ingress, Egress]\ningress:\n- from: [{podSelector: {}}]";
    let text = policy(
        "default-deny",
        "podSelector: {}\npolicyTypes: [Ingress, Egress]",
    ) + &policy("own", allow);
    assert_eq!(found(&text, "NP227"), Vec::<String>::new());
    assert_eq!(found(&text, "NP230"), Vec::<String>::new());
}

#[test]
fn names_that_differ_in_a_number_or_altogether_are_no_typing_errors() {
    let near = |wanted: &str, held: &str| {
        let spec =
            format!("podSelector: {{matchLabels: {{app: {wanted}}}}}\npolicyTypes: [Ingress]");
        !found(&(policy("a", &spec) + &pod("shop", held, "")), "NP205").is_empty()
    };
    assert!(near("fronted", "frontend"));
    assert!(near("Frontend", "frontend"));
    assert!(!near("web-1", "web-2"));
    assert!(!near("api", "app"));
    assert!(!near("db", "web"));
}

#[test]
fn a_short_name_is_misspelt_by_a_slip_of_the_fingers_and_not_by_another_letter() {
    let near = |wanted: &str, held: &str, more: &str| {
        let spec = format!("podSelector: {{matchLabels: {{{wanted}}}}}\npolicyTypes: [Ingress]");
        !found(
            &(policy("a", &spec) + &pod("shop", held, "") + more),
            "NP205",
        )
        .is_empty()
    };
    for (wanted, held) in [
        ("dbb", "db"),
        ("db", "dbb"),
        ("wbe", "web"),
        ("wb", "web"),
        ("ap", "app"),
        ("webb", "web"),
        ("wweb", "web"),
        ("aip", "api"),
    ] {
        assert!(near(&format!("app: {wanted}"), held, ""), "{wanted} {held}");
    }
    for (wanted, held) in [
        ("api", "app"),
        ("ui", "ci"),
        ("ci", "ic"),
        ("db", "dbs"),
        ("dbs", "db"),
        ("pdb", "db"),
        ("web", "we"),
        ("aa", "a"),
        ("v1", "v11"),
        ("mq", "mx"),
    ] {
        assert!(
            !near(&format!("app: {wanted}"), held, ""),
            "{wanted} {held}"
        );
    }
    // Somebody else has the name that is looked for: it may well be meant.
    assert!(!near("app: dbb", "db", &pod("other", "dbb", "")));
    assert!(near("ap: db", "db", ""));
}

#[test]
fn what_depends_on_the_plugin_is_told_of_that_plugin_alone() {
    let text = policy(
        "web",
        "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n- from: [{ipBlock: {cidr: 10.0.0.0/16}}]\n  ports: [{protocol: SCTP, port: 80}]",
    ) + &pod("shop", "web", "")
        + "status: {podIPs: [{ip: 10.0.0.7}]}\n";
    let with = |profile| {
        let selection = Selection {
            profile,
            ..Selection::default()
        };
        let found = findings(&text, &selection).into_iter();
        let own = found.filter(|finding| matches!(finding.code, "NP122" | "NP135"));
        own.map(|finding| (finding.code, finding.severity))
            .collect::<Vec<_>>()
    };
    assert!(with(None).is_empty());
    assert_eq!(with(Some(Profile::Calico)), [("NP122", Severity::Info)]);
    let cilium = [("NP122", Severity::Warning), ("NP135", Severity::Info)];
    assert_eq!(with(Some(Profile::Cilium)), cilium);
}

#[test]
fn users_of_the_api_are_told_of_with_a_profile_alone() {
    let user = |account: &str, spec: &str| {
        let binding = format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: a, namespace: shop}}\nsubjects: [{{kind: ServiceAccount, name: {account}}}, {{kind: Group, name: x}}]\n"
        );
        binding + &pod("shop", "web", spec)
    };
    let isolated = |rules: &str| {
        policy(
            "web",
            &format!("podSelector: {{}}\npolicyTypes: [Egress]\negress: [{rules}]"),
        )
    };
    let told = |text: &str, profile| {
        let selection = Selection {
            profile,
            select: vec!["NP234".to_owned()],
            ..Selection::default()
        };
        findings(text, &selection).len()
    };
    let with = |text: &str| told(text, Some(Profile::Nopal));
    let closed = isolated("{to: [{podSelector: {}}]}");
    assert_eq!(with(&(user("web", "serviceAccountName: web") + &closed)), 1);
    assert_eq!(with(&(user("default", "") + &closed)), 1);
    assert_eq!(
        told(&(user("web", "serviceAccountName: web") + &closed), None),
        0
    );
    assert_eq!(
        with(&(user("other", "serviceAccountName: web") + &closed)),
        0
    );
    let without_token = "serviceAccountName: web, automountServiceAccountToken: false";
    assert_eq!(with(&(user("web", without_token) + &closed)), 0);
    assert_eq!(with(&user("default", "")), 0);
    for open in [
        "{}",
        "{to: [{ipBlock: {cidr: 192.0.2.1/32}}], ports: [{port: 6443}]}",
        "{ports: [{protocol: TCP, port: 1, endPort: 500}]}",
    ] {
        assert_eq!(with(&(user("default", "") + &isolated(open))), 0, "{open}");
    }
    let too_little = isolated("{to: [{ipBlock: {cidr: 192.0.2.1/32}}], ports: [{port: 80}]}");
    assert_eq!(with(&(user("default", "") + &too_little)), 1);
}
