//! From the objects that were read to the cluster that policies are evaluated against.
//!
//! A workload's template is an endpoint of its own (`shop/Deployment/web`), beside Pods of the same workload that the
//! input may hold too. Pods and nodes that have no address yet get one, since policies are about addresses.

mod addresses;
mod end;
mod nearest;
mod pair;
mod part;
mod possible;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use policy_core::lower;
use policy_core::{
    Cluster, Direction, FieldPath, Mode, Namespace, Node, Pod, PodId, Policy, PolicyId, Segment,
    Selector,
};
use rayon::prelude::*;

pub use end::{End, EndError, Family, address_pairs};
pub(crate) use nearest::{meant, nearest};
pub use pair::{Pair, Standing};
pub use possible::OTHER_NAMESPACE;
pub(crate) use possible::{is_unknown, witness};

use crate::manifest::{Content, Manifests, Object, Part, Place, PolicyObject, SourceMap, Workload};

/// What the input amounts to.
#[derive(Debug)]
pub struct Inventory<'a> {
    /// The cluster.
    pub cluster: Cluster,
    policies: BTreeMap<PolicyId, &'a SourceMap>,
}

/// What is made up for what the input leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MadeUp {
    /// Nothing: the real data plane must not know addresses that nobody has.
    Nothing,
    /// Addresses for pods, workload templates and nodes that have none. Pods that no node runs yet have no own node.
    Addresses,
    /// Addresses, and nodes as well: pods without one are spread over all nodes in turn, by name; a node `node-1` is
    /// made up where there is none.
    AddressesAndNodes,
}

impl<'a> Inventory<'a> {
    /// Lowers all objects. The result does not depend on their order, except that the last of several objects with
    /// one name counts.
    #[must_use]
    pub fn new(manifests: &'a Manifests, made_up: MadeUp) -> Self {
        Self::of(manifests, made_up, |_| true)
    }

    /// The cluster with addresses for all, and with the pods that could be; gives what each pod is, in the order of the
    /// names. Pods that have finished are nowhere and left out.
    #[must_use]
    pub fn with_possible(manifests: &'a Manifests) -> (Self, Vec<(PodId, Standing)>) {
        Self::with_possible_for(manifests, &[])
    }

    /// The same, with pods as well that these selectors of namespaces and of their pods match.
    #[must_use]
    pub fn with_possible_for(
        manifests: &'a Manifests,
        asked: &[(&Selector, &Selector)],
    ) -> (Self, Vec<(PodId, Standing)>) {
        let mut builder = Builder::read(manifests, |_| true);
        builder.pods.retain(|_, pod| !pod.finished);
        let policies: Vec<&Policy> = builder
            .policies
            .values()
            .map(|(policy, _)| policy)
            .collect();
        let namespaces = builder.mentioned().into_iter().map(|name| {
            let labels = builder.namespaces.get(&name).cloned();
            (name, labels.unwrap_or_default())
        });
        let possible = possible::possible(&namespaces.collect(), &builder.pods, &policies, asked);
        let known = builder.pods.keys().map(|id| (id, Standing::Known));
        let possible_pods = possible.pods.keys().map(|id| (id, Standing::Possible));
        let pods: BTreeMap<PodId, Standing> = known
            .chain(possible_pods)
            .map(|(id, standing)| (id.clone(), standing))
            .collect();
        for (name, labels) in possible.namespaces {
            builder.namespaces.entry(name).or_insert(labels);
        }
        builder.pods.extend(possible.pods);
        addresses::give_out(&mut builder.pods, &mut builder.nodes, &policies, &[]);
        (builder.finish(), pods.into_iter().collect())
    }

    /// All but the policies, and with nothing made up.
    #[must_use]
    pub fn without_policies(manifests: &'a Manifests) -> Self {
        Self::of(manifests, MadeUp::Nothing, is_no_policy)
    }

    fn of(manifests: &'a Manifests, made_up: MadeUp, takes: fn(&Object) -> bool) -> Self {
        let mut builder = Builder::read(manifests, takes);
        if made_up == MadeUp::AddressesAndNodes {
            builder.spread();
        }
        if made_up != MadeUp::Nothing {
            let policies: Vec<&Policy> = builder
                .policies
                .values()
                .map(|(policy, _)| policy)
                .collect();
            addresses::give_out(&mut builder.pods, &mut builder.nodes, &policies, &[]);
        }
        builder.finish()
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
        self.field_place(policy, &rule_path(direction, rule))
    }

    /// Where a field of a policy is written.
    pub fn field_place(&self, policy: &PolicyId, path: &FieldPath) -> Option<Place> {
        let fields = self.policies.get(policy)?;
        Some(fields.place(path, Part::Value))
    }
}

/// The path of a rule in its policy.
pub(crate) fn rule_path(direction: Direction, rule: u32) -> FieldPath {
    [
        Segment::Field("spec".to_owned()),
        Segment::Field(direction.to_string()),
        Segment::Index(rule as usize),
    ]
    .into_iter()
    .collect()
}

fn is_no_policy(object: &Object) -> bool {
    !matches!(object.content, Content::Policy(_))
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
    /// The modes that namespaces state.
    modes: BTreeMap<String, Mode>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<PodId, Pod>,
    policies: BTreeMap<PolicyId, (Policy, &'a SourceMap)>,
}

impl<'a> Builder<'a> {
    fn read(manifests: &'a Manifests, takes: fn(&Object) -> bool) -> Self {
        let mut builder = Self::default();
        let keys = LazyCell::new(|| manifests.objects.iter().map(key).collect::<BTreeSet<_>>());
        for object in manifests.objects.iter().filter(|object| takes(object)) {
            builder.add(object, &|owner| keys.contains(owner));
        }
        let policies = lowered_policies(manifests, takes);
        let named = policies.map(|(policy, fields)| (policy.id.clone(), (policy, fields)));
        builder.policies = named.collect();
        builder
    }

    /// The namespaces that the input speaks of.
    fn mentioned(&self) -> BTreeSet<String> {
        let pods = self.pods.keys().map(|id| id.namespace.to_string());
        let policies = self.policies.keys().map(|id| id.namespace.to_string());
        let defined = self.namespaces.keys().cloned();
        pods.chain(policies).chain(defined).collect()
    }

    fn finish(self) -> Inventory<'a> {
        let mut cluster = Cluster::default();
        for (name, labels) in &self.namespaces {
            cluster.insert_namespace(Namespace {
                name: name.as_str().into(),
                labels: labels.clone(),
                mode: self.modes.get(name).copied().unwrap_or_default(),
            });
        }
        for node in self.nodes.into_values() {
            cluster.insert_node(node);
        }
        for pod in self.pods.into_values() {
            cluster.insert_pod(pod);
        }
        let mut policies = BTreeMap::new();
        for (id, (policy, fields)) in self.policies {
            policies.insert(id, fields);
            cluster.insert_policy(policy);
        }
        Inventory { cluster, policies }
    }

    fn add(&mut self, object: &'a Object, is_known: &dyn Fn(&Key<'_>) -> bool) {
        match &object.content {
            Content::Namespace(namespace) => {
                let (namespace, _) = lower::namespace(namespace);
                let name = namespace.name.to_string();
                self.modes.insert(name.clone(), namespace.mode);
                self.namespaces.insert(name, namespace.labels);
            }
            Content::Node(node) => {
                let (node, _) = lower::node(node);
                self.nodes.insert(node.name.to_string(), node);
            }
            Content::Pod(pod) => {
                let (pod, _) = lower::pod(pod);
                self.pods.insert(pod.id.clone(), pod);
            }
            Content::Workload(workload) => self.add_workload(object, workload, is_known),
            Content::Policy(_)
            | Content::Service(_)
            | Content::Entrance(_)
            | Content::Webhooks(_)
            | Content::Monitor(_)
            | Content::Tests(_)
            | Content::Known => {}
        }
    }

    /// A workload that another one of the input owns (a Deployment's `ReplicaSet`) is no endpoint beside it.
    fn add_workload(
        &mut self,
        object: &Object,
        workload: &Workload,
        is_known: &dyn Fn(&Key<'_>) -> bool,
    ) {
        let reference = &object.reference;
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let is_known = |owner: &OwnerReference| {
            is_known(&(owner.kind.as_str(), Some(namespace), owner.name.as_str()))
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
        let (pod, _) = lower::template(
            &reference.kind,
            namespace,
            &reference.name,
            &workload.template_path,
            &workload.template,
        );
        self.pods.insert(pod.id.clone(), pod);
    }

    /// Gives every pod a node, and a node to every name that pods mention.
    fn spread(&mut self) {
        let mentioned = self.pods.values().filter_map(|pod| pod.node.clone());
        let mut names: BTreeSet<Arc<str>> = mentioned.collect();
        names.extend(self.nodes.values().map(|node| node.name.clone()));
        if names.is_empty() {
            names.insert("node-1".into());
        }
        for name in &names {
            self.nodes.entry(name.to_string()).or_insert_with(|| Node {
                name: name.clone(),
                addresses: Vec::new(),
            });
        }
        let homeless = self
            .pods
            .values_mut()
            .filter(|pod| pod.node.is_none() && !pod.finished);
        for (pod, node) in homeless.zip(names.iter().cycle()) {
            pod.node = Some(node.clone());
        }
    }
}

/// The policies of the input that are taken, in its order.
fn lowered_policies(
    manifests: &Manifests,
    takes: impl Fn(&Object) -> bool,
) -> impl Iterator<Item = (Policy, &SourceMap)> {
    let objects = manifests.objects.iter().filter(|object| takes(object));
    let policies = objects.filter_map(|object| match &object.content {
        Content::Policy(policy) => Some((object, &**policy)),
        _ => None,
    });
    let policies: Vec<(&Object, &PolicyObject)> = policies.collect();
    let lowered: Vec<Policy> = policies
        .par_iter()
        .map(|(object, policy)| lower_policy(object, policy))
        .collect();
    let fields = policies.into_iter().map(|(_, policy)| &policy.fields);
    lowered.into_iter().zip(fields)
}

/// A policy without a name still isolates: it gets its place as a name, so that it replaces no other.
fn lower_policy(object: &Object, policy: &PolicyObject) -> Policy {
    let (mut lowered, _) = lower::policy(&policy.object, &policy.unread);
    if lowered.id.name.is_empty() {
        let place = &object.place;
        let name = format!("unnamed@{}:{}", place.source.name(), place.position().line);
        lowered.id.name = name.into();
    }
    lowered
}

/// The address of an endpoint for one family.
pub(crate) fn address_of(addresses: &[IpAddr], is_v4: bool) -> Option<IpAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == is_v4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Source, read_source};

    fn manifests(text: &str) -> Manifests {
        read_source(
            &Arc::new(Source::new("in".to_owned(), text.to_owned())),
            "default",
        )
    }

    fn pod(name: &str, spec: &str) -> String {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
    }

    fn nodes_of(text: &str, made_up: MadeUp) -> Vec<Option<String>> {
        let manifests = manifests(text);
        let inventory = Inventory::new(&manifests, made_up);
        let pods = inventory.cluster.pods().values();
        pods.map(|pod| pod.node.as_deref().map(str::to_owned))
            .collect()
    }

    #[test]
    fn pods_without_a_node_run_nowhere_or_are_spread_in_turn() {
        let text = pod("c", "") + &pod("a", "nodeName: k1") + &pod("b", "") + &pod("d", "");
        let text = text + "---\napiVersion: v1\nkind: Node\nmetadata: {name: k2}\n";
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| Some((*name).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            nodes_of(&text, MadeUp::AddressesAndNodes),
            names(&["k1", "k1", "k2", "k1"])
        );
        assert_eq!(
            nodes_of(&pod("a", ""), MadeUp::AddressesAndNodes),
            names(&["node-1"])
        );
        assert_eq!(nodes_of(&pod("a", ""), MadeUp::Addresses), [None]);
    }

    #[test]
    fn a_host_network_pod_has_the_address_of_its_node() {
        let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: k2}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n";
        let manifests = manifests(&(pod("a", "nodeName: k2, hostNetwork: true") + node));
        let inventory = Inventory::new(&manifests, MadeUp::Addresses);
        let end = inventory.end("default/a").unwrap();
        assert_eq!(end.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn policies_without_a_name_do_not_replace_each_other() {
        let policy = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: a}\nspec: {}\n";
        let manifests = manifests(&policy.repeat(2));
        let inventory = Inventory::new(&manifests, MadeUp::Addresses);
        assert_eq!(inventory.cluster.policies().len(), 2);
    }
}
