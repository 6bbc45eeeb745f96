//! What network plugins do where the API leaves it open, or does not reach.

/// A plugin, by what `--profile` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// nopal itself.
    Nopal,
    /// Calico.
    Calico,
    /// Cilium, as it is installed without further options.
    Cilium,
}

impl Profile {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nopal => "nopal",
            Self::Calico => "Calico",
            Self::Cilium => "Cilium",
        }
    }

    /// Whether an `ipBlock` matches pods by their addresses. Cilium knows pods by their identity alone (its issues 9209
    /// and 19601).
    pub fn blocks_match_pods(self) -> bool {
        self != Self::Cilium
    }

    /// What it says of SCTP, where that does not simply work.
    pub fn sctp(self) -> Option<&'static str> {
        (self == Self::Cilium).then_some("only with sctp.enabled=true")
    }

    /// What it says of `endPort`, where that does not simply work.
    pub fn end_port(self) -> Option<&'static str> {
        (self == Self::Cilium).then_some("only since version 1.16")
    }
}
