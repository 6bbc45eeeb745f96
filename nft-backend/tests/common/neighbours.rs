//! The rules of other programs at the forward hook, as they write them, shortened to what decides.

/// A program that has rules of its own on the node.
pub(crate) struct Neighbour {
    pub(crate) name: &'static str,
    /// What loads its rules, and the rules, once for each family where that matters.
    pub(crate) rules: &'static [(&'static [&'static str], &'static str)],
    /// Whether what we allow passes beside it. A drop of another program is not ours to undo.
    pub(crate) lets_pass: bool,
}

const NFT: &[&str] = &["nft", "-f", "-"];
const IPTABLES: &[&str] = &["iptables-restore", "--noflush"];
const IP6TABLES: &[&str] = &["ip6tables-restore", "--noflush"];

/// Accepts everything, before us and after us, at every priority that somebody uses.
const ACCEPTS: &str = "table inet accepts {
    chain raw { type filter hook forward priority -300; accept; }
    chain mangle { type filter hook forward priority -150; accept; }
    chain just_before { type filter hook forward priority -6; accept; }
    chain same { type filter hook forward priority -5; accept; }
    chain filter { type filter hook forward priority 0; accept; }
    chain after { type filter hook forward priority 10; accept; }
}";

/// Felix in iptables mode: at the head of FORWARD, workload chains that accept what their policies admit, here
/// everything. The interfaces are called `cali...` with Calico and `pod...` here.
const CALICO: &str = "*filter
:cali-FORWARD - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-wl - [0:0]
-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD
-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i pod+ -j cali-from-wl-dispatch
-A cali-FORWARD -o pod+ -j cali-to-wl-dispatch
-A cali-from-wl-dispatch -j cali-wl
-A cali-to-wl-dispatch -j cali-wl
-A cali-wl -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-wl -m conntrack --ctstate INVALID -j DROP
-A cali-wl -j MARK --set-xmark 0x10000/0x10000
-A cali-wl -m mark --mark 0x10000/0x10000 -j RETURN
COMMIT
";

const FIREWALLD_TRUSTED: &str = "table inet firewalld {
    chain filter_PREROUTING { type filter hook prerouting priority 10; policy accept;
        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept; }
    chain filter_FORWARD { type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        ct state invalid drop
        jump filter_FORWARD_POLICIES
        reject with icmpx admin-prohibited; }
    chain filter_FORWARD_POLICIES { accept; }
}";

/// The same without a zone that forwards.
const FIREWALLD_PUBLIC: &str = "table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        ct state invalid drop
        reject with icmpx admin-prohibited; }
}";

const DOCKER: &str = "*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
";

/// The same with what Docker's documentation tells administrators of routers to add.
const DOCKER_USER: &str = "*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j ACCEPT
COMMIT
";

/// Somebody who saves packet marks whole, as `CONNMARK --save-mark` without a mask does, and so takes our generation
/// off every flow.
const MARKS: &str = "table inet marks {
    chain save { type filter hook postrouting priority -150; ct mark set 0x00004000; }
}";

pub(crate) const NEIGHBOURS: [Neighbour; 7] = [
    Neighbour {
        name: "accepts everywhere",
        rules: &[(NFT, ACCEPTS)],
        lets_pass: true,
    },
    Neighbour {
        name: "Calico, iptables",
        rules: &[(IPTABLES, CALICO), (IP6TABLES, CALICO)],
        lets_pass: true,
    },
    Neighbour {
        name: "firewalld, trusted zone",
        rules: &[(NFT, FIREWALLD_TRUSTED)],
        lets_pass: true,
    },
    Neighbour {
        name: "firewalld, no zone that forwards",
        rules: &[(NFT, FIREWALLD_PUBLIC)],
        lets_pass: false,
    },
    Neighbour {
        name: "Docker",
        rules: &[(IPTABLES, DOCKER), (IP6TABLES, DOCKER)],
        lets_pass: false,
    },
    Neighbour {
        name: "Docker, with DOCKER-USER",
        rules: &[(IPTABLES, DOCKER_USER), (IP6TABLES, DOCKER_USER)],
        lets_pass: true,
    },
    Neighbour {
        name: "marks saved whole",
        rules: &[(NFT, MARKS)],
        lets_pass: true,
    },
];
