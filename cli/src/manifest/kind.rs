//! Which kinds are read, and how.

use super::schema::Field;
use super::schema::connectivity_test::CONNECTIVITY_TEST;
use super::schema::network_policy::NETWORK_POLICY;
use super::schema::route::{GATEWAY_ROUTE, ROUTE};
use super::schema::service::{
    CUSTOM_RESOURCE_DEFINITION, INGRESS, MONITOR, SERVICE, WEBHOOK_CONFIGURATION,
};
use super::schema::workload::{CRON_JOB, NAMED, NAMESPACE, NODE, POD, WORKLOAD};

/// How objects of a kind are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Namespace,
    Node,
    Pod,
    /// A workload with its template at `spec.template`.
    Workload,
    /// A workload with its template at `spec.jobTemplate.spec.template`.
    CronJob,
    NetworkPolicy,
    Service,
    Ingress,
    /// A Route of `OpenShift`.
    Route,
    /// An `HTTPRoute` or another route of the Gateway API.
    GatewayRoute,
    WebhookConfiguration,
    CustomResourceDefinition,
    /// A `ServiceMonitor` or `PodMonitor`.
    Monitor,
    ConnectivityTest,
    /// Known by name alone.
    Named,
}

impl Kind {
    /// The kind that an object's `apiVersion` and `kind` name; `None` when it is not one that is read.
    ///
    /// Versions that the API server has dropped are read like their successors: what they say is understood, and
    /// whether they may be applied is for lint to say.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Some(match (group, kind) {
            ("", "Namespace") => Self::Namespace,
            ("", "Node") => Self::Node,
            ("", "Pod") => Self::Pod,
            ("", "ReplicationController")
            | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch", "Job")
            | ("argoproj.io", "Rollout")
            | ("apps.openshift.io", "DeploymentConfig")
            | ("apps.kruise.io", "CloneSet" | "DaemonSet" | "StatefulSet") => Self::Workload,
            ("batch", "CronJob") => Self::CronJob,
            (group, "NetworkPolicy") if is_built_in(group) => Self::NetworkPolicy,
            ("nopal.dev", "ConnectivityTest") => Self::ConnectivityTest,
            ("", "Service") => Self::Service,
            ("networking.k8s.io" | "extensions", "Ingress") => Self::Ingress,
            ("route.openshift.io", "Route") => Self::Route,
            (
                "gateway.networking.k8s.io",
                "GRPCRoute" | "HTTPRoute" | "TCPRoute" | "TLSRoute" | "UDPRoute",
            ) => Self::GatewayRoute,
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
            ) => Self::WebhookConfiguration,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::CustomResourceDefinition,
            ("monitoring.coreos.com", "ServiceMonitor" | "PodMonitor") => Self::Monitor,
            ("", "Endpoints") | ("discovery.k8s.io", "EndpointSlice") => Self::Named,
            _ => return None,
        })
    }

    /// The fields that are read.
    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            Self::Namespace => NAMESPACE,
            Self::Node => NODE,
            Self::Pod => POD,
            Self::Workload => WORKLOAD,
            Self::CronJob => CRON_JOB,
            Self::NetworkPolicy => NETWORK_POLICY,
            Self::Service => SERVICE,
            Self::Ingress => INGRESS,
            Self::Route => ROUTE,
            Self::GatewayRoute => GATEWAY_ROUTE,
            Self::WebhookConfiguration => WEBHOOK_CONFIGURATION,
            Self::CustomResourceDefinition => CUSTOM_RESOURCE_DEFINITION,
            Self::Monitor => MONITOR,
            Self::ConnectivityTest => CONNECTIVITY_TEST,
            Self::Named => NAMED,
        }
    }

    /// Whether objects of this kind live in namespaces.
    pub(super) fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Self::Namespace
                | Self::Node
                | Self::WebhookConfiguration
                | Self::CustomResourceDefinition
                | Self::ConnectivityTest
        )
    }
}

/// Whether it is a `ConnectivityTest` of a version that is not known. Passing it over would pass over its tests.
pub(super) fn is_of_another_version(api_version: &str, kind: &str) -> bool {
    kind == "ConnectivityTest"
        && api_version
            .strip_prefix("nopal.dev/")
            .is_some_and(|version| version != "v1alpha1")
}

/// Whether this kind is the `ConfigMap`: of it, what it says about whom to call is read.
pub(super) fn is_config_map(api_version: &str, kind: &str) -> bool {
    (api_version, kind) == ("v1", "ConfigMap")
}

/// Whether this kind binds roles: of it, the accounts are read.
pub(super) fn is_role_binding(api_version: &str, kind: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    group == "rbac.authorization.k8s.io" && matches!(kind, "RoleBinding" | "ClusterRoleBinding")
}

/// Whether objects of this kind decide about traffic too, in a language that is not read.
pub(super) fn is_foreign_policy(api_version: &str, kind: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    matches!(
        (group, kind),
        (
            "crd.projectcalico.org" | "projectcalico.org",
            "NetworkPolicy" | "GlobalNetworkPolicy" | "StagedNetworkPolicy"
        ) | (
            "cilium.io",
            "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy"
        ) | ("security.istio.io", "AuthorizationPolicy")
            | (
                "policy.networking.k8s.io",
                "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" | "ClusterNetworkPolicy"
            )
            | ("crd.antrea.io", "NetworkPolicy" | "ClusterNetworkPolicy")
    )
}

/// Whether a `NetworkPolicy` of this group can only be meant as the built-in one. Other projects have kinds of the
/// same name in groups of their own.
fn is_built_in(group: &str) -> bool {
    matches!(group, "" | "networking.k8s.io" | "extensions" | "apps")
}
