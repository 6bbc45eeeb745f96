//! NP132: a name that says the opposite of what the policy does.

use policy_core::policy::{Peers, Ports, Rule as Meaning};
use policy_core::{Direction, FieldPath};

use crate::lint::meaning::block_addresses;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies with `deny` or `isolate` in their name that allow everything, and such with `allow` in their name that
    /// allow nothing. Where the name also says `ingress` or `egress`, only that direction counts. An annotation
    /// `description`, `purpose` or `summary` that speaks of a denial counts like the name.
    ///
    /// ## Why it matters
    /// People trust names. One of the two is wrong.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: deny-all, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - {}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: deny-all, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress: []
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP132",
        name: "name-against-meaning",
        severity: Severity::Warning,
        certainty: Certainty::Heuristic,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        let named = FieldPath::root().field("metadata").field("name");
        let name = policy.meaning.id.name.to_lowercase();
        if let Some(meaning) = contradiction(policy, &name) {
            let message = format!(
                "the policy is named {:?} and {meaning}",
                policy.meaning.id.name
            );
            findings.add(
                Finding::new(&RULE, policy, named, message)
                    .with_fix("change the rules or the name"),
            );
            continue;
        }
        let metadata = &policy.policy.object.metadata;
        let descriptions = metadata.annotations.iter().flatten();
        for (key, text) in descriptions.filter(|(key, _)| is_description(key)) {
            // Of a policy that allows nothing a description may say what others allow.
            if contradiction(policy, &text.to_lowercase()) != Some(EVERYTHING) {
                continue;
            }
            let path = FieldPath::root().field("metadata").field("annotations");
            let message = format!("the policy is described as a denial and {EVERYTHING}");
            findings.add(
                Finding::new(&RULE, policy, path.field(key), message)
                    .with_fix("change the rules or the description"),
            );
        }
    }
}

const EVERYTHING: &str = "allows everything";

/// Whether an annotation describes its object.
fn is_description(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    matches!(name, "description" | "purpose" | "summary")
}

/// What a policy does against its name or description, if anything.
fn contradiction(policy: &LintPolicy<'_>, text: &str) -> Option<&'static str> {
    let says = |words: &[&str]| {
        let mut parts = text.split(|letter: char| !letter.is_alphanumeric());
        parts.any(|part| words.contains(&part))
    };
    let denies = says(&[
        "deny",
        "denies",
        "isolate",
        "isolated",
        "isolation",
        "block",
    ]);
    let allows = says(&["allow", "allows", "permit"]);
    let directions: Vec<Direction> = Direction::ALL
        .into_iter()
        .filter(|direction| is_spoken_of(*direction, &says))
        .filter(|direction| policy.meaning.isolates(*direction))
        .collect();
    let all = |holds: fn(&[Meaning]) -> bool| {
        let mut rules = directions
            .iter()
            .map(|direction| policy.meaning.rules(*direction));
        !directions.is_empty() && rules.all(holds)
    };
    let meaning = match (denies, allows) {
        (true, false) if all(allows_everything) => EVERYTHING,
        (false, true) if all(<[Meaning]>::is_empty) && !says(&["no", "nothing", "none"]) => {
            "allows nothing"
        }
        _ => return None,
    };
    Some(meaning)
}

/// Whether a name speaks of a direction: it says so, or it names no direction at all.
fn is_spoken_of(direction: Direction, says: &impl Fn(&[&str]) -> bool) -> bool {
    let (ingress, egress) = (says(&["ingress"]), says(&["egress"]));
    match direction {
        Direction::Ingress => ingress || !egress,
        Direction::Egress => egress || !ingress,
    }
}

fn allows_everything(rules: &[Meaning]) -> bool {
    rules.iter().any(|rule| {
        let Meaning::Allow {
            peers,
            ports: Ports::All,
        } = rule
        else {
            return false;
        };
        let addresses = block_addresses(peers);
        *peers == Peers::Everyone || (addresses.v4.is_full() && addresses.v6.is_full())
    })
}
