//! The variables by which a runtime tells a plugin what to do.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::error::{CniError, Code};
use crate::protocol::{PodRef, Sandbox};

/// What the runtime wants (`CNI_COMMAND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A container joins the network.
    Add,
    /// A container leaves it.
    Del,
    /// Is a container's network as ADD left it?
    Check,
    /// Would ADD work now?
    Status,
    /// Everything that is not named is stale.
    Gc,
    /// Which versions of the specification are spoken?
    Version,
}

/// The environment of one call.
#[derive(Debug)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Takes the variables over.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// What is to be done.
    pub fn verb(&self) -> Result<Verb, CniError> {
        match self.required("CNI_COMMAND")?.as_str() {
            "ADD" => Ok(Verb::Add),
            "DEL" => Ok(Verb::Del),
            "CHECK" => Ok(Verb::Check),
            "STATUS" => Ok(Verb::Status),
            "GC" => Ok(Verb::Gc),
            "VERSION" => Ok(Verb::Version),
            other => Err(invalid(format!(
                "CNI_COMMAND is {other:?}, and not ADD, DEL, CHECK, STATUS, GC or VERSION"
            ))),
        }
    }

    /// The sandbox that it is about.
    pub fn sandbox(&self) -> Result<Sandbox, CniError> {
        Ok(Sandbox {
            container_id: self.required("CNI_CONTAINERID")?,
            interface: self.required("CNI_IFNAME")?,
        })
    }

    /// The path of the pod's network namespace.
    pub fn netns(&self) -> Result<String, CniError> {
        self.required("CNI_NETNS")
    }

    /// The pod, from `CNI_ARGS` as kubelet's runtimes fill it. A runtime that gives no uid is served by name.
    pub fn pod(&self) -> Result<PodRef, CniError> {
        let written = self.required("CNI_ARGS")?;
        let argument = |wanted: &str| {
            let pairs = written.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, value)| *key == wanted && !value.is_empty());
            values.next().map(|(_, value)| value.to_owned())
        };
        let required = |wanted: &str| {
            argument(wanted).ok_or_else(|| {
                invalid(format!(
                    "CNI_ARGS has no {wanted}: nopal enforces the policies of Kubernetes' pods and must know whose \
                     sandbox this is"
                ))
            })
        };
        Ok(PodRef {
            namespace: required("K8S_POD_NAMESPACE")?,
            name: required("K8S_POD_NAME")?,
            uid: argument("K8S_POD_UID"),
        })
    }

    fn required(&self, name: &str) -> Result<String, CniError> {
        let value = self.0.get(&OsString::from(name));
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| invalid(format!("{name} is not set")))?;
        let text = value.to_str();
        text.map(str::to_owned)
            .ok_or_else(|| invalid(format!("{name} is no text")))
    }
}

fn invalid(details: String) -> CniError {
    CniError::new(
        Code::InvalidEnvironment,
        "invalid environment variables",
        details,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(
            pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn a_pod_is_read_from_the_arguments_in_any_order_among_others() {
        let arguments =
            "IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_NAMESPACE=shop;K8S_POD_UID=u1;X=a=b";
        let pod = environment(&[("CNI_ARGS", arguments)]).pod().unwrap();
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("shop", "web"));
        assert_eq!(pod.uid.as_deref(), Some("u1"));
        let without = environment(&[("CNI_ARGS", "K8S_POD_NAME=web;K8S_POD_NAMESPACE=shop")]);
        assert_eq!(without.pod().unwrap().uid, None);
    }

    #[test]
    fn a_missing_variable_is_named_and_is_error_4() {
        let nothing = environment(&[("CNI_IFNAME", "")]);
        for (error, name) in [
            (nothing.verb().unwrap_err(), "CNI_COMMAND"),
            (nothing.sandbox().unwrap_err(), "CNI_CONTAINERID"),
            (nothing.netns().unwrap_err(), "CNI_NETNS"),
            (nothing.pod().unwrap_err(), "CNI_ARGS"),
        ] {
            assert_eq!(error.code.number(), 4);
            assert!(error.details.contains(name), "{error}");
        }
        let unnamed = environment(&[("CNI_ARGS", "K8S_POD_NAMESPACE=shop")]);
        assert!(unnamed.pod().unwrap_err().details.contains("K8S_POD_NAME"));
        let strange = environment(&[("CNI_COMMAND", "PAINT")]);
        assert!(strange.verb().unwrap_err().details.contains("PAINT"));
    }
}
