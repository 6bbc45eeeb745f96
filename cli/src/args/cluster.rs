//! Arguments of commands that ask a live cluster: where it is, and `rollout`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use policy_core::labels::{is_dns_label, is_dns_subdomain};

use super::Format;
use crate::kubectl::Kubectl;

/// A live cluster, reached by the user's own kubectl.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArguments {
    /// Ask the live cluster of this context of the kubeconfig, by kubectl.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Ask the live cluster of this kubeconfig, by kubectl.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

impl ClusterArguments {
    /// The cluster that is named; without a name, the one of kubectl's current context.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl {
            context: self.context.clone(),
            kubeconfig: self.kubeconfig.clone(),
            ..Kubectl::default()
        }
    }

    /// Whether a cluster is named at all.
    pub fn is_named(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }
}

/// Arguments of `rollout`.
#[derive(Debug, Args)]
pub struct Rollout {
    /// Only this policy: namespace/name. Without it, all that the cluster has.
    #[arg(value_name = "NS/POLICY", value_parser = parse_policy)]
    pub policy: Option<(String, String)>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Ask again until it is in force everywhere, or the time is over.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait: 90s, 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time, requires = "wait")]
    pub timeout: Duration,
    /// The label of the agents' pods.
    #[arg(
        long,
        value_name = "LABEL",
        default_value = "app.kubernetes.io/name=nopal-agent"
    )]
    pub selector: String,
    /// The port at which agents tell their status (--status of nopal-agent).
    #[arg(long, value_name = "PORT", default_value_t = 9471)]
    pub port: u16,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn parse_policy(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        // They become part of a request's path.
        Some((namespace, name)) if is_dns_label(namespace) && is_dns_subdomain(name) => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write namespace/name, such as shop/db".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: Option<u64> = number.parse().ok();
    let time = number.and_then(|number| number.checked_mul(seconds));
    let time = time.filter(|time| (1..=86_400).contains(time));
    time.map(Duration::from_secs)
        .ok_or_else(|| "give seconds or minutes, such as 90s or 5m, at most a day".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_minutes() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_time("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "0s", "-1s", "1h", "99999999999999999999m"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_policy_is_a_namespace_and_a_name() {
        let policy = ("shop".to_owned(), "db".to_owned());
        assert_eq!(parse_policy("shop/db"), Ok(policy));
        for wrong in ["db", "/db", "shop/", "a/b/c", "shop/a?b", "shop/.."] {
            assert!(parse_policy(wrong).is_err(), "{wrong}");
        }
    }
}
