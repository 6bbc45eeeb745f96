//! Other bits of the conntrack mark come to hold the generation while flows stand: those that are allowed go on, those
//! that are not are cut. Needs root, nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::flows::{NEAR, alive, begin, ports, silent, translate_services};
use common::pair::{build, rules};
use common::ways::Way;
use common::wire::put_in_force;
use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::ruleset::Ruleset;

/// The first port of the flows that all states allow, and of those that only the first one does.
const KEPT: u16 = 6000;
const CUT: u16 = 6100;

fn with_marks(mask: Option<u32>) -> Config {
    Config {
        marks: mask.map(|mask| MarkBits::from_mask(mask).unwrap()),
        ..Config::default()
    }
}

fn state(firsts: &[u16], config: &Config) -> Ruleset {
    let listed = firsts.iter().flat_map(|first| {
        let (first, last) = (
            ports(*first).start().to_owned(),
            ports(*first).end().to_owned(),
        );
        ["TCP", "UDP"]
            .map(|protocol| format!("{{protocol: {protocol}, port: {first}, endPort: {last}}}"))
    });
    let listed = listed.collect::<Vec<_>>().join(", ");
    rules(&format!("ingress: [{{ports: [{listed}]}}]"), config)
}

/// The bits overlap, are apart, or are none at first. Several generations have come before, so that the former bits hold a
/// number that the new ones read as one of theirs.
#[test]
fn flows_are_judged_by_the_new_bits_from_the_first_packet_on() {
    for (former, new) in [
        (Some(0xff00_0000), Some(0x0f00_0000)),
        (Some(0x0f00_0000), Some(0xff00_0000)),
        (Some(0x30), Some(0x0300)),
        (None, Some(0xff00_0000)),
    ] {
        let context = format!("{former:x?} to {new:x?}");
        let (lab, kernel) = build("nopal-bits");
        translate_services(&lab);
        let mut kernel = Way::Netlink.kernel(kernel);
        let (former, new) = (with_marks(former), with_marks(new));
        for _ in 0..3 {
            put_in_force(kernel.as_mut(), &state(&[KEPT, CUT], &former), &former);
        }
        let (mut kept, mut cut) = (begin(&lab, NEAR, KEPT), begin(&lab, NEAR, CUT));
        put_in_force(kernel.as_mut(), &state(&[KEPT], &new), &new);
        assert_eq!(silent(&mut kept), [""; 0], "{context}");
        assert_eq!(alive(&mut cut), [""; 0], "{context}");
        for _ in 0..3 {
            put_in_force(kernel.as_mut(), &state(&[KEPT], &new), &new);
        }
        assert_eq!(silent(&mut kept), [""; 0], "{context}");
        assert_eq!(alive(&mut cut), [""; 0], "{context}");
    }
}
