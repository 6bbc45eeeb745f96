//! What lies under `deploy/`: chart and manifests say the same, no more than the agent needs, in words that it knows.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests outside of test functions"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use nft_backend::live::Update;
use nopal_agent::args::{Arguments, Command};
use nopal_agent::kind::Kind;
use nopal_agent::metrics::Metrics;
use serde_json::{Value, json};

/// Where the manifests put the agent; a chart is put where its user says.
const NAMESPACE: &str = "kube-system";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn of_kind(documents: &[Value], kind: &str) -> Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("there is a {kind}"));
    assert!(found.next().is_none(), "there is one {kind}");
    one.clone()
}

/// The chart's template with its own values. It knows the few forms that the template uses: a value, a value as JSON,
/// and a list's entries on lines of their own.
fn render(template: &str, values: &Value) -> String {
    let mut lines = Vec::new();
    let mut input = template.lines();
    while let Some(line) = input.next() {
        if let Some(list) = line.trim().strip_prefix("{{- range ") {
            let list = list.strip_suffix(" }}").expect("a range on one line");
            let body: Vec<&str> = input
                .by_ref()
                .take_while(|line| line.trim() != "{{- end }}")
                .collect();
            for entry in look_up(values, list).as_array().expect("a list") {
                lines.extend(
                    body.iter()
                        .map(|line| line.replace("{{ . | toJson }}", &entry.to_string())),
                );
            }
            continue;
        }
        let mut line = line.to_owned();
        while let Some((before, rest)) = line.split_once("{{ ") {
            let (expression, after) = rest.split_once(" }}").expect("an expression on one line");
            let value = match expression.split_once(" | ") {
                Some((name, "toJson")) => look_up(values, name).to_string(),
                None => match look_up(values, expression) {
                    Value::String(text) => text.clone(),
                    other => panic!("{expression} is {other}"),
                },
                Some(_) => panic!("{expression}: only toJson is known here"),
            };
            line = format!("{before}{value}{after}");
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

fn look_up<'v>(values: &'v Value, name: &str) -> &'v Value {
    let fields = name
        .strip_prefix('.')
        .expect("a name begins with a dot")
        .split('.');
    let value = fields.fold(values, |value, field| &value[field]);
    assert!(!value.is_null(), "the chart has no value {name}");
    value
}

#[test]
fn the_manifest_is_the_chart_with_its_own_values() {
    let values: Value = serde_saphyr::from_str(&text("chart/values.yaml")).unwrap();
    let values = json!({"Values": values, "Release": {"Namespace": NAMESPACE}});
    let rendered = render(&text("chart/templates/nopal.yaml"), &values);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path("manifests/nopal.yaml"), &rendered).unwrap();
    }
    assert_eq!(
        text("manifests/nopal.yaml"),
        rendered,
        "UPDATE=1 cargo test -p nopal-agent --test deploy writes it"
    );
    let mut more = values;
    more["Values"]["extraArgs"] = json!(["--mark-mask=0xf0", "--http=off"]);
    let rendered = render(&text("chart/templates/nopal.yaml"), &more);
    assert!(
        rendered.contains("            - \"--mark-mask=0xf0\"\n            - \"--http=off\"\n")
    );
}

#[test]
fn the_agent_may_read_four_kinds_and_write_events_and_nothing_else() {
    let documents = documents("manifests/nopal.yaml");
    let follow = json!(["list", "watch"]);
    assert_eq!(
        of_kind(&documents, "ClusterRole")["rules"],
        json!([
            {"apiGroups": [""], "resources": ["pods", "namespaces", "nodes"], "verbs": follow},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": follow},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ])
    );
    let kinds: BTreeSet<&str> = documents
        .iter()
        .filter_map(|document| document["kind"].as_str())
        .collect();
    let expected = [
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
        "ServiceAccount",
    ];
    assert_eq!(kinds, expected.into_iter().collect());
}

#[test]
fn every_container_has_what_it_needs_and_no_more() {
    let on = of_kind(&documents("manifests/nopal.yaml"), "DaemonSet");
    let off = of_kind(&documents("manifests/off.yaml"), "DaemonSet");
    let agent = &on["spec"]["template"]["spec"]["containers"][0];
    let cleanup = &off["spec"]["template"]["spec"]["initContainers"][0];
    let idle = &off["spec"]["template"]["spec"]["containers"][0];
    for (container, added) in [
        (agent, json!(["NET_ADMIN", "CHOWN"])),
        (cleanup, json!(["NET_ADMIN", "CHOWN"])),
        (idle, Value::Null),
    ] {
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["privileged"], Value::Null);
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(context["capabilities"]["add"], added);
    }
    for set in [&on, &off] {
        let pod = &set["spec"]["template"]["spec"];
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(pod["priorityClassName"], "system-node-critical");
        assert_eq!(pod["hostNetwork"], true);
        assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
        for absent in ["hostPID", "hostIPC", "shareProcessNamespace"] {
            assert_eq!(pod[absent], Value::Null);
        }
    }
}

#[test]
fn the_way_off_replaces_the_way_on_at_the_same_places() {
    let on = of_kind(&documents("manifests/nopal.yaml"), "DaemonSet");
    let off = of_kind(&documents("manifests/off.yaml"), "DaemonSet");
    assert_eq!(on["metadata"], off["metadata"]);
    assert_eq!(on["spec"]["selector"], off["spec"]["selector"]);
    let pods = [&on, &off].map(|set| &set["spec"]["template"]["spec"]);
    let agent = &pods[0]["containers"][0];
    let cleanup = &pods[1]["initContainers"][0];
    assert_eq!(agent["image"], cleanup["image"]);
    let list = |value: &Value| value.as_array().unwrap().clone();
    for kept in list(&pods[1]["volumes"]) {
        assert!(list(&pods[0]["volumes"]).contains(&kept), "{kept}");
    }
    for kept in list(&cleanup["volumeMounts"]) {
        assert!(list(&agent["volumeMounts"]).contains(&kept), "{kept}");
    }
    let parse = |container: &Value| {
        let arguments = list(&container["args"]);
        let arguments = arguments
            .iter()
            .map(|argument| argument.as_str().unwrap())
            // As kubelet does it.
            .map(|argument| argument.replace("$(HOST_IP)", "192.0.2.1"));
        Arguments::try_parse_from(["nopal-agent".to_owned()].into_iter().chain(arguments)).unwrap()
    };
    let run = parse(agent).run;
    let Some(Command::Cleanup(cleanup)) = parse(cleanup).command else {
        panic!("it cleans up");
    };
    assert_eq!(run.place.state_dir, cleanup.place.state_dir);
    assert_eq!(run.place.table, cleanup.place.table);
    assert_eq!(run.cni.place.cni_conf_dir, cleanup.cni.cni_conf_dir);
    assert_eq!(run.cni.place.cni_bin_dir, cleanup.cni.cni_bin_dir);
    // The plugin runs on the node and must find the socket by the path that the agent has in its container.
    let socket = run.cni.cni_socket.unwrap();
    let mounts = list(&agent["volumeMounts"]);
    let mount = mounts.iter().find(|mount| mount["name"] == "run").unwrap();
    let volumes = list(&pods[0]["volumes"]);
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == "run")
        .unwrap();
    assert_eq!(mount["mountPath"], volume["hostPath"]["path"]);
    assert_eq!(
        socket.parent().unwrap().to_str(),
        mount["mountPath"].as_str()
    );
}

#[test]
fn the_image_has_the_programs_that_the_agent_starts() {
    let dockerfile = text("Dockerfile");
    let (_, packages) = dockerfile.split_once("--no-install-recommends ").unwrap();
    let (packages, _) = packages.split_once('\n').unwrap();
    let packages: Vec<&str> = packages.split_whitespace().collect();
    // nft, and ip, without which no bridge is made to call netfilter.
    for package in ["nftables", "iproute2"] {
        assert!(packages.contains(&package), "{packages:?}");
    }
}

#[test]
fn every_metric_that_is_watched_exists() {
    let metrics = Metrics::default();
    // A family is shown once it has a value.
    metrics.count_update(Update::Load);
    metrics.set_watch(Kind::Pods, false);
    metrics.set_objects(Kind::Pods, 1);
    let mut known = BTreeSet::new();
    for line in metrics.text().lines() {
        let Some(described) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = described.split_once(' ').unwrap();
        match kind {
            "counter" => drop(known.insert(format!("{name}_total"))),
            "histogram" => {
                known.extend(["bucket", "count", "sum"].map(|end| format!("{name}_{end}")));
            }
            _ => drop(known.insert(name.to_owned())),
        }
    }
    assert!(known.len() > 10, "{known:?}");
    for file in ["monitoring/rules.yaml", "monitoring/dashboard.json"] {
        let text = text(file);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words = text.split(|c: char| !is_part(c));
        let used: BTreeSet<&str> = words.filter(|word| word.starts_with("nopal_")).collect();
        assert!(used.len() > 4, "{used:?}");
        for name in used {
            let family = ["_bucket", "_count", "_sum"].map(|end| format!("{name}{end}"));
            let is_known = known.contains(name) || family.iter().all(|part| known.contains(part));
            assert!(
                is_known,
                "{file} uses {name}, which the agent does not have: {known:?}"
            );
        }
    }
    let dashboard: Value = serde_json::from_str(&text("monitoring/dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() >= 8);
    let rules: Value = serde_saphyr::from_str(&text("monitoring/rules.yaml")).unwrap();
    assert!(rules["groups"][0]["rules"].as_array().unwrap().len() >= 4);
}
