//! A guarded table in the kernel: what others do to it is undone at once, as packets see it. Needs root, nft and ip,
//! and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how long repairs took is part of the result"
)]

mod common;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::netns::Netns;
use common::pair::{DB, NODE, WEB, build, in_each_family, rules};
use common::wire::seen;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::guard::{Guard, Handled, Repair};
use nft_backend::kernel::Kernel;
use nft_backend::live::Update;
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nft_backend::pace::INTERVAL;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Connection, Namespace, Probe, ProbeKind, Seen, Stream, Traffic};

/// Web may reach this port of db.
const ONE_PORT: &str = "policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], \
                        ports: [{port: 7000}]}]";
const DENY_ALL: &str = "policyTypes: [Ingress]";
const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);
/// The guard looks so often whether the test has ended.
const STEP: Duration = Duration::from_millis(200);
/// Datagrams a second.
const RATE: u32 = 10_000;
const FLUSHES: u32 = 5;
/// More elements than the socket has room for.
const MANY: u32 = 250_000;
/// What the issue asks for, from the change to the repair.
const LIMIT: Duration = Duration::from_millis(100);
/// The best of several tries counts, so that other work on the machine cannot make the test fail.
const TRIES: usize = 3;
/// More tries while none was quick enough; each has to be repaired.
const MOST_TRIES: usize = 10;
/// Where the machine is so busy that the stranger's nft takes more than a tenth of the limit, so many times as long
/// as that is allowed.
const SLOWER: u32 = 10;

type Guarded = Guard<Nft, Notifications>;

fn guard(kernel: &Nft) -> Guarded {
    let config = Config::default();
    let notices = Notifications::of(kernel, &config.table).unwrap();
    let mut guard = Guard::new(kernel.clone(), notices, config);
    let update = guard.update(desired()).unwrap();
    assert_eq!(update, Update::Load);
    assert_eq!(guard.wait(Duration::ZERO).unwrap(), Handled::Quiet);
    guard
}

fn desired() -> Ruleset {
    rules(ONE_PORT, &Config::default())
}

fn nft(namespace: &Namespace, command: &str) -> String {
    let run = || Command::new("nft").arg(command).output();
    let output = namespace.run(run).unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {command}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first name in force that begins so and has this part: `i_` is the class chain, `i_` with `_h4_` its set.
fn name_of(kernel: &Nft, beginning: &str, part: &str) -> String {
    let in_force = kernel.list(&Config::default().table).unwrap().unwrap();
    let names = in_force
        .chains
        .keys()
        .chain(in_force.sets.keys())
        .chain(in_force.maps.keys());
    let mut found = names
        .map(Name::as_str)
        .filter(|name| name.starts_with(beginning) && name.contains(part));
    found
        .next()
        .unwrap_or_else(|| panic!("no {beginning}{part} in {in_force:?}"))
        .to_owned()
}

fn assert_right(kernel: &Nft, context: &str) {
    let in_force = kernel.list(&Config::default().table).unwrap().unwrap();
    assert_eq!(drift(&desired(), &in_force), [], "{context}");
    assert_eq!(in_force.digest(), Some(desired().digest()), "{context}");
}

fn expect_repair(guard: &mut Guarded, context: &str) -> Repair {
    match guard.wait(LONG) {
        Ok(Handled::Repaired(repair)) => repair,
        other => panic!("{context}: {other:?}"),
    }
}

/// What a stranger does, and how it is repaired.
struct Attack {
    command: fn(&Nft) -> String,
    told: &'static str,
    repair: Update,
}

const ATTACKS: [Attack; 12] = [
    Attack {
        command: |_| "delete table inet nopal".to_owned(),
        told: "table nopal deleted",
        repair: Update::Load,
    },
    Attack {
        command: |_| "flush table inet nopal".to_owned(),
        told: "deleted",
        repair: Update::Load,
    },
    Attack {
        command: |kernel| {
            let map = name_of(kernel, "in4_", "");
            let class = name_of(kernel, "i_", "");
            format!("delete element inet nopal {map} {{ 10.0.1.11 : goto {class} }}")
        },
        told: "1 element of in4_",
        repair: Update::Increment,
    },
    Attack {
        command: |kernel| {
            let set = name_of(kernel, "i_", "_h4_");
            format!("add element inet nopal {set} {{ 10.0.1.10 . tcp . 7001 }}")
        },
        told: "_h4_e",
        repair: Update::Increment,
    },
    Attack {
        command: |kernel| format!("flush chain inet nopal {}", name_of(kernel, "ingress_", "")),
        told: "of ingress_",
        repair: Update::Load,
    },
    Attack {
        command: |_| "insert rule inet nopal nopal_forward accept".to_owned(),
        told: "1 rule of nopal_forward added",
        repair: Update::Load,
    },
    Attack {
        command: |_| {
            "delete table inet nopal; table inet nopal { chain nopal_forward { \
             type filter hook forward priority 10; accept; }; }"
                .to_owned()
        },
        told: "table nopal deleted",
        repair: Update::Load,
    },
    Attack {
        command: |_| "add table inet nopal { flags dormant; }".to_owned(),
        told: "table nopal added",
        repair: Update::Load,
    },
    Attack {
        command: |_| "add chain inet nopal nopal_forward { policy drop; }".to_owned(),
        told: "chain nopal_forward added",
        repair: Update::Load,
    },
    Attack {
        command: |kernel| format!("flush set inet nopal {}", name_of(kernel, "self4_", "")),
        told: "of self4_",
        repair: Update::Switch,
    },
    // The mark of every flow that was never evaluated.
    Attack {
        command: |kernel| {
            let set = name_of(kernel, "generation_", "");
            format!("add element inet nopal {set} {{ 0 }}")
        },
        told: "1 element of generation_",
        repair: Update::Load,
    },
    Attack {
        command: |kernel| {
            format!(
                "flush set inet nopal {}",
                name_of(kernel, "generation_", "")
            )
        },
        told: "of generation_",
        repair: Update::Load,
    },
];

/// The guard at work in a thread of its own, as an agent has it.
struct Watch {
    repairs: mpsc::Receiver<(Instant, Repair)>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Guarded>,
}

impl Watch {
    fn start(mut guard: Guarded) -> Self {
        let (sender, repairs) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Handled::Repaired(repair) = guard.wait(STEP).unwrap() {
                    sender.send((Instant::now(), repair)).unwrap();
                }
            }
            guard
        });
        Self {
            repairs,
            stop,
            thread,
        }
    }

    fn next(&self, context: &str) -> (Instant, Repair) {
        let repaired = self.repairs.recv_timeout(LONG);
        repaired.unwrap_or_else(|error| panic!("{context}: no repair: {error}"))
    }

    fn stop(self) -> Guarded {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The time counts from before the stranger's nft is started, to the end of the repair.
#[test]
fn whatever_others_do_to_the_table_is_undone_within_a_moment() {
    let (lab, kernel) = build("nopal-guard");
    let node = lab.node_namespace(NODE).unwrap();
    let other = "table inet other { counter seen { }; set s { type inet_service; elements = { 7002 }; }; \
                 chain c { type filter hook forward priority -10; counter name seen; }; }";
    nft(node, other);
    let probes = probes();
    let guard = guard(&kernel);
    assert_eq!(seen(&lab, &probes), expected());
    let list = "list table inet other";
    let (watch, mut made) = (Watch::start(guard), 0);
    for attack in &ATTACKS {
        let (mut best, mut is_quick, before) = (Duration::MAX, false, nft(node, list));
        assert!(!before.contains("packets 0"), "{before}");
        for tried in 0..MOST_TRIES {
            if tried >= TRIES && is_quick {
                break;
            }
            made += 1;
            let command = (attack.command)(&kernel);
            let start = Instant::now();
            nft(node, &command);
            let own = start.elapsed();
            let (end, repair) = watch.next(&command);
            best = best.min(end - start);
            is_quick |= end - start < LIMIT.max(own * SLOWER);
            assert_right(&kernel, &command);
            assert_eq!(repair.update, attack.repair, "{command}");
            let told: Vec<String> = repair.commits.iter().map(ToString::to_string).collect();
            let told = told.join("; ");
            assert!(
                told.contains(attack.told) && told.contains("(nft)"),
                "{command}: {told}"
            );
            // So that the burst of repairs at once does not come to its end.
            thread::sleep(INTERVAL);
        }
        println!("{best:?} for {}", attack.told);
        assert!(is_quick, "{best:?} for {}", attack.told);
        assert_eq!(nft(node, list), before, "{}", attack.told);
        assert_eq!(seen(&lab, &probes), expected(), "{}", attack.told);
    }
    assert_eq!(watch.stop().repairs(), made);
}
/// Flows that got in while the table was open do not stay, and those that are allowed lose nothing.
///
/// Another table has conntrack run all the time, as kube-proxy's does. Without any, a flow that begins in the gap is
/// unknown to conntrack, and the next packet of its server begins another flow, which may be allowed.
#[test]
fn flows_that_came_in_through_the_gap_are_cut() {
    let (lab, kernel) = build("nopal-gap");
    let node = lab.node_namespace(NODE).unwrap();
    let proxy = "table inet proxy { chain c { type filter hook forward priority 50; ct state new counter; }; }";
    nft(node, proxy);
    let mut guard = guard(&kernel);
    let opened = |kernel: &Nft| {
        let families = WEB.into_iter().zip(["_h4_", "_h6_"]);
        let add = |(web, part)| {
            let set = name_of(kernel, "i_", part);
            format!("add element inet nopal {set} {{ {web} . tcp . {DENIED} }};")
        };
        families.map(add).collect::<String>()
    };
    let attacks: [fn(&Nft) -> String; 3] = [
        opened,
        |_| "insert rule inet nopal nopal_forward accept".to_owned(),
        |_| "delete table inet nopal".to_owned(),
    ];
    for attack in attacks {
        for (web, db) in in_each_family(WEB, DB) {
            let open = |port| Connection::open(&lab, web, db, port, LONG).unwrap();
            let (mut allowed, command) = (open(ALLOWED), attack(&kernel));
            nft(node, &command);
            let mut denied = open(DENIED);
            assert!(denied.exchange(LONG) && denied.push(LONG), "{command}");
            expect_repair(&mut guard, &command);
            assert!(!denied.exchange(SHORT) && !denied.push(SHORT), "{command}");
            assert!(allowed.exchange(LONG) && allowed.push(LONG), "{command}");
        }
    }
}

/// A prober that runs all the time sees the table go, and come back.
#[test]
fn a_flushed_ruleset_is_closed_again_under_traffic() {
    let (lab, kernel) = build("nopal-flush");
    let node = lab.node_namespace(NODE).unwrap();
    let watch = Watch::start(guard(&kernel));
    let (from, to) = in_each_family(WEB, DB)[0];
    let denied = Stream {
        from,
        to,
        port: DENIED,
    };
    let traffic = Traffic::start(&lab, &[denied], RATE).unwrap();
    for _ in 0..FLUSHES {
        nft(node, "flush ruleset");
        let (_, repair) = watch.next("flush ruleset");
        assert!(
            repair.commits[0]
                .to_string()
                .contains("table nopal deleted"),
            "{repair:?}"
        );
        thread::sleep(Duration::from_millis(300));
    }
    let [leaked] = traffic.stop()[..] else {
        panic!("one stream")
    };
    assert!(leaked.received < leaked.sent, "{leaked:?}");
    let after = Traffic::start(&lab, &[denied], RATE).unwrap();
    thread::sleep(Duration::from_millis(500));
    let [closed] = after.stop()[..] else {
        panic!("one stream")
    };
    println!(
        "{} of {} datagrams leaked around {FLUSHES} flushes",
        leaked.received, leaked.sent
    );
    assert!(closed.sent > 0 && closed.received == 0, "{closed:?}");
    assert_eq!(watch.stop().repairs(), u64::from(FLUSHES));
}

#[test]
fn what_was_lost_is_found_by_comparing() {
    let netns = Netns::new();
    let kernel = Nft::new().in_namespace(netns.path());
    let mut guard = guard(&kernel);
    netns.run(&[
        "nft",
        &format!("flush set inet nopal {}", name_of(&kernel, "i_", "_h4_")),
    ]);
    let elements: Vec<String> = (0..MANY)
        .map(|number| Ipv4Addr::from_bits(number).to_string())
        .collect();
    let many = format!(
        "table ip many {{ set s {{ type ipv4_addr; elements = {{ {} }}; }}; }}",
        elements.join(", ")
    );
    netns.load(&many);
    let repair = expect_repair(&mut guard, "messages lost");
    assert_eq!(repair.update, Update::Increment);
    assert_right(&kernel, "messages lost");
    netns.load(&format!("delete table ip many; {many}"));
    assert_eq!(guard.wait(LONG).unwrap(), Handled::Intact);
    assert_eq!(guard.repairs(), 1);
}

#[test]
fn own_changes_and_those_of_other_tables_are_no_reason_to_look() {
    let netns = Netns::new();
    let kernel = Nft::new().in_namespace(netns.path());
    let mut guard = guard(&kernel);
    for spec in [
        DENY_ALL,
        ONE_PORT,
        "policyTypes: [Ingress, Egress]",
        ONE_PORT,
    ] {
        netns.run(&[
            "nft",
            "add table ip nopal; add chain ip nopal c; delete table ip nopal",
        ]);
        netns.run(&[
            "nft",
            "add table inet nopal_too; add chain inet nopal_too c",
        ]);
        guard.update(rules(spec, &Config::default())).unwrap();
        assert_eq!(
            guard.wait(Duration::ZERO).unwrap(),
            Handled::Quiet,
            "{spec}"
        );
    }
    assert_eq!(guard.verify().unwrap(), Handled::Intact);
    assert_eq!(guard.repairs(), 0);
}

fn probes() -> Vec<Probe> {
    let ends = in_each_family(WEB, DB).into_iter();
    ends.flat_map(|(from, to)| {
        [ALLOWED, DENIED].map(|port| Probe {
            from,
            to,
            kind: ProbeKind::Tcp(port),
        })
    })
    .collect()
}

fn expected() -> Vec<Seen> {
    [Seen::Passed, Seen::Blocked].repeat(2)
}
