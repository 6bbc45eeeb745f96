//! Saved rules at an agent's start, and the table at its end: what is ours and what is not, and which mark bits count.
//! Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::kernel::Kernel;
use nft_backend::live::Update;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nopal_agent::dataplane::{KernelDataplane, Removed, Restored, remove, restore};
use nopal_agent::state::Saved;
use nopal_lab::{Connection, Lab, NodeSpec, PodSpec, Topology};
use policy_core::incremental::{Engine, Event};
use policy_core::testing::Objects;

const NODE: &str = "node-a";
const WEB: &str = "10.0.1.10";
const DB: &str = "10.0.1.11";

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

const ALLOWED: &str = "ingress: [{ports: [{port: 5432}]}]";
const DENIED: &str = "ingress: []";

fn lab() -> (Lab, Nft) {
    let pod = |name: &str, address: &str| PodSpec {
        name: name.to_owned(),
        node: NODE.to_owned(),
        addresses: vec![address.parse().unwrap()],
    };
    let node = NodeSpec {
        name: NODE.to_owned(),
        addresses: vec!["192.168.0.1".parse().unwrap()],
    };
    let topology = Topology {
        nodes: vec![node],
        pods: vec![pod("shop/web", WEB), pod("shop/db", DB)],
        externals: Vec::new(),
    };
    let lab = Lab::build(&topology, "nopal-saved").unwrap();
    let nft = Nft::new().in_namespace(lab.node_namespace(NODE).unwrap().path());
    (lab, nft)
}

/// The two pods, and a policy for `db`.
fn cluster(spec: &str) -> Vec<Event> {
    let pod = |name: &str, address: &str| {
        format!(
            "{{kind: Pod, metadata: {{namespace: shop, name: {name}, labels: {{app: {name}}}}}, \
             spec: {{nodeName: {NODE}, containers: []}}, status: {{podIPs: [{{ip: {address}}}]}}}}"
        )
    };
    let policy = format!(
        "{{kind: NetworkPolicy, metadata: {{namespace: shop, name: db}}, \
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, policyTypes: [Ingress], {spec}}}}}"
    );
    let yaml = [pod("web", WEB), pod("db", DB), policy].join("\n---\n");
    let cluster = Objects::from_yaml(&yaml).unwrap().cluster();
    let pods = cluster.pods().values();
    let pods = pods.map(|pod| Event::Pod(pod.as_ref().clone()));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(policy.as_ref().clone()));
    policies.chain(pods).collect()
}

fn with_marks(mask: u32) -> Config {
    Config {
        marks: Some(MarkBits::from_mask(mask).unwrap()),
        ..Config::default()
    }
}

/// As an agent that starts on the node does it.
fn put_in_force(nft: &Nft, config: &Config, spec: &str) -> (Update, Saved) {
    let notices = Notifications::of(nft, &config.table).unwrap();
    let kernel = Netlink::beside(nft.clone());
    let mut dataplane = KernelDataplane::new(NODE, config.clone(), kernel, notices).unwrap();
    let update = dataplane.enforce(&Engine::new(NODE).apply(cluster(spec)));
    (update.unwrap(), dataplane.copied().unwrap().saved())
}

fn bits_in_force(nft: &Nft, config: &Config) -> Option<MarkBits> {
    let in_force = nft.outline(&config.table).unwrap().unwrap();
    in_force.generation().map(|(bits, _)| bits)
}

fn run_nft(lab: &Lab, arguments: &[&str]) -> String {
    let work = || {
        std::process::Command::new("nft")
            .args(arguments)
            .output()
            .unwrap()
    };
    let output = lab.node_namespace(NODE).unwrap().run(work).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_table_that_somebody_else_made_is_neither_replaced_nor_taken_away() {
    let (lab, mut nft) = lab();
    let config = Config::default();
    let (_, saved) = put_in_force(&nft, &config, DENIED);
    assert_eq!(remove(&mut nft, &config).unwrap(), Removed::Gone);
    assert_eq!(remove(&mut nft, &config).unwrap(), Removed::NotThere);
    run_nft(&lab, &["add table inet nopal; add chain inet nopal theirs"]);
    let theirs = run_nft(&lab, &["list", "ruleset"]);
    let found = "chain theirs".to_owned();
    let restored = restore(&mut nft, &config, NODE, &saved).unwrap();
    assert_eq!(
        restored,
        Restored::TableOfOthers {
            found: found.clone()
        }
    );
    assert_eq!(
        remove(&mut nft, &config).unwrap(),
        Removed::OfOthers { found }
    );
    assert_eq!(run_nft(&lab, &["list", "ruleset"]), theirs);
}

#[test]
fn what_a_first_load_left_that_was_cut_off_makes_way() {
    let (_lab, mut nft) = lab();
    let config = Config::default();
    let (_, saved) = put_in_force(&nft, &config, DENIED);
    remove(&mut nft, &config).unwrap();
    nft.apply_saved(saved.create.as_bytes()).unwrap();
    let again = |nft: &mut Nft| restore(nft, &config, NODE, &saved).unwrap();
    assert_eq!(again(&mut nft), Restored::Loaded);
    assert_eq!(again(&mut nft), Restored::InForceAlready);
}

/// The mask of an agent is changed, with and without a boot in between.
#[test]
fn an_agent_with_other_mark_bits_goes_on_from_what_it_finds() {
    let (_lab, mut nft) = lab();
    let (former, new) = (with_marks(0xff00_0000), with_marks(0x0ff0));
    let (_, saved) = put_in_force(&nft, &former, DENIED);
    let (update, _) = put_in_force(&nft, &new, DENIED);
    assert_eq!(
        (update, bits_in_force(&nft, &new)),
        (Update::Load, new.marks)
    );
    remove(&mut nft, &new).unwrap();
    assert_eq!(
        restore(&mut nft, &new, NODE, &saved).unwrap(),
        Restored::Unmarked
    );
    assert_eq!(bits_in_force(&nft, &new), None);
    let (update, _) = put_in_force(&nft, &new, DENIED);
    assert_eq!(
        (update, bits_in_force(&nft, &new)),
        (Update::Load, new.marks)
    );
}

/// The table went and conntrack's entries did not, as when somebody flushes all rules and the agent starts again. The
/// flow carries the very number that the saved rules accept.
#[test]
fn saved_rules_believe_no_mark_that_was_there_before_them() {
    let (lab, mut nft) = lab();
    let (former, new) = (with_marks(0xff00_0000), with_marks(0x0ff0));
    let (_, saved) = put_in_force(&nft, &former, DENIED);
    remove(&mut nft, &former).unwrap();
    for (config, expected) in [(&former, Restored::Loaded), (&new, Restored::Unmarked)] {
        put_in_force(&nft, &former, ALLOWED);
        let ends = (WEB.parse().unwrap(), DB.parse().unwrap());
        let mut flow = Connection::open(&lab, ends.0, ends.1, 5432, LONG).unwrap();
        assert!(flow.exchange(LONG));
        remove(&mut nft, &former).unwrap();
        assert_eq!(restore(&mut nft, config, NODE, &saved).unwrap(), expected);
        assert!(!flow.exchange(SHORT) && !flow.push(SHORT), "{expected:?}");
        remove(&mut nft, &former).unwrap();
    }
}
