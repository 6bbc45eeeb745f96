//! The tools that other tests stand on: flow tables, random clusters, shrinking.

use policy_core::testing::flow_table::{self, End, Family};
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flow, random_flows, shrink};
use policy_core::{Flow, FlowPort, Protocol, Verdict};
use serde_json::json;

#[test]
fn a_row_is_two_ends_a_port_a_verdict_and_reasons() {
    let table = "# from  to  port  verdict  because\n\n\
                 web/Deployment/front  198.51.100.7  sctp/9@v4  deny  web/a isolates egress; web/b isolates egress\n\
                 fd00::1               web/back      icmp       allow\n";
    let rows = flow_table::parse(table).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].line, 3);
    assert!(matches!(&rows[0].from, End::Pod(id) if id.to_string() == "web/Deployment/front"));
    assert_eq!(rows[0].to, End::Address("198.51.100.7".parse().unwrap()));
    assert_eq!(rows[0].port, FlowPort::Port(Protocol::Sctp, 9));
    assert_eq!(rows[0].family, Some(Family::V4));
    assert_eq!(rows[0].verdict, Verdict::Deny);
    assert_eq!(
        rows[0].because,
        ["web/a isolates egress", "web/b isolates egress"]
    );
    assert_eq!((rows[1].port, rows[1].family), (FlowPort::Other, None));
    assert!(rows[1].because.is_empty());
}

#[test]
fn a_wrong_row_is_named_by_its_line() {
    for (row, message) in [
        ("web/a", "no column \"to\""),
        ("web/a web/b tcp/80", "no column \"verdict\""),
        (
            "web web/b tcp/80 allow",
            "\"web\" is neither namespace/pod nor an address",
        ),
        (
            "web/a web/b tcp/65536 allow",
            "\"tcp/65536\" is no port: write tcp/N, udp/N, sctp/N or icmp",
        ),
        (
            "web/a web/b 80 allow",
            "\"80\" is no port: write tcp/N, udp/N, sctp/N or icmp",
        ),
        (
            "web/a web/b tcp/80@v5 allow",
            "\"v5\" is no family: write v4 or v6",
        ),
        (
            "web/a web/b tcp/80 drop",
            "\"drop\" is no verdict: write allow or deny",
        ),
    ] {
        let error = flow_table::parse(&format!("# a comment\n{row}\n")).unwrap_err();
        assert_eq!(error.to_string(), format!("line 2: {message}"));
    }
}

#[test]
fn a_row_holds_for_every_family_that_both_ends_have() {
    let pod = |name: &str, addresses: &[&str]| {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|address| json!({ "ip": address }))
            .collect();
        json!({
            "kind": "Pod",
            "metadata": { "namespace": "web", "name": name },
            "status": { "podIPs": addresses },
        })
    };
    let objects = Objects::read(vec![
        pod("dual", &["10.0.1.1", "fd00::1"]),
        pod("other", &["10.0.1.2", "fd00::2"]),
        pod("v6", &["fd00::3"]),
        pod("none", &[]),
    ])
    .unwrap();
    let cluster = objects.cluster();
    let flows = |row: &str| -> Result<Vec<String>, String> {
        let rows = flow_table::parse(row).unwrap();
        let flows = rows[0].flows(&cluster).map_err(|error| error.to_string())?;
        Ok(flows.iter().map(Flow::to_string).collect())
    };
    assert_eq!(
        flows("web/dual web/other tcp/80 allow").unwrap(),
        ["10.0.1.1 -> 10.0.1.2 80/TCP", "fd00::1 -> fd00::2 80/TCP"]
    );
    assert_eq!(
        flows("web/dual web/other tcp/80@v6 allow").unwrap(),
        ["fd00::1 -> fd00::2 80/TCP"]
    );
    assert_eq!(
        flows("web/dual web/v6 icmp allow").unwrap(),
        ["fd00::1 -> fd00::3 other"]
    );
    let nothing = "line 1: the ends have no address family in common that the row speaks of";
    assert_eq!(flows("10.0.1.1 web/v6 icmp allow").unwrap_err(), nothing);
    assert_eq!(flows("web/dual web/v6 icmp@v4 allow").unwrap_err(), nothing);
    assert_eq!(flows("web/none web/v6 icmp allow").unwrap_err(), nothing);
    assert_eq!(
        flows("web/gone web/v6 icmp allow").unwrap_err(),
        "line 1: the cluster has no pod web/gone"
    );
}

#[test]
fn seeds_stay_valid() {
    // The published first numbers of splitmix64.
    let mut rng = Rng::new(1_234_567);
    let first = [rng.bits(), rng.bits(), rng.bits()];
    assert_eq!(
        first,
        [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423
        ]
    );
    let [one, other] = [1, 1].map(|seed| random_cluster(seed, Size::MEDIUM).to_json_list());
    assert_eq!(one, other);
    let objects = random_cluster(1, Size::MEDIUM);
    assert_eq!(random_flow(&objects, 5), random_flows(&objects, 5, 9)[0]);
}

#[test]
fn a_random_cluster_reads_back_from_its_list() {
    let objects = random_cluster(3, Size::MEDIUM);
    let list = serde_json::from_str(&objects.to_json_list()).unwrap();
    let read = Objects::read(vec![list]).unwrap();
    assert_eq!(read.written(), objects.written());
    assert_eq!(read.policies(), objects.policies());
}

#[test]
fn shrinking_leaves_what_the_failure_needs() {
    let objects = random_cluster(3, Size::SMALL);
    let small = shrink(&objects, |objects| {
        objects.policies().iter().any(|(policy, _)| {
            policy
                .spec
                .as_ref()
                .is_some_and(|spec| spec.policy_types.is_some())
        })
    });
    let [policy] = small.written() else {
        panic!("one object is left")
    };
    assert_eq!(policy["kind"], "NetworkPolicy");
    assert_eq!(policy["spec"], json!({ "policyTypes": [] }));
}
