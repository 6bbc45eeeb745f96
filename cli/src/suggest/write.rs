//! Suggested policies as YAML and as the API's JSON.

use std::fmt::Write;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::{Direction, Labels};
use serde_json::{Map, Value, json};

use super::draft::{Draft, DraftRule, PortWord};
use super::workload::Workload;
use crate::remedy::flow_style;

/// The policies as YAML documents.
#[must_use]
pub fn yaml(drafts: &[Draft]) -> String {
    let documents = drafts.iter().map(document);
    documents.collect::<Vec<_>>().join("---\n")
}

fn document(draft: &Draft) -> String {
    let directions: Vec<&str> = draft
        .rules
        .keys()
        .map(|direction| kind(*direction))
        .collect();
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  podSelector: {}\n  policyTypes: [{}]\n",
        flow_style(&json!(&*draft.id.name)),
        flow_style(&json!(&*draft.id.namespace)),
        flow_style(&selector(&draft.subjects.labels)),
        directions.join(", "),
    );
    for (direction, rules) in &draft.rules {
        let _ = writeln!(text, "  {direction}:");
        for rule in rules {
            if rule.is_dns && *direction == Direction::Egress {
                text.push_str("  # To ask for names.\n");
            }
            let _ = writeln!(text, "  - {}:", field(*direction));
            for peer in peers(rule, draft) {
                let mut lead = "    - ";
                for (key, value) in peer {
                    let _ = writeln!(text, "{lead}{key}: {}", flow_style(&value));
                    lead = "      ";
                }
            }
            text.push_str("    ports:\n");
            for port in ports(rule) {
                let _ = writeln!(text, "    - {}", flow_style(&port));
            }
        }
    }
    text
}

/// A policy as the API has it.
#[must_use]
pub fn object(draft: &Draft) -> Value {
    let types: Vec<&str> = draft
        .rules
        .keys()
        .map(|direction| kind(*direction))
        .collect();
    let mut spec = json!({ "podSelector": selector(&draft.subjects.labels), "policyTypes": types });
    for (direction, rules) in &draft.rules {
        let field = field(*direction);
        let rules = rules
            .iter()
            .map(|rule| json!({ field: peers(rule, draft), "ports": ports(rule) }));
        spec[direction.to_string()] = rules.collect();
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": &*draft.id.name, "namespace": &*draft.id.namespace },
        "spec": spec,
    })
}

fn kind(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    }
}

fn field(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

fn selector(labels: &Labels) -> Value {
    let labels: Map<String, Value> = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    json!({ "matchLabels": labels })
}

fn peers(rule: &DraftRule, draft: &Draft) -> Vec<Map<String, Value>> {
    let pods = rule.pods.iter().map(|workload| pod_peer(workload, draft));
    let cidrs = rule.addresses.cidrs().into_iter();
    let blocks = cidrs.map(|cidr| {
        let block = json!({ "cidr": cidr.to_string() });
        Map::from_iter([("ipBlock".to_owned(), block)])
    });
    pods.chain(blocks).collect()
}

fn pod_peer(workload: &Workload, draft: &Draft) -> Map<String, Value> {
    let mut peer = Map::new();
    if workload.namespace != draft.id.namespace {
        let name = json!({ "matchLabels": { NAMESPACE_NAME_LABEL: &*workload.namespace } });
        peer.insert("namespaceSelector".to_owned(), name);
    }
    peer.insert("podSelector".to_owned(), selector(&workload.labels));
    peer
}

fn ports(rule: &DraftRule) -> Vec<Value> {
    let ports = rule.ports.iter().map(|(protocol, port)| {
        let port = match port {
            PortWord::Number(number) => json!(number),
            PortWord::Name(name) => json!(name),
        };
        json!({ "protocol": protocol.to_string(), "port": port })
    });
    ports.collect()
}
