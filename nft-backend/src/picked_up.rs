//! TCP connections that connection tracking comes to see when they have long begun.
//!
//! That happens once, when our first load makes the kernel track connections where nothing else did, and whenever an
//! entry is lost under a connection that goes on. The kernel then takes the next packet, whoever sends it, for the
//! first of the flow. When that is the server, which sends on its own, the flow would be judged as if the server had
//! opened it towards the client's port, which policies of clients and servers for the other direction do not speak
//! about; and it would be stamped, so that a connection which the policies deny lives on (seen on kernel 6.18).
//!
//! So where an end is an isolated pod, such a packet counts only if its ports show that the client sends it: from the
//! range that Linux takes the ports of clients from, to one below. Any other is denied, and an entry that begins with
//! a denied packet is not kept. The client's next packet then begins the entry, and the flow is judged as what it is.
//! This costs a connection that is allowed what its server says until its client speaks again, and all of it when the
//! server's port is in the range of clients' ports too.
//!
//! Nothing of the kind can be told of UDP: whoever sends first begins the flow.

use crate::layout::{daddr, saddr, self_set};
use crate::names::{EGRESS, Name, PICKED_UP};
use crate::ruleset::{Chain, Ruleset};
use crate::statement::{Field, Rule};
use crate::value::{Family, PortRange};
use crate::vocabulary::{ct_new, goto, in_set, port_in, return_to_caller, tcp_not_syn};

/// Linux's own range for the ports of clients begins at 32768.
const CLIENTS: PortRange = PortRange::new(32_768, u16::MAX).expect("written in order");
const SERVERS: PortRange = PortRange::new(0, 32_767).expect("written in order");

/// The rule of `classify` that leads to [`add_chain`]'s.
pub(crate) fn rule() -> Rule {
    Rule::new([ct_new(), tcp_not_syn(), goto(&Name::fixed(PICKED_UP))])
}

/// Adds the chain. A packet that it returns comes back behind the jump to `classify`, where it is denied.
pub(crate) fn add_chain(ruleset: &mut Ruleset) {
    let mut rules = vec![Rule::new([
        port_in(Field::ThSport, CLIENTS),
        port_in(Field::ThDport, SERVERS),
        goto(&Name::fixed(EGRESS)),
    ])];
    for family in Family::ALL {
        // The pairs of isolated pods with themselves also tell which pods are isolated.
        for end in [saddr(family), daddr(family)] {
            let is_isolated = in_set([end, end], &self_set(family));
            rules.push(Rule::new([is_isolated, return_to_caller()]));
        }
    }
    rules.push(Rule::new([goto(&Name::fixed(EGRESS))]));
    let chain = Chain::new(rules);
    ruleset.chains.insert(Name::fixed(PICKED_UP), chain);
}
