//! Datagrams between all pods while a test does things to the cluster, judged by every state that the cluster was in.
//!
//! The two ends of a flow may be on two nodes, whose agents put a change in force at moments of their own. So of a flow
//! between nodes it is asked what each end says: what the same end denied in all states never passes, whatever the other
//! end says meanwhile; what both allowed in all states is never lost. The two ends on one node change together.

use nopal_lab::{Stream, Traffic};
use policy_core::testing::Objects;
use policy_core::{Flow, FlowPort, Protocol, Verdict};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::flows::node_of;

/// What an end of a flow says of it, in the words of the reference evaluator.
const CLOSED_OUT: &str = "isolates egress";
const CLOSED_IN: &str = "isolates ingress";

/// Datagrams under way, and what may become of them.
pub(crate) struct Prober {
    traffic: Traffic,
    flows: Vec<Flow>,
    fates: Vec<Fate>,
}

/// What was so of a flow in every state up to now.
#[derive(Debug, Clone, Copy)]
struct Fate {
    is_allowed: bool,
    is_held_in: bool,
    is_kept_out: bool,
}

/// What became of all flows.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Datagrams on flows that were allowed all the time.
    pub(crate) allowed: u64,
    /// Datagrams on flows that were denied all the time.
    pub(crate) denied: u64,
    /// What should not have been.
    pub(crate) wrong: Vec<String>,
}

impl Prober {
    /// Sends on flows of UDP, `rate` datagrams a second together. What is in force agrees with the cluster's objects.
    pub(crate) fn start(cluster: &Cluster, flows: Vec<Flow>, rate: u32) -> Self {
        let stream = |flow: &Flow| {
            let FlowPort::Port(Protocol::Udp, port) = flow.port else {
                panic!("{flow:?} is not of datagrams");
            };
            let (from, to) = (flow.from, flow.to);
            Stream { from, to, port }
        };
        let streams: Vec<Stream> = flows.iter().map(stream).collect();
        let fates = fates(&flows, &cluster.objects);
        let traffic = Traffic::start(&cluster.lab, &streams, rate).unwrap();
        Self {
            traffic,
            flows,
            fates,
        }
    }

    /// The cluster's objects have changed, or are about to.
    pub(crate) fn take(&mut self, cluster: &Cluster) {
        let now = fates(&self.flows, &cluster.objects);
        for (known, now) in self.fates.iter_mut().zip(now) {
            known.is_allowed &= now.is_allowed;
            known.is_held_in &= now.is_held_in;
            known.is_kept_out &= now.is_kept_out;
        }
    }

    /// Ends it and judges. The cluster is at rest.
    pub(crate) fn stop(self) -> Judged {
        let mut judged = Judged::default();
        let counted = self.traffic.stop();
        for ((flow, fate), counted) in self.flows.iter().zip(self.fates).zip(counted) {
            if fate.is_allowed {
                judged.allowed += counted.sent;
                if counted.received != counted.sent {
                    judged.wrong.push(format!("lost of {flow:?}: {counted:?}"));
                }
            } else if fate.is_held_in || fate.is_kept_out {
                judged.denied += counted.sent;
                if counted.received > 0 {
                    judged
                        .wrong
                        .push(format!("leaked of {flow:?}: {counted:?}"));
                }
            }
        }
        judged
    }

    /// Ends it: nothing was lost or leaked, and there was enough of which that can be said.
    pub(crate) fn finish(self, cluster: &Cluster) {
        let judged = self.stop();
        assert!(
            judged.wrong.is_empty(),
            "{}\n{}\n{}",
            judged.wrong.join("\n"),
            cluster.log("node-a"),
            cluster.log("node-b")
        );
        assert!(judged.allowed > 100 && judged.denied > 100, "{judged:?}");
    }
}

fn fates(flows: &[Flow], objects: &[Value]) -> Vec<Fate> {
    let objects = Objects::read(objects.to_vec()).unwrap();
    let reference = objects.reference();
    let fate = |flow: &Flow| {
        let because = reference.because(flow);
        let is_said = |words: &str| because.iter().any(|because| because.ends_with(words));
        let (is_held_in, is_kept_out) = (is_said(CLOSED_OUT), is_said(CLOSED_IN));
        let is_closed = is_held_in || is_kept_out;
        let is_one_node = node_of(flow.from) == node_of(flow.to);
        Fate {
            is_allowed: reference.evaluate(flow) == Verdict::Allow,
            is_held_in: is_held_in || (is_one_node && is_closed),
            is_kept_out: is_kept_out || (is_one_node && is_closed),
        }
    };
    flows.iter().map(fate).collect()
}
