//! From the objects that were read to the cluster that policies are evaluated against.
//!
//! A workload's template is an endpoint of its own (`shop/Deployment/web`), beside Pods of the same workload that the
//! input may hold too. Pods and nodes that have no address yet get one, since policies are about addresses.

mod addresses;
mod end;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use policy_core::lower;
use policy_core::{
    Cluster, Direction, FieldPath, Node, Pod, PodId, Policy, PolicyId, Problem, Segment,
};

pub use end::{End, EndError, Family, address_pairs};

use crate::manifest::{
    Content, InputError, Manifests, Object, Part, Place, PolicyObject, SourceMap, Workload,
};

/// What the input amounts to.
#[derive(Debug)]
pub struct Inventory<'a> {
    /// The cluster, with addresses given out.
    pub cluster: Cluster,
    /// What was wrong with Pods and Nodes.
    pub errors: Vec<InputError>,
    policies: BTreeMap<PolicyId, &'a SourceMap>,
}

/// What becomes of Pods that no node runs yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unscheduled {
    /// They run nowhere, so that no node is their own.
    RunNowhere,
    /// They are spread over the nodes in turn, by name; a node `node-1` is made up where there is none.
    AreSpread,
}

impl<'a> Inventory<'a> {
    /// Lowers all objects. The result does not depend on their order, except that the last of several objects with
    /// one name counts.
    #[must_use]
    pub fn new(manifests: &'a Manifests, unscheduled: Unscheduled) -> Self {
        let mut builder = Builder::default();
        let owners: BTreeSet<_> = manifests.objects.iter().map(key).collect();
        for object in &manifests.objects {
            builder.add(object, &owners);
        }
        if unscheduled == Unscheduled::AreSpread {
            builder.spread();
        }
        let Builder {
            nodes,
            mut pods,
            namespaces,
            policies,
            errors,
        } = builder;
        let mut nodes: BTreeMap<_, _> = nodes;
        let policy_list: Vec<&Policy> = policies.values().map(|(policy, _)| policy).collect();
        addresses::give_out(&mut pods, &mut nodes, &policy_list);
        let mut cluster = Cluster::default();
        for (name, labels) in &namespaces {
            cluster.insert_namespace(name, labels);
        }
        for node in nodes.into_values() {
            cluster.insert_node(node);
        }
        for pod in pods.into_values() {
            cluster.insert_pod(pod);
        }
        let mut places = BTreeMap::new();
        for (id, (policy, fields)) in policies {
            places.insert(id, fields);
            cluster.insert_policy(policy);
        }
        Self {
            cluster,
            errors,
            policies: places,
        }
    }

    /// Where a policy is written.
    pub fn policy_place(&self, policy: &PolicyId) -> Option<Place> {
        let path = FieldPath::root().field("metadata").field("name");
        self.policies
            .get(policy)
            .map(|fields| fields.place(&path, Part::Value))
    }

    /// Where one of a policy's rules is written.
    pub fn rule_place(&self, policy: &PolicyId, direction: Direction, rule: u32) -> Option<Place> {
        let path: FieldPath = [
            Segment::Field("spec".to_owned()),
            Segment::Field(direction.to_string()),
            Segment::Index(rule as usize),
        ]
        .into_iter()
        .collect();
        self.policies
            .get(policy)
            .map(|fields| fields.place(&path, Part::Value))
    }
}

/// Kind, namespace and name.
type Key<'a> = (&'a str, Option<&'a str>, &'a str);

fn key(object: &Object) -> Key<'_> {
    let reference = &object.reference;
    (
        &reference.kind,
        reference.namespace.as_deref(),
        &reference.name,
    )
}

#[derive(Default)]
struct Builder<'a> {
    namespaces: BTreeMap<String, policy_core::Labels>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<PodId, Pod>,
    policies: BTreeMap<PolicyId, (Policy, &'a SourceMap)>,
    errors: Vec<InputError>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, object: &'a Object, known: &BTreeSet<Key<'_>>) {
        match &object.content {
            Content::Namespace(namespace) => {
                let (name, labels) = lower::namespace(namespace);
                self.namespaces.insert(name, labels);
            }
            Content::Node(node) => {
                let (node, problems) = lower::node(node);
                self.report(object, problems);
                self.nodes.insert(node.name.to_string(), node);
            }
            Content::Pod(pod) => {
                let (pod, problems) = lower::pod(pod);
                self.report(object, problems);
                self.pods.insert(pod.id.clone(), pod);
            }
            Content::Workload(workload) => self.add_workload(object, workload, known),
            Content::Policy(policy) => self.add_policy(object, policy),
            Content::Tests(_) | Content::Known => {}
        }
    }

    /// A workload that another one of the input owns (a Deployment's `ReplicaSet`) is no endpoint beside it.
    fn add_workload(&mut self, object: &Object, workload: &Workload, known: &BTreeSet<Key<'_>>) {
        let reference = &object.reference;
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let is_known = |owner: &OwnerReference| {
            known.contains(&(owner.kind.as_str(), Some(namespace), owner.name.as_str()))
        };
        if workload
            .metadata
            .owner_references
            .iter()
            .flatten()
            .any(is_known)
        {
            return;
        }
        let (pod, problems) = lower::template(
            &reference.kind,
            namespace,
            &reference.name,
            &workload.template_path,
            &workload.template,
        );
        self.report(object, problems);
        self.pods.insert(pod.id.clone(), pod);
    }

    /// A policy without a name still isolates: it gets its place as a name, so that it replaces no other.
    fn add_policy(&mut self, object: &'a Object, policy: &'a PolicyObject) {
        let (mut lowered, _) = lower::policy(&policy.object, &policy.unread);
        if lowered.id.name.is_empty() {
            let place = &object.place;
            let name = format!("unnamed@{}:{}", place.source.name(), place.position().line);
            lowered.id.name = name.into();
        }
        self.policies
            .insert(lowered.id.clone(), (lowered, &policy.fields));
    }

    fn spread(&mut self) {
        let needs_node = |pod: &&mut Pod| pod.node.is_none() && !pod.finished;
        if self.nodes.is_empty() {
            let node = Node {
                name: "node-1".into(),
                addresses: Vec::new(),
            };
            self.nodes.insert("node-1".to_owned(), node);
        }
        let names: Vec<_> = self.nodes.values().map(|node| node.name.clone()).collect();
        let turns = names.iter().cycle();
        for (pod, node) in self.pods.values_mut().filter(needs_node).zip(turns) {
            pod.node = Some(node.clone());
        }
    }

    fn report(&mut self, object: &Object, problems: Vec<Problem>) {
        self.errors
            .extend(problems.into_iter().map(|problem| InputError {
                file: object.place.source.name().to_owned(),
                position: Some(object.place.position()),
                object: Some(problem.object),
                path: problem.path,
                message: problem.kind.to_string(),
            }));
    }
}

/// The address of an endpoint for one family.
pub(crate) fn address_of(addresses: &[IpAddr], is_v4: bool) -> Option<IpAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == is_v4)
}
