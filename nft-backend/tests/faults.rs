//! What goes wrong around nft, in the kernel: it is killed, hangs, is refused, prints what nobody understands, or finds
//! another table than we know of. What both rulesets deny never passes, what both allow always does, and the next
//! update makes all right. Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how often nft was killed is part of the result"
)]

mod common;

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::netns::Netns;
use common::pair::{DB, WEB, build, in_each_family, rules};
use common::wire::seen;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::guard::{Guard, GuardError, Handled};
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::{Live, Update, UpdateError};
use nft_backend::load::LoadError;
use nft_backend::names::{BASE, Name};
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::Transaction;
use nopal_lab::{Lab, Probe, ProbeKind, Seen, feasible, patient};
use policy_core::testing::Rng;
use tempfile::TempDir;

/// What the old ruleset allows, the new one, both, and none.
const OLD: u16 = 7000;
const NEW: u16 = 7001;
const BOTH: u16 = 7002;
const NONE: u16 = 7003;
/// For nft that hangs; long enough for one that works, on a machine that needs no patience.
const LIMIT: Duration = Duration::from_secs(4);
/// How much longer than its limit nft hangs.
const LONGER: u32 = 10;
/// How many updates are killed at a random moment, and the elements that each changes.
const KILLS: u32 = 50;
const BLOCKS: u32 = 300;
const DONE: &str = "nft \"$@\"";

/// A ruleset in which `db` can be reached by `web` on these ports.
fn allowing(ports: &[u16]) -> Ruleset {
    let mut written = String::new();
    for port in ports {
        write!(written, "{{port: {port}}}, ").unwrap();
    }
    let from = "from: [{podSelector: {matchLabels: {app: web}}}]";
    let spec = format!("policyTypes: [Ingress], ingress: [{{{from}, ports: [{written}]}}]");
    rules(&spec, &Config::default())
}

/// nft in a folder of its own, of which a chosen transaction goes wrong.
struct Faulty(TempDir);

impl Faulty {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The tables of `kernel`; `fault` is a script in the place of nft for the transaction of this number, from 1.
    fn kernel(&self, kernel: &Nft, number: usize, fault: &str) -> Nft {
        let folder = self.0.path().display();
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = '-j -f -' ] || exec nft \"$@\"\n\
             echo >> {folder}/count\n\
             [ $(wc -l < {folder}/count) = {number} ] || exec nft \"$@\"\n{fault}\n"
        );
        let _ = fs::remove_file(self.0.path().join("count"));
        self.write(kernel, &script)
    }

    fn write(&self, kernel: &Nft, script: &str) -> Nft {
        let path = self.0.path().join("nft");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        kernel.clone().with_program(path)
    }
}

fn assert_in_force(kernel: &Nft, desired: &Ruleset, context: &str) {
    let in_force = kernel.list(&desired.table).unwrap().unwrap();
    assert_eq!(drift(desired, &in_force), [], "{context}");
    assert_eq!(in_force.digest(), Some(desired.digest()), "{context}");
}

fn assert_seen(lab: &Lab, expected: &[(u16, Seen)], context: &str) {
    let probes: Vec<Probe> = in_each_family(WEB, DB)
        .into_iter()
        .flat_map(|(from, to)| {
            expected.iter().map(move |(port, _)| Probe {
                from,
                to,
                kind: ProbeKind::Tcp(*port),
            })
        })
        .collect();
    let expected: Vec<Seen> = expected.iter().map(|(_, seen)| *seen).collect();
    assert_eq!(seen(lab, &probes), expected.repeat(2), "{context}");
}

#[test]
fn whatever_happens_to_nft_the_table_is_never_half_open() {
    let (lab, kernel) = build("nopal-faults");
    let config = Config::default();
    let (old, new) = (allowing(&[OLD, BOTH]), allowing(&[NEW, BOTH]));
    let no_memory = "echo 'Error: Could not process rule: Cannot allocate memory' >&2; exit 1";
    let limit = patient(LIMIT);
    let hang = (limit * LONGER).as_secs();
    let faults = [
        ("killed before", "kill -9 $$".to_owned(), ApplyError::Killed),
        (
            "killed after",
            format!("{DONE}; kill -9 $$"),
            ApplyError::Killed,
        ),
        (
            "hangs after",
            format!("{DONE}; sleep {hang}"),
            ApplyError::TimedOut { limit },
        ),
        (
            "refused",
            no_memory.to_owned(),
            ApplyError::Refused {
                stderr: "Error: Could not process rule: Cannot allocate memory".to_owned(),
            },
        ),
    ];
    for (name, fault, expected) in &faults {
        for is_load in [true, false] {
            let mut failed = 0;
            for number in 1.. {
                let mut live = Live::new(config.clone());
                live.update(&mut kernel.clone(), &old).unwrap();
                if is_load {
                    live.forget();
                }
                let stand_in = Faulty::new();
                let mut broken = stand_in.kernel(&kernel, number, fault).with_limit(limit);
                let context = format!("{name}, a load: {is_load}, transaction {number}");
                let error = match live.update(&mut broken, &new) {
                    Ok(_) => break,
                    Err(
                        UpdateError::Load(LoadError::Step { source, .. })
                        | UpdateError::Step { source, .. },
                    ) => source,
                    Err(error) => panic!("{context}: {error}"),
                };
                assert_eq!(error, *expected, "{context}");
                assert_seen(
                    &lab,
                    &[(BOTH, Seen::Passed), (NONE, Seen::Blocked)],
                    &context,
                );
                live.update(&mut kernel.clone(), &new).unwrap();
                assert_in_force(&kernel, &new, &context);
                failed = number;
            }
            assert_eq!(failed, if is_load { 3 } else { 2 }, "{name}");
            let seen = [
                (OLD, Seen::Blocked),
                (NEW, Seen::Passed),
                (NONE, Seen::Blocked),
            ];
            assert_seen(&lab, &seen, name);
        }
    }
}

/// nft itself, which is told to print what it did into a pipe that nobody empties: it hangs behind its transaction.
fn hanging_behind(folder: &Faulty) -> String {
    let pipe = folder.0.path().join("pipe").display().to_string();
    format!(
        "mkfifo {pipe}; exec 3<> {pipe}; timeout 1 dd if=/dev/zero bs=64k count=1 >&3 2> /dev/null\n\
         exec nft -e \"$@\" > {pipe}"
    )
}

#[test]
fn an_nft_of_ours_that_is_stopped_behind_its_transaction_is_no_stranger() {
    let (old, new) = (allowing(&[OLD, BOTH]), allowing(&[NEW, BOTH]));
    let limit = patient(LIMIT);
    // The first two are the first load.
    for number in 3..=4 {
        let netns = Netns::new();
        let kernel = Nft::new().in_namespace(netns.path());
        let stand_in = Faulty::new();
        let hanging = hanging_behind(&stand_in);
        let hanging = stand_in.kernel(&kernel, number, &hanging).with_limit(limit);
        let config = Config::default();
        let notices = Notifications::of(&kernel, &config.table).unwrap();
        let mut guard = Guard::new(hanging, notices, config);
        guard.update(old.clone()).unwrap();
        assert_eq!(guard.handle().unwrap(), Handled::Quiet);
        let Err(GuardError::Update(UpdateError::Step { source, .. })) = guard.update(new.clone())
        else {
            panic!("transaction {number} did not hang")
        };
        assert_eq!(source, ApplyError::TimedOut { limit });
        let handled = guard.handle().unwrap();
        let is_ours = matches!(handled, Handled::Intact | Handled::Updated(_));
        assert!(is_ours, "transaction {number}: {handled:?}");
        assert_eq!(guard.repairs(), 0);
        assert_in_force(&kernel, &new, "after the one that hung");
    }
}

/// A kernel that is changed by an nft which is killed while it works, where that is wanted, beside one in memory that
/// knows what comes of each transaction.
struct Deadly {
    kernel: Nft,
    stand_in: Faulty,
    known: FakeKernel,
    /// What a run takes that nobody kills.
    usual: Duration,
    rng: Option<Rng>,
    killed: [usize; 2],
}

impl Deadly {
    fn new(kernel: &Nft) -> Self {
        Self {
            kernel: kernel.clone(),
            stand_in: Faulty::new(),
            known: FakeKernel::new(),
            usual: Duration::ZERO,
            rng: None,
            killed: [0; 2],
        }
    }

    /// Nft, killed at some moment of its usual time, or a little later.
    fn killed_at(&self, delay: Duration) -> Nft {
        let seconds = delay.as_secs_f64();
        let script = format!(
            "#!/bin/sh\n(sleep {seconds:.6}; kill -9 $$) > /dev/null 2>&1 &\nexec nft \"$@\"\n"
        );
        self.stand_in.write(&self.kernel, &script)
    }

    fn carry_out(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let Some(rng) = &mut self.rng else {
            let start = Instant::now();
            let applied = self.kernel.apply(transaction);
            self.usual = self.usual.max(start.elapsed());
            return applied;
        };
        // Rather early than late: much of the time is the kernel's, which cannot be killed.
        let share = u32::try_from(rng.below(110).pow(2) / 100).unwrap();
        self.killed_at(self.usual * share / 100).apply(transaction)
    }
}

impl Kernel for Deadly {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let mut after = self.known.clone();
        after.apply(transaction)?;
        let applied = self.carry_out(transaction);
        let found = self.kernel.list(&transaction.table).unwrap();
        let expected = [&self.known, &after].map(|known| known.list(&transaction.table).unwrap());
        let state = expected.iter().rposition(|expected| *expected == found);
        let state = state.unwrap_or_else(|| panic!("neither before nor after\n{transaction}"));
        match &applied {
            Ok(()) => assert_eq!(state, 1),
            Err(error) => {
                assert_eq!(*error, ApplyError::Killed);
                self.killed[state] += 1;
            }
        }
        if state == 1 {
            self.known = after;
        }
        applied
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.kernel.check(transaction)
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.list(table)
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.kernel.outline(table)
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        self.kernel.clear_marks(bits)
    }

    fn let_packets_through(&mut self) {
        self.kernel.let_packets_through();
    }
}

/// A ruleset in which `db` can be reached on this port by every other address of some.
fn blocks(port: u16) -> Ruleset {
    let block = |number: u32| {
        let address = Ipv4Addr::from_bits(0xac10_0000 + 2 * number);
        format!("{{ipBlock: {{cidr: {address}/32}}}}")
    };
    let blocks: Vec<String> = (0..BLOCKS).map(block).collect();
    let from = blocks.join(", ");
    let spec =
        format!("policyTypes: [Ingress], ingress: [{{from: [{from}], ports: [{{port: {port}}}]}}]");
    rules(&spec, &Config::default())
}

#[test]
fn an_nft_that_is_killed_at_any_moment_leaves_all_of_its_transaction_or_nothing() {
    let netns = Netns::new();
    let kernel = Nft::new().in_namespace(netns.path());
    let mut deadly = Deadly::new(&kernel);
    let mut live = Live::new(Config::default());
    let states = [OLD, NEW].map(blocks);
    for state in &states {
        live.update(&mut deadly, state).unwrap();
    }
    let rounds = feasible(KILLS);
    let mut failed = 0;
    for (round, state) in (0..rounds).zip(states.iter().cycle()) {
        if round % 5 == 0 {
            live.forget();
        }
        deadly.rng = Some(Rng::new(round.into()));
        let killed = live.update(&mut deadly, state);
        deadly.rng = None;
        failed += usize::from(killed.is_err());
        live.update(&mut deadly, state).unwrap();
        assert_in_force(&kernel, state, &format!("round {round}"));
    }
    let [before, after] = deadly.killed;
    println!(
        "{failed} of {rounds} updates killed, {before} before and {after} behind the kernel's part"
    );
    assert!(failed > 0, "no run was killed in time");
}

#[test]
fn a_first_load_that_fails_leaves_nothing_that_stops_the_next() {
    for number in 1..=2 {
        let netns = Netns::new();
        let kernel = Nft::new().in_namespace(netns.path());
        let (stand_in, desired) = (Faulty::new(), allowing(&[BOTH]));
        let mut broken = stand_in.kernel(&kernel, number, "kill -9 $$");
        let mut live = Live::new(Config::default());
        live.update(&mut broken, &desired).unwrap_err();
        assert_eq!(
            live.update(&mut kernel.clone(), &desired).unwrap(),
            Update::Load
        );
        assert_in_force(&kernel, &desired, "after the second load");
    }
}

#[test]
fn a_listing_that_is_cut_or_not_understood_changes_nothing() {
    let netns = Netns::new();
    let kernel = Nft::new().in_namespace(netns.path());
    let (old, new) = (allowing(&[OLD]), allowing(&[NEW]));
    let mut live = Live::new(Config::default());
    live.update(&mut kernel.clone(), &old).unwrap();
    let before = netns.run(&["nft", "list", "ruleset"]);
    for answer in [
        "nft \"$@\" | head -c 400",
        "echo garbage",
        "echo '{}'",
        "true",
    ] {
        let stand_in = Faulty::new();
        let script =
            format!("#!/bin/sh\ncase \"$*\" in *list*) {answer};; *) exec nft \"$@\";; esac\n");
        let mut broken = stand_in.write(&kernel, &script);
        live.forget();
        match live.update(&mut broken, &new) {
            Err(UpdateError::Load(LoadError::Step { source, .. })) => {
                assert!(
                    matches!(source, ApplyError::NotUnderstood { .. }),
                    "{answer}: {source}"
                );
            }
            other => panic!("{answer}: {other:?}"),
        }
        assert_eq!(netns.run(&["nft", "list", "ruleset"]), before, "{answer}");
    }
    assert_eq!(
        live.update(&mut kernel.clone(), &new).unwrap(),
        Update::Load
    );
    assert_in_force(&kernel, &new, "after the cut listings");
}

/// Without a guard: the kernel refuses what cannot be, and the update after that starts from what it tells.
#[test]
fn what_is_there_already_and_what_is_gone_is_an_error_and_then_repaired() {
    let desired = || (allowing(&[OLD, BOTH]), allowing(&[NEW, BOTH]));
    let set = |kernel: &Nft| {
        let in_force = kernel.list(&Config::default().table).unwrap().unwrap();
        let mut names = in_force.sets.into_keys();
        names.find(|name| name.as_str().contains("_h4_")).unwrap()
    };
    // An element that the update takes away has gone, and so has the chain that it would use.
    let vanished: [fn(&str) -> String; 2] = [
        |set| format!("delete element inet nopal {set} {{ 10.0.1.10 . tcp . 7000 }}"),
        |set| {
            format!(
                "flush chain inet nopal {}; delete table inet nopal",
                set.replace("_h4", "")
            )
        },
    ];
    for command in vanished {
        let netns = Netns::new();
        let mut kernel = Nft::new().in_namespace(netns.path());
        let (old, new) = desired();
        let mut live = Live::new(Config::default());
        live.update(&mut kernel, &old).unwrap();
        let command = command(set(&kernel).as_str());
        netns.run(&["nft", &command]);
        let error = live.update(&mut kernel, &new).unwrap_err().to_string();
        assert!(
            error.contains("No such file or directory"),
            "{command}: {error}"
        );
        assert_eq!(
            live.update(&mut kernel, &new).unwrap(),
            Update::Load,
            "{command}"
        );
        assert_in_force(&kernel, &new, &command);
    }
    // An element that the update adds is there: that is as it should be.
    let netns = Netns::new();
    let mut kernel = Nft::new().in_namespace(netns.path());
    let (old, new) = desired();
    let mut live = Live::new(Config::default());
    live.update(&mut kernel, &old).unwrap();
    let name = set(&kernel);
    let add = format!("add element inet nopal {name} {{ 10.0.1.10 . tcp . 7001 }}");
    netns.run(&["nft", &add]);
    assert_eq!(live.update(&mut kernel, &new).unwrap(), Update::Increment);
    assert_in_force(&kernel, &new, &add);
    // Chains have the names that the update gives to its own.
    let other = rules("policyTypes: [Egress]", &Config::default());
    let mut taken = String::new();
    for chain in other.chains.keys().filter(|name| name.as_str() != BASE) {
        write!(taken, "add chain inet nopal {chain}_e2; ").unwrap();
    }
    netns.run(&["nft", &taken]);
    let error = live.update(&mut kernel, &other).unwrap_err().to_string();
    assert!(error.contains("File exists"), "{error}");
    assert_eq!(live.update(&mut kernel, &other).unwrap(), Update::Load);
    assert_in_force(&kernel, &other, &taken);
}
