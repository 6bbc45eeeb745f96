//! NP205: a label that is nearly one that pods have.

use policy_core::policy::{Namespaces, Peer};
use policy_core::{FieldPath, Labels, Selector};

use super::split_peer;
use crate::lint::misspelt::{Miss, only_miss};
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity};
use crate::manifest::{Content, Part};

rule! {
    /// ## What it finds
    /// Selectors that match no pod, where one label makes the difference, and pods have one that looks the same but for a
    /// typing error, upper and lower case, or the prefix of its key, or that stands under another usual key for the name of
    /// an application (`app`, `app.kubernetes.io/name`, `k8s-app`); and selectors whose labels a workload has on itself
    /// and not on its pods. A short name such as `db` is taken for a misspelt one only where a letter is doubled, left out or
    /// swapped with its neighbour, and no pod at all has it: `api` and `app` are two names.
    ///
    /// ## Why it matters
    /// Labels are compared letter by letter, and only those of pods count.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: frontend}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: fronted}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: frontend}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: frontend}}
    ///   policyTypes: [Ingress]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP205",
        name: "near-miss-label",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let subjects = FieldPath::root().field("spec").field("podSelector");
    for policy in &input.policies {
        let own = policy.meaning.id.namespace.as_ref();
        let selector = &policy.meaning.subjects;
        findings.extend(near_miss(
            input,
            policy,
            &subjects,
            [own].into_iter(),
            selector,
        ));
    }
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods { namespaces, pods } = peer else {
            continue;
        };
        if split_peer::is_half(&rule, index) && *namespaces == Namespaces::Own {
            continue;
        }
        let own = policy.meaning.id.namespace.as_ref();
        let matching = input.world.matching(own, namespaces);
        let path = rule.peer_path(index).field("podSelector");
        findings.extend(near_miss(input, policy, &path, matching, pods));
    }
}

fn near_miss<'w>(
    input: &'w Input<'_>,
    policy: &LintPolicy<'_>,
    path: &FieldPath,
    namespaces: impl Iterator<Item = &'w str>,
    selector: &Selector,
) -> Option<Finding> {
    if selector.is_everything() || !selector.is_satisfiable() {
        return None;
    }
    let namespaces: Vec<&str> = namespaces.collect();
    let is_absent =
        |namespace: &&str| input.world.has_shown_match(namespace, selector) == Some(false);
    if namespaces.is_empty() || !namespaces.iter().all(is_absent) {
        return None;
    }
    let is_known = |(key, value): (&str, &str)| {
        let mut pods = input.world.pods();
        pods.any(|pod| pod.labels.value(key) == Some(value))
    };
    let mut pods = namespaces
        .iter()
        .flat_map(|namespace| input.world.pods_in(namespace));
    let near = pods.find_map(|pod| {
        let miss = only_miss(selector, &pod.labels, &is_known)?;
        Some((
            format!(
                "pod {} has {}, not {}",
                pod.id,
                text(miss.held),
                text(miss.wanted)
            ),
            miss,
        ))
    });
    let mut repair = None;
    let (message, fix) = if let Some((message, miss)) = near {
        repair = as_held(policy, &path.field("matchLabels"), &miss);
        (message, "write the label as the pods have it")
    } else {
        let workload = labelled_itself(input, &namespaces, selector)?;
        (
            format!("{workload} has {selector} on itself, but its pods do not"),
            "put the labels into spec.template.metadata.labels too",
        )
    };
    Some(
        Finding::new(&RULE, policy, path.clone(), message)
            .with_fix(fix)
            .with_repair(repair),
    )
}

fn text((key, value): (&str, &str)) -> String {
    format!("{key}={value}")
}

/// Writes the label as the pods have it, where it stands in `matchLabels` under its key.
fn as_held(policy: &LintPolicy<'_>, labels: &FieldPath, miss: &Miss<'_>) -> Option<Repair> {
    let written = labels.field(miss.wanted.0);
    if !policy.is_written(&written) {
        return None;
    }
    let (part, new) = if miss.wanted.0 == miss.held.0 {
        (Part::Value, miss.held.1)
    } else if policy.is_written(&labels.field(miss.held.0)) {
        return None;
    } else {
        (Part::Key, miss.held.0)
    };
    // Without quotes YAML reads some words, and all that looks like a number, as something else than a string.
    let is_plain = new.starts_with(|first: char| first.is_ascii_alphabetic())
        && !NO_STRINGS.contains(&new.to_ascii_lowercase().as_str());
    let place = policy.policy.fields.place(&written, part);
    is_plain.then(|| Repair::scalar(&place, new).unsafely())
}

/// Words that YAML 1.1, and so the API server's reader, takes for a truth value or for nothing.
const NO_STRINGS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// A workload with these labels on itself.
fn labelled_itself(input: &Input<'_>, namespaces: &[&str], selector: &Selector) -> Option<String> {
    let found = input.objects.iter().find(|object| {
        let Content::Workload(workload) = &object.content else {
            return false;
        };
        let labels: Labels = workload.metadata.labels.iter().flatten().collect();
        let namespace = object.reference.namespace.as_deref().unwrap_or_default();
        namespaces.contains(&namespace) && selector.matches(&labels)
    })?;
    Some(found.reference.to_string())
}
