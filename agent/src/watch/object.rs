//! Objects as kube's watcher hands them over: cut down and lowered while they are read.

use std::borrow::Cow;
use std::fmt::Debug;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};

use super::mask::project;
use super::read::{Read, mask, metadata, read};
use crate::kind::Kind;

/// A type of the API that the agent follows.
pub(super) trait Followed: Clone + Debug + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Where the API has it.
    type Api: Resource<DynamicType = ()>;
}

macro_rules! followed {
    ($name:ident, $kind:expr, $api:ty) => {
        #[derive(Debug, Clone)]
        pub(super) enum $name {}

        impl Followed for $name {
            const KIND: Kind = $kind;
            type Api = $api;
        }
    };
}

followed!(Namespaces, Kind::Namespaces, Namespace);
followed!(Nodes, Kind::Nodes, Node);
followed!(Pods, Kind::Pods, Pod);
followed!(Policies, Kind::Policies, NetworkPolicy);

/// One object. Reading it never fails, so that one strange object cannot stop a watch.
#[derive(Debug, Clone)]
pub(super) struct Seen<F> {
    /// Name, namespace, uid, generation, resourceVersion.
    pub(super) metadata: ObjectMeta,
    /// What it means, or why it could not be read.
    pub(super) read: Result<Read, String>,
    kind: PhantomData<F>,
}

impl<'de, F: Followed> Deserialize<'de> for Seen<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = project(mask(F::KIND), deserializer)?;
        Ok(Self {
            metadata: metadata(&object),
            read: read(F::KIND, object),
            kind: PhantomData,
        })
    }
}

impl<F: Followed> Resource for Seen<F> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        F::Api::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        F::Api::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        F::Api::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        F::Api::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
