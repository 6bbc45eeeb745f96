//! Runs a case: its changes by kubectl, and after each step its truth table.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::case::{Case, Step};
use super::judge::{self, Prober};
use super::site::Site;
use crate::agents;
use crate::cluster::eventually;
use crate::objects::policy;

/// Runs all cases, also those after one that fails.
///
/// # Panics
/// When cases have failed, with the name of each and what was wrong.
pub(super) fn run_all(site: &Site, prober: &impl Prober, cases: &[Case]) {
    let fails = |case: &Case| {
        let run = AssertUnwindSafe(|| run(site, prober, case));
        let panic = catch_unwind(run).err()?;
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        reset(site, case);
        Some(format!("{}: {}", case.name, text.unwrap_or_default()))
    };
    let failures: Vec<String> = cases.iter().filter_map(fails).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed\n\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n\n")
    );
}

/// Runs a case, and leaves the cluster as it was; panics when the case fails.
fn run(site: &Site, prober: &impl Prober, case: &Case) {
    for (number, step) in case.steps.iter().enumerate() {
        carry_out(site, step);
        let objects = site.objects();
        await_in_force(site, &objects);
        let differences = judge::differences(site, prober, &step.table(), objects);
        assert!(
            differences.is_empty(),
            "step {}: {differences}\n{}",
            number + 1,
            site.logs()
        );
    }
    reset(site, case);
}

/// Takes away all policies and the labels that the case has given.
fn reset(site: &Site, case: &Case) {
    let everything = ["delete", "networkpolicies", "--all", "--all-namespaces"];
    site.kubectl(&everything, "");
    for step in &case.steps {
        for (object, labels) in &step.labels {
            let removed: Vec<String> = labels.keys().map(|key| format!("{key}-")).collect();
            label(site, object, &removed);
        }
    }
}

fn carry_out(site: &Site, step: &Step) {
    for refused in &step.refused {
        let object = policy("x", "refused", &refused.spec).to_string();
        let applied = site.control_plane.kubectl(&["apply", "-f", "-"], &object);
        let error = applied.expect_err("the API server refuses it").to_string();
        assert!(error.contains(&refused.because), "{error}");
    }
    if !step.policies.is_empty() {
        let object = |(name, spec): (&String, &Value)| {
            let (namespace, name) = split(name);
            policy(namespace, name, spec)
        };
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "items": step.policies.iter().map(object).collect::<Vec<_>>(),
        });
        let list = with_addresses(site, list.to_string());
        site.kubectl(&["apply", "-f", "-"], &list);
    }
    for (name, patch) in &step.patch {
        let ((namespace, name), patch) = (split(name), patch.to_string());
        let arguments = ["-n", namespace, "--type=merge", "-p", &patch];
        let patch = ["patch", "networkpolicy", name];
        site.kubectl(&[&patch[..], &arguments].concat(), "");
    }
    for (object, labels) in &step.labels {
        let added = labels.iter().map(|(key, value)| format!("{key}={value}"));
        label(site, object, &added.collect::<Vec<_>>());
    }
    for name in &step.delete {
        let (namespace, name) = split(name);
        site.kubectl(&["delete", "networkpolicy", name, "-n", namespace], "");
    }
    if let Some(namespace) = &step.delete_all {
        let collection =
            format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
        site.kubectl(&["delete", "--raw", &collection], "");
    }
}

/// Changes labels of `namespace/NAME` or `pod/NAMESPACE/NAME`.
fn label(site: &Site, object: &str, labels: &[String]) {
    let parts: Vec<&str> = object.split('/').collect();
    let mut arguments = match parts[..] {
        ["namespace", name] => vec!["label", "namespace", name],
        ["pod", namespace, name] => vec!["label", "pod", name, "-n", namespace],
        _ => panic!("{object} is no namespace and no pod"),
    };
    arguments.push("--overwrite");
    arguments.extend(labels.iter().map(String::as_str));
    site.kubectl(&arguments, "");
}

/// Waits until both agents say that these objects are in force.
fn await_in_force(site: &Site, objects: &[Value]) {
    let of_kind = |kind: &str| -> Vec<&Value> {
        let is_of_kind = |object: &&Value| object["kind"] == kind;
        objects.iter().filter(is_of_kind).collect()
    };
    let version = |object: &Value| -> u64 {
        let version = object["metadata"]["resourceVersion"].as_str();
        version.unwrap().parse().unwrap()
    };
    let policies: BTreeMap<String, u64> = of_kind("NetworkPolicy")
        .into_iter()
        .map(|policy| {
            let part = |field: &str| policy["metadata"][field].as_str().unwrap();
            let name = format!("{}/{}", part("namespace"), part("name"));
            (name, version(policy))
        })
        .collect();
    let newest = |kind| of_kind(kind).into_iter().map(version).max();
    let newest = [("pods", newest("Pod")), ("namespaces", newest("Namespace"))];
    let is_in_force = || {
        site.nodes().all(|node| {
            let in_force = agents::status(node)["inForce"].take();
            let versions = in_force["policies"].as_object().unwrap().iter();
            let versions = versions.map(|(name, version)| {
                (name.clone(), version["resourceVersion"].as_u64().unwrap())
            });
            let reaches = |(kind, version): &(&str, Option<u64>)| {
                in_force["newest"][*kind].as_u64() >= *version
            };
            versions.eq(policies.clone()) && newest.iter().all(reaches)
        })
    };
    let status = || -> Vec<Value> { site.nodes().map(agents::status).collect() };
    assert!(
        eventually(is_in_force),
        "not in force: {policies:?} {newest:?}\n{:#?}\n{}",
        status(),
        site.logs()
    );
}

/// Puts pods' addresses in the place of `IPV4(x/a)` and `IPV6(x/a)`.
fn with_addresses(site: &Site, text: String) -> String {
    site.addresses.iter().fold(text, |text, (pod, [v4, v6])| {
        text.replace(&format!("IPV4({pod})"), &v4.to_string())
            .replace(&format!("IPV6({pod})"), &v6.to_string())
    })
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap()
}
