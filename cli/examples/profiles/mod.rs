//! Inputs in the shape of real clusters, for the examples that measure.

use std::fmt::Write as _;

const PODS: usize = 5_413;
const NAMESPACES: usize = 604;
const POLICIES: usize = 13_678;
const APPS: usize = 4;

/// A cluster in the proportions of a real one: 5,413 pods, 604 namespaces, 13,678 policies.
pub(crate) fn real_cluster() -> String {
    let mut text = String::new();
    for number in 0..NAMESPACES {
        let team = number % 50;
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{number}\n  labels: {{team: team-{team}}}\n"
        );
    }
    for number in 0..PODS {
        let (home, app) = (number % NAMESPACES, number / NAMESPACES % APPS);
        let (high, low) = (number / 250, number % 250 + 1);
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: app-{app}-{number}\n  namespace: ns-{home}\n  labels:\n    app: app-{app}\n    tier: tier-{}\nspec:\n  containers:\n  - name: main\n    ports:\n    - {{name: http, containerPort: 8080}}\nstatus:\n  podIPs:\n  - ip: 10.0.{high}.{low}\n",
            number % 3
        );
    }
    for number in 0..POLICIES {
        real_policy(number, &mut text);
    }
    text
}

fn real_policy(number: usize, text: &mut String) {
    let (home, round) = (number % NAMESPACES, number / NAMESPACES);
    let subjects = if round == 0 {
        "{}".to_owned()
    } else {
        format!("{{matchLabels: {{app: app-{}}}}}", round % APPS)
    };
    let types = if round == 0 && home.is_multiple_of(2) {
        "[Ingress, Egress]"
    } else if number.is_multiple_of(3) {
        "[Egress]"
    } else {
        "[Ingress]"
    };
    let _ = write!(
        text,
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: policy-{number}\n  namespace: ns-{home}\nspec:\n  podSelector: {subjects}\n  policyTypes: {types}\n"
    );
    if round == 0 {
        return;
    }
    let (rules, peers) = if types == "[Egress]" {
        ("egress", "to")
    } else {
        ("ingress", "from")
    };
    let _ = write!(text, "  {rules}:\n  - {peers}:\n");
    for part in 0..=(number % 3) {
        let number = number + part;
        let app = number % APPS;
        let _ = match number % 40 {
            0 => writeln!(
                text,
                "    - namespaceSelector: {{matchLabels: {{team: team-{}}}}}",
                home % 50
            ),
            1..=3 => writeln!(
                text,
                "    - ipBlock: {{cidr: 203.0.113.0/24, except: [203.0.113.64/26]}}"
            ),
            5..=20 => writeln!(
                text,
                "    - podSelector: {{matchLabels: {{app: app-{app}}}}}"
            ),
            _ => writeln!(
                text,
                "    - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: ns-{}}}}}\n      podSelector: {{matchLabels: {{app: app-{app}}}}}",
                number * 7 % NAMESPACES
            ),
        };
    }
    let port = 8000 + number % 40;
    let _ = write!(
        text,
        "    ports:\n    - {{protocol: TCP, port: {port}}}\n    - {{protocol: TCP, port: 443}}\n"
    );
}

/// Every third policy is for all pods; many of the others hold nothing that these do not hold.
pub(crate) fn one_namespace() -> String {
    let mut text = String::new();
    for number in 0..100 {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{number}\n  namespace: shop\n  labels: {{app: app-{number}, tier: tier-{}}}\n",
            number % 5
        );
    }
    for number in 0..1_000 {
        let subjects = match number % 3 {
            0 => "{}".to_owned(),
            1 => format!("{{matchLabels: {{app: app-{}}}}}", number % 100),
            _ => format!("{{matchLabels: {{tier: tier-{}}}}}", number % 5),
        };
        let port = 8000 + number % 30;
        let _ = write!(
            text,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: policy-{number}\n  namespace: shop\nspec:\n  podSelector: {subjects}\n  policyTypes: [Ingress]\n  ingress:\n  - from:\n    - podSelector: {{matchLabels: {{app: app-{}}}}}\n    - ipBlock: {{cidr: 10.{}.0.0/16}}\n    ports:\n    - {{protocol: TCP, port: {port}, endPort: {}}}\n",
            number % 7,
            number % 11,
            port + 5
        );
    }
    text
}
