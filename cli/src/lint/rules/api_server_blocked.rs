//! NP234: pods that use the Kubernetes API and may not connect to it.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Direction, FlowPort, PodId, Protocol};

use crate::lint::{Certainty, ClassId, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Object;

rule! {
    /// ## What it finds
    /// With `--profile`: pods whose service account a `RoleBinding` or `ClusterRoleBinding` gives a role, and whose egress
    /// is isolated, where no rule lets them connect to addresses on TCP 443 or 6443.
    ///
    /// ## Why it matters
    /// Who has a role of the API uses it. The API server is no pod that a selector could select: it is reached by an
    /// address, after its Service's own address has been replaced. Plugins have ways of their own to let pods in there.
    ///
    /// ## Example
    /// ```yaml
    /// kind: ClusterRoleBinding
    /// metadata: {name: operator}
    /// subjects: [{kind: ServiceAccount, name: operator, namespace: db}]
    /// ---
    /// kind: Deployment
    /// metadata: {name: operator, namespace: db}
    /// spec: {template: {metadata: {labels: {app: operator}}, spec: {serviceAccountName: operator}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: operator, namespace: db}
    /// spec:
    ///   podSelector: {matchLabels: {app: operator}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{podSelector: {}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: ClusterRoleBinding
    /// metadata: {name: operator}
    /// subjects: [{kind: ServiceAccount, name: operator, namespace: db}]
    /// ---
    /// kind: Deployment
    /// metadata: {name: operator, namespace: db}
    /// spec: {template: {metadata: {labels: {app: operator}}, spec: {serviceAccountName: operator}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: operator, namespace: db}
    /// spec:
    ///   podSelector: {matchLabels: {app: operator}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{podSelector: {}}]
    ///   - to: [{ipBlock: {cidr: 192.0.2.10/32}}]
    ///     ports: [{protocol: TCP, port: 6443}]
    /// ```
    ///
    /// ## No finding
    /// For pods that say `automountServiceAccountToken: false`, pods on their node's network, and where a policy was not
    /// understood. Roles that are bound to groups of accounts are not looked at, and of a running cluster none.
    pub(super) const RULE: Rule = Rule {
        code: "NP234",
        name: "api-server-blocked",
        severity: Severity::Info,
        certainty: Certainty::Profile,
        check,
    };
}

/// Where API servers listen: behind their Service's port, and mostly themselves.
const PORTS: [u16; 2] = [443, 6443];

fn check(input: &Input<'_>, findings: &mut Findings) {
    let Some(profile) = input.profile else { return };
    if input.bound_accounts.is_empty() {
        return;
    }
    let bound = input.bound_accounts.iter();
    let bound: BTreeSet<(&str, &str)> = bound
        .map(|account| (account.namespace.as_str(), account.name.as_str()))
        .collect();
    let classes: BTreeMap<&PodId, ClassId> = input
        .reach
        .numbered()
        .flat_map(|(id, class)| class.pods.iter().map(move |pod| (&pod.id, id)))
        .collect();
    for object in input.objects {
        let Some((pod, account)) = user(object) else {
            continue;
        };
        let Some(&class) = classes.get(&pod) else {
            continue;
        };
        if !bound.contains(&(&*pod.namespace, account)) || !is_blocked(input, class) {
            continue;
        }
        let isolating = input.reach.isolating(class, Direction::Egress);
        let message = format!(
            "these pods use the API as {account}, and no egress rule lets them connect to addresses on TCP 443 or 6443: with {} the API server is no pod that a selector selects",
            profile.name()
        );
        let finding = Finding::of_object(&RULE, &object.reference, &object.place, message)
            .with_fix("allow TCP 6443 (or 443) to the addresses of the API server, or what the plugin has for it");
        findings.add(match isolating.first() {
            Some(&policy) => finding.with_related(
                input.policies[policy as usize].name_place(),
                "isolates the pods",
            ),
            None => finding,
        });
    }
}

/// The pod of an object and the account whose token it gets.
fn user(object: &Object) -> Option<(PodId, &str)> {
    let (pod, spec) = object.pod()?;
    let spec = spec?;
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let gets_token = spec.automount_service_account_token != Some(false);
    gets_token.then_some((pod, account))
}

fn is_blocked(input: &Input<'_>, class: ClassId) -> bool {
    let isolating = input.reach.isolating(class, Direction::Egress);
    let mut policies = isolating.iter();
    let is_understood = policies.all(|&policy| input.policies[policy as usize].problems.is_empty());
    let mut grants = input.reach.given(class, Direction::Egress);
    let lets_out = grants.any(|grant| {
        let goes_to_addresses = grant.is_for_everyone || !grant.blocks.is_empty();
        let gives = |port| grant.gives_number(FlowPort::Port(Protocol::Tcp, port));
        goes_to_addresses && PORTS.into_iter().any(gives)
    });
    !isolating.is_empty() && is_understood && !lets_out
}
