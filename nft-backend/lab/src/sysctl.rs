//! The kernel settings of the lab's namespaces. Conntrack's are left as they are.

use std::fs;

use crate::{LabError, Namespace};

/// Packets come in where no route leads back, as a policy-routing CNI has it too. Both values are
/// written since the stricter of `all` and the interface's own counts.
const IPV4: [(&str, &str); 2] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];

/// Must come before `IPV4`: turning forwarding on resets other settings.
const IPV4_ROUTER: [(&str, &str); 3] = [
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// No duplicate address detection, so addresses work at once; no routes but the lab's own.
const IPV6: [(&str, &str); 5] = [
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];

const IPV6_ROUTER: [(&str, &str); 1] = [("ipv6/conf/all/forwarding", "1")];

/// Sets up the first `routers` namespaces for routing and the others as hosts. To be called before
/// the interfaces exist, which take their settings from `default`.
pub(crate) fn set_up(namespaces: &[Namespace], routers: usize, ipv6: bool) -> Result<(), LabError> {
    // /proc/sys/net shows the settings of the thread's own namespace.
    for (position, namespace) in namespaces.iter().enumerate() {
        let mut settings = Vec::new();
        if position < routers {
            settings.extend(IPV4_ROUTER);
        }
        settings.extend(IPV4);
        if ipv6 {
            settings.extend(IPV6);
        }
        if ipv6 && position < routers {
            settings.extend(IPV6_ROUTER);
        }
        namespace.enter()?;
        for (key, value) in settings {
            set(namespace, key, value)?;
        }
    }
    Ok(())
}

/// Switches the IP hooks of bridges on or off for the whole of each namespace. The settings are there
/// where the kernel has `br_netfilter`.
pub(crate) fn set_bridge_netfilter(nodes: &[Namespace], is_on: bool) -> Result<(), LabError> {
    let value = if is_on { "1" } else { "0" };
    for node in nodes {
        node.enter()?;
        set(node, "bridge/bridge-nf-call-iptables", value)?;
        set(node, "bridge/bridge-nf-call-ip6tables", value)?;
    }
    Ok(())
}

/// The thread is in the namespace.
fn set(namespace: &Namespace, key: &str, value: &str) -> Result<(), LabError> {
    fs::write(format!("/proc/sys/net/{key}"), value).map_err(LabError::io(format!(
        "set net/{key} in `{}`",
        namespace.name()
    )))
}
