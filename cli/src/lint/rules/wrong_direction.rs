//! NP105: `to` under `ingress`, or `from` under `egress`.

use policy_core::policy::{Peers, Rule as Meaning};
use policy_core::problem::{Problem, ProblemKind, Segment};
use policy_core::{Direction, lower};

use crate::lint::meaning::{named, numbered};
use crate::lint::written::peers_field;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// `to` in an ingress rule, and `from` in an egress rule.
    ///
    /// ## Why it matters
    /// An API server without strict validation drops the field. What is left of the rule then has no peers at all, and a
    /// rule without peers allows everyone. Strict validation refuses the policy; nopal lets the rule match nothing.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - to: [{podSelector: {matchLabels: {app: web}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP105",
        name: "wrong-direction",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let Some((direction, index)) = direction_of(problem) else {
            continue;
        };
        let (wrong, right) = (wrong_field(direction), peers_field(direction));
        let mut finding = Finding::new(
            &RULE,
            policy,
            problem.path.clone(),
            format!(
                "{wrong} does not belong to {direction}: an API server that drops it is left with a rule that {}; nopal lets the rule match nothing",
                left_over(policy, direction, index)
            ),
        );
        finding.place = policy.policy.fields.place(&problem.path, Part::Key);
        findings.add(finding.with_fix(format!("write {right} in place of {wrong}")));
    }
}

/// The direction and position of the rule in which the other direction's peers stand.
pub(super) fn direction_of(problem: &Problem) -> Option<(Direction, usize)> {
    let ProblemKind::UnknownField { field } = &problem.kind else {
        return None;
    };
    let [_, Segment::Field(direction), Segment::Index(index), _] = problem.path.segments() else {
        return None;
    };
    let direction = Direction::ALL
        .into_iter()
        .find(|known| known.to_string() == *direction)?;
    (field == wrong_field(direction)).then_some((direction, *index))
}

fn wrong_field(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => peers_field(Direction::Egress),
        Direction::Egress => peers_field(Direction::Ingress),
    }
}

/// What the rule means once its unknown fields are dropped.
fn left_over(policy: &LintPolicy<'_>, direction: Direction, index: usize) -> String {
    let (pruned, _) = lower::policy(&policy.policy.object, &[]);
    match pruned.rules(direction).get(index) {
        Some(Meaning::Allow {
            peers: Peers::Everyone,
            ports,
        }) => {
            let numbers = numbered(ports);
            if numbers.is_all() {
                return "allows everyone on every port".to_owned();
            }
            let names = named(ports).map(|(protocol, name)| format!("{protocol} {name:?}"));
            let numbers = (!numbers.is_empty()).then(|| numbers.to_string());
            let ports: Vec<String> = numbers.into_iter().chain(names).collect();
            format!("allows everyone on {}", ports.join(", "))
        }
        Some(Meaning::Allow { .. }) => "allows only the other peers".to_owned(),
        Some(Meaning::NotUnderstood) => "is not understood either".to_owned(),
        None => "has no effect".to_owned(),
    }
}
