//! Objects of kinds that are not read and that may have pods made: custom resources of operators.
//!
//! Where one stands, the pods that the input shows are not all that there are. Any kind of another project may be one,
//! but for those that are known to make none.

/// Domains of groups whose kinds configure what runs anyway.
const WITHOUT_PODS: [&str; 26] = [
    "antrea.io",
    "bitnami.com",
    "cert-manager.io",
    "cilium.io",
    "cloud.google.com",
    "cluster.x-k8s.io",
    "crossplane.io",
    "csi.x-k8s.io",
    "external-secrets.io",
    "gatekeeper.sh",
    "gke.io",
    "istio.io",
    "k8s.aws",
    "k8s.io",
    "karpenter.sh",
    "konghq.com",
    "kyverno.io",
    "linkerd.io",
    "metallb.io",
    "monitoring.googleapis.com",
    "networking.x-k8s.io",
    "nopal.dev",
    "openshift.io",
    "projectcalico.org",
    "traefik.containo.us",
    "traefik.io",
];

/// Whether somebody may make pods for an object of this kind.
pub(super) fn may_make_pods(api_version: &str, kind: &str) -> bool {
    let Some((group, _)) = api_version.rsplit_once('/') else {
        return false;
    };
    match group {
        "monitoring.coreos.com" => matches!(
            kind,
            "Alertmanager" | "Prometheus" | "PrometheusAgent" | "ThanosRuler"
        ),
        "argoproj.io" => !matches!(
            kind,
            "AnalysisTemplate"
                | "AppProject"
                | "Application"
                | "ApplicationSet"
                | "ClusterAnalysisTemplate"
        ),
        "grafana.integreatly.org" => kind == "Grafana",
        "keda.sh" => kind == "ScaledJob",
        group if is_below(group, "toolkit.fluxcd.io") => kind == "HelmRelease",
        // The API server's own groups have no domain, or one of Kubernetes.
        group => group.contains('.') && !WITHOUT_PODS.iter().any(|domain| is_below(group, domain)),
    }
}

fn is_below(group: &str, domain: &str) -> bool {
    group
        .strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::may_make_pods;

    #[test]
    fn operators_may_make_pods_for_their_resources() {
        for (api_version, kind) in [
            ("monitoring.coreos.com/v1", "Prometheus"),
            ("postgresql.cnpg.io/v1", "Cluster"),
            ("kafka.strimzi.io/v1beta2", "Kafka"),
            ("serving.knative.dev/v1", "Service"),
            ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
            ("jobset.x-k8s.io/v1alpha2", "JobSet"),
            ("argoproj.io/v1alpha1", "Workflow"),
        ] {
            assert!(may_make_pods(api_version, kind), "{api_version} {kind}");
        }
    }

    #[test]
    fn what_configures_others_makes_none() {
        for (api_version, kind) in [
            ("v1", "Secret"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("policy/v1", "PodDisruptionBudget"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("monitoring.coreos.com/v1", "PrometheusRule"),
            ("cert-manager.io/v1", "Certificate"),
            ("acme.cert-manager.io/v1", "Order"),
            ("argoproj.io/v1alpha1", "Application"),
            ("source.toolkit.fluxcd.io/v1", "GitRepository"),
        ] {
            assert!(!may_make_pods(api_version, kind), "{api_version} {kind}");
        }
    }
}
