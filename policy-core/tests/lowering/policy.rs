//! Policies: types, subjects, names, and fields that could not be read.

use crate::{check, lower_object, lower_spec, summarize};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use policy_core::lower::{self, Unread};
use policy_core::{FieldPath, Mode, ProblemKind};
use serde_json::json;

#[test]
fn what_the_api_server_accepts_is_no_problem() {
    check(&[
        ("{}", &[], "in [] out -"),
        ("null", &[], "in [] out -"),
        ("{podSelector: null}", &[], "in [] out -"),
        ("{podSelector: {}, policyTypes: []}", &[], "in [] out -"),
        ("{ingress: [], egress: []}", &[], "in [] out -"),
        ("{egress: [{}]}", &[], "in [] out [e]"),
        ("{policyTypes: [Egress]}", &[], "in - out []"),
        ("{policyTypes: [Ingress], egress: [{}]}", &[], "in [] out -"),
        ("{policyTypes: [Egress], ingress: [{}]}", &[], "in - out []"),
        (
            "{ingress: [{}, {from: []}, {from: null, ports: null}]}",
            &[],
            "in [eee] out -",
        ),
        (
            "{ingress: [{from: [{podSelector: {}}]}]}",
            &[],
            "in [p] out -",
        ),
        (
            "{ingress: [{ports: [{}, {port: 1}, {port: 65535, endPort: 65535}, {port: a-1, protocol: SCTP}]}]}",
            &[],
            "in [e] out -",
        ),
    ]);
}

#[test]
fn a_repeated_policy_type_keeps_its_meaning() {
    let twice = "policy type \"Ingress\" is given twice";
    check(&[
        (
            "{policyTypes: [Ingress, Ingress], ingress: [{}]}",
            &[("spec.policyTypes[1]", twice)],
            "in [e] out -",
        ),
        (
            "{policyTypes: [Ingress, Egress, Ingress]}",
            &[
                ("spec.policyTypes[2]", twice),
                ("spec.policyTypes", "more than two policy types"),
            ],
            "in [] out []",
        ),
    ]);
}

#[test]
fn an_unknown_policy_type_isolates_both_directions() {
    check(&[
        (
            "{policyTypes: [ingress], ingress: [{}], egress: [{}]}",
            &[(
                "spec.policyTypes[0]",
                "unknown policy type \"ingress\": use \"Ingress\" or \"Egress\"",
            )],
            "in [] out []",
        ),
        (
            "{policyTypes: [Ingress, Both], ingress: [{}], egress: [{}]}",
            &[(
                "spec.policyTypes[1]",
                "unknown policy type \"Both\": use \"Ingress\" or \"Egress\"",
            )],
            "in [e] out []",
        ),
    ]);
}

#[test]
fn a_pod_selector_that_is_not_understood_isolates_too_many_and_allows_nothing() {
    let spec = "{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Is, values: [a]}]}, \
                ingress: [{}], egress: [{}]}";
    let (policy, problems) = lower_spec(spec);
    assert_eq!(problems.len(), 1);
    assert_eq!(policy.subjects.to_string(), "app=web");
    assert_eq!(summarize(&policy), "in [x] out [x]");

    let (policy, _) = lower_spec("{podSelector: {labels: {app: web}}, ingress: [{}]}");
    assert!(policy.subjects.is_everything());
    assert_eq!(summarize(&policy), "in [x] out -");
}

#[test]
fn a_field_that_could_not_be_read_closes_as_much_as_it_could_mean() {
    check(&[
        (
            "{ingress: [{to: [{podSelector: {}}]}, {}]}",
            &[("spec.ingress[0].to", "unknown field \"to\"")],
            "in [xe] out -",
        ),
        (
            "{ingress: [{from: [{podSelector: {}, ports: []}]}]}",
            &[("spec.ingress[0].from[0].ports", "unknown field \"ports\"")],
            "in [x] out -",
        ),
        (
            "{ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [x, true]}]}}]}]}",
            &[(
                "spec.ingress[0].from[0].podSelector.matchExpressions[0].values[1]",
                "expected a string, found true",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{}, all, {}]}",
            &[("spec.ingress[1]", "expected an object, found \"all\"")],
            "in [exe] out -",
        ),
        (
            "{egress: [{ports: 80}]}",
            &[("spec.egress[0].ports", "expected a list, found 80")],
            "in [] out [x]",
        ),
        (
            "{ingress: [{}], policyType: [Ingress]}",
            &[("spec.policyType", "unknown field \"policyType\"")],
            "in [x] out []",
        ),
        (
            "{policyTypes: Egress, ingress: [{}]}",
            &[("spec.policyTypes", "expected a list, found \"Egress\"")],
            "in [x] out []",
        ),
        (
            "{policyTypes: [Egress], egress: {to: []}}",
            &[("spec.egress", "expected a list, found {\"to\":[]}")],
            "in [] out []",
        ),
        (
            "[]",
            &[("spec", "expected an object, found []")],
            "in [] out []",
        ),
    ]);
}

#[test]
fn fields_of_metadata_and_status_change_nothing() {
    for path in ["metadata", "status", "apiVersion", "kind"] {
        let unread = Unread {
            path: FieldPath::root().field(path).field("odd"),
            kind: ProblemKind::UnknownField {
                field: "odd".to_owned(),
            },
        };
        let (policy, problems) = lower::policy(&NetworkPolicy::default(), &[unread]);
        assert_eq!(summarize(&policy), "in [] out -");
        assert!(
            problems
                .iter()
                .any(|problem| problem.path.to_string().starts_with(path))
        );
    }
}

#[test]
fn an_egress_rule_that_the_reader_left_out_still_isolates_for_egress() {
    let path = FieldPath::root().field("spec").field("egress").index(0);
    let kind = ProblemKind::Mistyped {
        expected: "an object".to_owned(),
        found: "all".to_owned(),
    };
    let (policy, _) = lower::policy(&NetworkPolicy::default(), &[Unread { path, kind }]);
    assert_eq!(summarize(&policy), "in [] out []");
}

#[test]
fn a_name_that_the_api_server_refuses_keeps_the_meaning() {
    for (metadata, expected) in [
        (
            json!({ "namespace": "shop", "name": "Web" }),
            "metadata.name",
        ),
        (
            json!({ "namespace": "Shop", "name": "web" }),
            "metadata.namespace",
        ),
        (json!({ "namespace": "shop" }), "metadata.name"),
    ] {
        let (policy, problems) = lower_object(json!({
            "kind": "NetworkPolicy", "metadata": metadata, "spec": { "ingress": [{}] },
        }));
        let paths: Vec<String> = problems
            .iter()
            .map(|problem| problem.path.to_string())
            .collect();
        assert_eq!(paths, [expected]);
        assert!(matches!(problems[0].kind, ProblemKind::InvalidName { .. }));
        assert_eq!(summarize(&policy), "in [e] out -");
    }
}

#[test]
fn only_the_word_audit_takes_a_policy_out_of_force() {
    let lowered = |annotations: serde_json::Value| {
        let (policy, problems) = lower_object(json!({
            "kind": "NetworkPolicy",
            "metadata": { "namespace": "shop", "name": "web", "annotations": annotations },
            "spec": {},
        }));
        let problems = problems.iter().map(ToString::to_string);
        assert_eq!(policy.mode, policy.stated_mode.unwrap_or(Mode::Enforce));
        (policy.stated_mode, problems.collect::<Vec<_>>())
    };
    let mode = |mode: &str| lowered(json!({ "nopal.dev/mode": mode }));
    assert_eq!(mode("audit"), (Some(Mode::Audit), Vec::new()));
    assert_eq!(mode("enforce"), (Some(Mode::Enforce), Vec::new()));
    let without = lowered(json!({ "example.com/mode": "audit" }));
    assert_eq!(without, (None, Vec::new()));
    for word in ["Audit", " audit", "", "off"] {
        let message = format!(
            "NetworkPolicy shop/web: metadata.annotations[\"nopal.dev/mode\"]: unknown mode {word:?}: \
             use \"audit\" or \"enforce\"; the policy is enforced"
        );
        assert_eq!(mode(word), (Some(Mode::Enforce), vec![message]));
    }
}
