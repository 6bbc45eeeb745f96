//! Rules: peers, blocks, ports and selectors.

use crate::{check, lower_spec, summarize};
use policy_core::ProblemKind;

#[test]
fn a_peer_that_is_not_understood_closes_its_rule_and_no_other() {
    let empty = "empty peer: give a podSelector, a namespaceSelector or an ipBlock";
    let beside = "ipBlock stands beside a selector: make them two peers";
    check(&[
        (
            "{ingress: [{from: [{}]}, {}]}",
            &[("spec.ingress[0].from[0]", empty)],
            "in [xe] out -",
        ),
        (
            "{ingress: [{from: [null]}]}",
            &[("spec.ingress[0].from[0]", empty)],
            "in [x] out -",
        ),
        (
            "{egress: [{}, {to: [{podSelector: {}}, {}]}]}",
            &[("spec.egress[1].to[1]", empty)],
            "in [] out [ex]",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}",
            &[("spec.ingress[0].from[0]", beside)],
            "in [x] out -",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]}]}",
            &[("spec.ingress[0].from[0]", beside)],
            "in [x] out -",
        ),
    ]);
}

#[test]
fn a_block_that_is_not_understood_closes_its_rule() {
    check(&[
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.cidr",
                "\"10.0.0.0\" is no CIDR: write an address and a prefix, such as 10.0.0.0/24",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{from: [{ipBlock: {}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.cidr",
                "\"\" is no CIDR: write an address and a prefix, such as 10.0.0.0/24",
            )],
            "in [x] out -",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, ten]}}]}]}",
            &[(
                "spec.egress[0].to[0].ipBlock.except[1]",
                "\"ten\" is no CIDR: write an address and a prefix, such as 10.0.0.0/24",
            )],
            "in [] out [x]",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.except[0]",
                "except 11.0.0.0/16 is no strict part of cidr 10.0.0.0/8",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.except[0]",
                "except 10.0.0.0/8 is no strict part of cidr 10.0.0.0/8",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: ['fd00::/8']}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.except[0]",
                "except fd00::/8 is no strict part of cidr 0.0.0.0/0",
            )],
            "in [x] out -",
        ),
    ]);
}

#[test]
fn a_block_in_an_older_spelling_stays_in_force() {
    check(&[
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.7/24}}]}]}",
            &[(
                "spec.ingress[0].from[0].ipBlock.cidr",
                "\"10.0.0.7/24\" is refused by today's API server and read as 10.0.0.0/24",
            )],
            "in [p] out -",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: '::ffff:10.0.0.0/104', except: [010.001.000.000/16]}}]}]}",
            &[
                (
                    "spec.ingress[0].from[0].ipBlock.cidr",
                    "\"::ffff:10.0.0.0/104\" is refused by today's API server and read as 10.0.0.0/8",
                ),
                (
                    "spec.ingress[0].from[0].ipBlock.except[0]",
                    "\"010.001.000.000/16\" is refused by today's API server and read as 10.1.0.0/16",
                ),
            ],
            "in [p] out -",
        ),
    ]);
}

#[test]
fn a_port_that_is_not_understood_closes_its_rule() {
    let unknown_icmp = "unknown protocol \"ICMP\": use \"TCP\", \"UDP\" or \"SCTP\"";
    let unknown_tcp = "unknown protocol \"tcp\": use \"TCP\", \"UDP\" or \"SCTP\"";
    check(&[
        (
            "{ingress: [{ports: [{protocol: ICMP}]}]}",
            &[("spec.ingress[0].ports[0].protocol", unknown_icmp)],
            "in [x] out -",
        ),
        (
            "{ingress: [{ports: [{port: 80}, {port: 80, protocol: tcp}]}]}",
            &[("spec.ingress[0].ports[1].protocol", unknown_tcp)],
            "in [x] out -",
        ),
        (
            "{ingress: [{ports: [{port: 0}]}]}",
            &[(
                "spec.ingress[0].ports[0].port",
                "port 0 is outside 1 to 65535",
            )],
            "in [x] out -",
        ),
        (
            "{egress: [{ports: [{port: 65536}]}]}",
            &[(
                "spec.egress[0].ports[0].port",
                "port 65536 is outside 1 to 65535",
            )],
            "in [] out [x]",
        ),
        (
            "{ingress: [{ports: [{port: 80, endPort: 79}]}]}",
            &[(
                "spec.ingress[0].ports[0].endPort",
                "endPort 79 is below port 80",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{ports: [{port: 80, endPort: 65536}]}]}",
            &[(
                "spec.ingress[0].ports[0].endPort",
                "port 65536 is outside 1 to 65535",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{ports: [{port: http, endPort: 90}]}]}",
            &[(
                "spec.ingress[0].ports[0].endPort",
                "endPort needs a numeric port, not the name \"http\"",
            )],
            "in [x] out -",
        ),
        (
            "{ingress: [{ports: [{endPort: 90}]}]}",
            &[("spec.ingress[0].ports[0].endPort", "endPort needs a port")],
            "in [x] out -",
        ),
    ]);
}

#[test]
fn a_port_name_is_an_iana_service_name() {
    for name in [
        "80",
        "",
        "a-name-too-long-",
        "sixteen-letters-x",
        "HTTP",
        "a--b",
        "-a",
        "a-",
        "a_b",
        "a.b",
    ] {
        let (policy, problems) =
            lower_spec(&format!("{{ingress: [{{ports: [{{port: '{name}'}}]}}]}}"));
        assert!(
            matches!(&problems[0].kind, ProblemKind::InvalidPortName { written } if written == name)
        );
        assert_eq!(
            problems[0].path.to_string(),
            "spec.ingress[0].ports[0].port"
        );
        assert_eq!(summarize(&policy), "in [x] out -", "{name:?}");
    }
    for name in ["a", "http", "8a", "a-b-c", "fifteen-letters"] {
        let (policy, problems) =
            lower_spec(&format!("{{ingress: [{{ports: [{{port: {name}}}]}}]}}"));
        assert_eq!(
            (problems.as_slice(), summarize(&policy).as_str()),
            (&[][..], "in [e] out -")
        );
    }
}

#[test]
fn a_selector_that_is_not_understood_closes_its_rule() {
    let base = "spec.ingress[0].from[0].podSelector.matchExpressions[0]";
    let rows: [(&str, &str, &str); 9] = [
        (
            "{key: app, operator: Equals, values: [a]}",
            ".operator",
            "unknown operator \"Equals\": use \"In\", \"NotIn\", \"Exists\" or \"DoesNotExist\"",
        ),
        (
            "{key: app, operator: in, values: [a]}",
            ".operator",
            "unknown operator \"in\": use \"In\", \"NotIn\", \"Exists\" or \"DoesNotExist\"",
        ),
        (
            "{key: app, operator: In}",
            ".values",
            "operator In needs values",
        ),
        (
            "{key: app, operator: NotIn, values: []}",
            ".values",
            "operator NotIn needs values",
        ),
        (
            "{key: app, operator: Exists, values: [a]}",
            ".values",
            "operator Exists must not have values",
        ),
        (
            "{key: app, operator: DoesNotExist, values: [a]}",
            ".values",
            "operator DoesNotExist must not have values",
        ),
        (
            "{key: -app, operator: Exists}",
            ".key",
            "\"-app\" is no valid label key",
        ),
        ("{operator: Exists}", ".key", "\"\" is no valid label key"),
        (
            "{key: app, operator: In, values: [a, b b]}",
            ".values[1]",
            "\"b b\" is no valid label value",
        ),
    ];
    for (expression, field, message) in rows {
        let spec = format!(
            "{{ingress: [{{from: [{{podSelector: {{matchExpressions: [{expression}]}}}}]}}]}}"
        );
        let (policy, problems) = lower_spec(&spec);
        let [problem] = problems.as_slice() else {
            panic!("{spec}: {problems:?}")
        };
        assert_eq!(problem.path.to_string(), format!("{base}{field}"), "{spec}");
        assert_eq!(problem.kind.to_string(), message, "{spec}");
        assert_eq!(summarize(&policy), "in [x] out -", "{spec}");
    }
    check(&[
        (
            "{egress: [{to: [{namespaceSelector: {matchLabels: {Example.com/x: a}}}]}]}",
            &[(
                "spec.egress[0].to[0].namespaceSelector.matchLabels[\"Example.com/x\"]",
                "\"Example.com/x\" is no valid label key",
            )],
            "in [] out [x]",
        ),
        (
            "{egress: [{to: [{namespaceSelector: {matchLabels: {app: a-}}}]}]}",
            &[(
                "spec.egress[0].to[0].namespaceSelector.matchLabels.app",
                "\"a-\" is no valid label value",
            )],
            "in [] out [x]",
        ),
    ]);
}
