//! Permissions of so many elements that they are split into a peer set and a port set.

use policy_core::testing::Objects;
use serde_json::{Value, json};

/// 500 clients of nine ports of two kinds of servers, which some clients may reach on a further port.
pub(crate) fn many_clients() -> Objects {
    let pod = |name: &str, labels: Value, address: [u8; 2]| {
        let [third, fourth] = address;
        json!({
            "kind": "Pod",
            "metadata": { "namespace": "shop", "name": name, "labels": labels },
            "spec": { "nodeName": format!("node-{}", if third == 1 { "a" } else { "b" }), "containers": [] },
            "status": { "podIPs": [
                { "ip": format!("10.0.{third}.{fourth}") },
                { "ip": format!("fd00:10:0:{third}::{fourth:x}") },
            ] },
        })
    };
    let policy = |name: &str, app: &str, from: Value, ports: &[u16]| {
        let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port })).collect();
        json!({
            "kind": "NetworkPolicy",
            "metadata": { "namespace": "shop", "name": name },
            "spec": {
                "podSelector": { "matchLabels": { "app": app } },
                "ingress": [{ "from": from, "ports": ports }],
            },
        })
    };
    let labelled = |labels: Value| json!([{ "podSelector": { "matchLabels": labels } }]);
    let ports: Vec<u16> = (0..9).map(|number| 8000 + 10 * number).collect();
    let clients = labelled(json!({ "role": "client" }));
    let mut objects = vec![
        pod("db", json!({ "app": "db" }), [1, 1]),
        pod("cache", json!({ "app": "cache" }), [1, 2]),
        policy("db", "db", clients.clone(), &ports),
        policy("cache", "cache", clients, &ports),
        policy(
            "db-red",
            "db",
            labelled(json!({ "team": "red" })),
            &[8000, 9000],
        ),
        policy(
            "cache-near",
            "cache",
            json!([{ "ipBlock": { "cidr": "10.0.2.0/25" } }]),
            &[8010, 9001],
        ),
    ];
    for number in 0..500_u16 {
        let team = if number % 3 == 0 { "red" } else { "blue" };
        let [third, fourth] = [number / 250 + 2, number % 250 + 1];
        let address = [third, fourth].map(|byte| u8::try_from(byte).unwrap());
        let labels = json!({ "role": "client", "team": team });
        objects.push(pod(&format!("client-{number}"), labels, address));
    }
    Objects::read(objects).unwrap()
}
