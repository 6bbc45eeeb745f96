//! A cluster for one test: nodes and pods as network namespaces, and a real control plane beyond them.
//!
//! The agents on its nodes have a file of their own.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nopal_harness::{ControlPlane, Shape};
use nopal_lab::{Lab, Namespace, Probe, ProbeKind, Seen, Topology, Traffic};
use policy_core::testing::Objects;
use policy_core::{Flow, FlowPort, Protocol, Verdict};
use serde_json::Value;
use tempfile::TempDir;

use crate::flows::{CONTROL_PLANE, PORTS, address, flows, probe, streams, topology};
use crate::objects::{self, is};

/// How long a change may take to be in force on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) control_plane: ControlPlane,
    pub(crate) lab: Lab,
    pub(crate) objects: Vec<Value>,
    /// How agents reach the API server: by the account that `deploy/` gives them.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Builds it with all namespaces, nodes and pods, and no policy. `prefix` is the test's own.
    pub(crate) fn start(prefix: &str) -> Self {
        Self::build(prefix, &topology(), objects::all())
    }

    /// The same with other machines and other objects to begin with.
    pub(crate) fn build(prefix: &str, topology: &Topology, first: Vec<Value>) -> Self {
        Self::build_on(Shape::Plain, prefix, topology, first)
    }

    /// The same on another control plane.
    pub(crate) fn build_on(
        shape: Shape,
        prefix: &str,
        topology: &Topology,
        first: Vec<Value>,
    ) -> Self {
        Lab::remove_leftovers(prefix).unwrap();
        let lab = Lab::build(topology, prefix).unwrap();
        let control_plane =
            ControlPlane::start_as(shape, lab.world_namespace(), address(CONTROL_PLANE));
        let control_plane = control_plane.unwrap_or_else(|error| panic!("{error}"));
        let kubeconfig = control_plane.deploy_agent();
        let mut this = Self {
            kubeconfig: kubeconfig.unwrap_or_else(|error| panic!("{error}")),
            control_plane,
            lab,
            objects: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        for object in first {
            this.apply(object);
        }
        this
    }

    /// Works where the API server is, as its clients outside the cluster do.
    pub(crate) fn outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.lab.world_namespace().run(work).unwrap()
    }

    /// Creates or changes an object, with its status.
    pub(crate) fn apply(&mut self, object: Value) {
        objects::apply(&self.control_plane, &object);
        self.remember(object);
    }

    /// Notes that the API server has this object now.
    pub(crate) fn remember(&mut self, object: Value) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let (kind, name) = (
            object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap(),
        );
        self.objects
            .retain(|other| !is(other, kind, namespace, name));
        self.objects.push(object);
    }

    /// Puts a policy where the API server keeps it, past its checks.
    pub(crate) fn store_unchecked(&mut self, mut policy: Value) {
        let metadata = &mut policy["metadata"];
        let path = format!(
            "networkpolicies/{}/{}",
            metadata["namespace"].as_str().unwrap(),
            metadata["name"].as_str().unwrap()
        );
        metadata["uid"] = "5a8d1f6e-0000-4000-8000-000000000001".into();
        metadata["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
        metadata["generation"] = 1.into();
        self.control_plane.store_unchecked(&path, &policy).unwrap();
        self.objects.push(policy);
    }

    /// Waits until a namespace has Events with all these texts, each once.
    pub(crate) fn has_events(&self, namespace: &str, texts: &[&str]) {
        let messages = || -> Vec<String> {
            let arguments = ["get", "events", "-n", namespace, "-o", "json"];
            let list = self.control_plane.kubectl(&arguments, "").unwrap();
            let list: Value = serde_json::from_str(&list).unwrap();
            let message = |event: &Value| event["message"].as_str().unwrap().to_owned();
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(message)
                .collect()
        };
        let has_all = || {
            let messages = messages();
            let once = |text: &&str| {
                messages
                    .iter()
                    .filter(|message| message.contains(text))
                    .count()
                    == 1
            };
            texts.iter().all(once)
        };
        assert!(eventually(has_all), "{:?}", messages());
    }

    /// Changes an object.
    pub(crate) fn change(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) {
        let object = self
            .objects
            .iter()
            .find(|object| is(object, kind, namespace, name));
        let mut object = object.unwrap().clone();
        change(&mut object);
        self.apply(object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, kind: &str, namespace: &str, name: &str) {
        let arguments = [
            "delete",
            kind,
            name,
            "-n",
            namespace,
            "--grace-period=0",
            "--force",
        ];
        let deleted = self.control_plane.kubectl(&arguments, "");
        deleted.unwrap_or_else(|error| panic!("{error}"));
        self.forget(kind, namespace, name);
    }

    /// Notes that the API server has this object no longer.
    pub(crate) fn forget(&mut self, kind: &str, namespace: &str, name: &str) {
        self.objects
            .retain(|object| !is(object, kind, namespace, name));
    }

    /// Sends packets of all flows until they agree with the reference evaluator, and once more then.
    pub(crate) fn agrees(&self, when: &str) {
        self.agrees_on(&flows(), when);
    }

    /// The same for these flows.
    pub(crate) fn agrees_on(&self, flows: &[Flow], when: &str) {
        eventually(|| self.differences(flows).is_empty());
        let left = self.differences(flows);
        assert!(
            left.is_empty(),
            "{when}:\n{}\n{}\n{}",
            left.join("\n"),
            self.log("node-a"),
            self.log("node-b")
        );
    }

    /// Sends packets of these flows once; gives those that do not fare as the reference evaluator says.
    pub(crate) fn differences(&self, flows: &[Flow]) -> Vec<String> {
        let objects = Objects::read(self.objects.clone()).unwrap();
        let reference = objects.reference();
        let probes: Vec<Probe> = flows.iter().map(probe).collect();
        let seen = self.lab.probe(&probes, &AtomicBool::new(false)).unwrap();
        let differs = |(flow, seen): (&Flow, Seen)| {
            let expected = reference.evaluate(flow);
            let found = match seen {
                Seen::Passed => Verdict::Allow,
                Seen::Blocked => Verdict::Deny,
            };
            (found != expected).then(|| format!("{flow:?}: {expected:?} is {found:?}"))
        };
        flows.iter().zip(seen).filter_map(differs).collect()
    }

    /// Datagrams on two flows, of which the reference allows the first and denies the second.
    pub(crate) fn traffic(&self) -> Traffic {
        let objects = Objects::read(self.objects.clone()).unwrap();
        let reference = objects.reference();
        let verdicts = streams().map(|stream| {
            let port = FlowPort::Port(Protocol::Udp, stream.port);
            let (from, to) = (stream.from, stream.to);
            reference.evaluate(&Flow { from, to, port })
        });
        assert_eq!(verdicts, [Verdict::Allow, Verdict::Deny]);
        Traffic::start(&self.lab, &streams(), 400).unwrap()
    }

    /// Whether packets get from one address to the other at a port that is probed.
    pub(crate) fn passes(&self, from: &str, to: &str) -> bool {
        let (from, to) = (address(from), address(to));
        let kind = ProbeKind::Tcp(PORTS[0]);
        let probe = Probe { from, to, kind };
        let seen = self.lab.probe(&[probe], &AtomicBool::new(false)).unwrap();
        seen == [Seen::Passed]
    }

    /// The version of an object in the API server.
    pub(crate) fn version_of(&self, kind: &str, namespace: &str, name: &str) -> u64 {
        let arguments = [
            "get",
            kind,
            name,
            "-n",
            namespace,
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        let text = self.control_plane.kubectl(&arguments, "").unwrap();
        text.parse().unwrap()
    }

    pub(crate) fn node(&self, name: &str) -> &Namespace {
        self.lab.node_namespace(name).unwrap()
    }
}

/// Tries until it holds or patience ends; gives whether it holds.
pub(crate) fn eventually(holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
}
