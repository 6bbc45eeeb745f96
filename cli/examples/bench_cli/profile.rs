//! The clusters that are measured.

use std::fmt::Write as _;

const APPS: usize = 4;

/// How much of everything a cluster has.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) pods: usize,
    pub(crate) namespaces: usize,
    pub(crate) policies: usize,
}

/// What a real cluster was counted to have.
pub(crate) const REAL: Size = Size {
    pods: 5_413,
    namespaces: 604,
    policies: 13_678,
};

/// A cluster of which whole matrices are known to take long elsewhere.
pub(crate) const SMALL: Size = Size {
    pods: 500,
    namespaces: 50,
    policies: 500,
};

/// A cluster in the manner of a real one, the objects of each namespace as a text of their own. In the changed one
/// every fiftieth policy has another port.
pub(crate) fn cluster(size: Size, is_changed: bool) -> Vec<String> {
    let mut texts = Vec::new();
    for home in 0..size.namespaces {
        let team = home % 50;
        texts.push(format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{home}\n  labels: {{team: team-{team}}}\n"
        ));
    }
    for number in 0..size.pods {
        pod(
            number,
            size.namespaces,
            &mut texts[number % size.namespaces],
        );
    }
    for number in 0..size.policies {
        let text = &mut texts[number % size.namespaces];
        policy(number, size.namespaces, is_changed, text);
    }
    texts
}

fn pod(number: usize, namespaces: usize, text: &mut String) {
    let (home, app) = (number % namespaces, number / namespaces % APPS);
    let (high, low) = (number / 250, number % 250 + 1);
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: app-{app}-{number}\n  namespace: ns-{home}\n  labels:\n    app: app-{app}\n    tier: tier-{}\nspec:\n  containers:\n  - name: main\n    ports:\n    - {{name: http, containerPort: 8080}}\nstatus:\n  podIPs:\n  - ip: 10.0.{high}.{low}\n",
        number % 3
    );
}

fn policy(number: usize, namespaces: usize, is_changed: bool, text: &mut String) {
    let (home, round) = (number % namespaces, number / namespaces);
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
        peer(number + part, home, namespaces, text);
    }
    let is_other = is_changed && number.is_multiple_of(50);
    let port = 8000 + number % 40 + if is_other { 1000 } else { 0 };
    let _ = write!(
        text,
        "    ports:\n    - {{protocol: TCP, port: {port}}}\n    - {{protocol: TCP, port: 443}}\n"
    );
}

fn peer(number: usize, home: usize, namespaces: usize, text: &mut String) {
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
            number * 7 % namespaces
        ),
    };
}

/// 1,000 policies in one namespace. Every third policy is for all pods; many of the others hold nothing that these do not hold.
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
