//! The command line of `nopal-agent`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nft_backend::config::{self, Config};
use nft_backend::generation::MarkBits;

/// Follows the API server and keeps the rules of its node in force, in the network namespace that it runs in.
#[derive(Debug, Parser)]
#[command(name = "nopal-agent", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `run`.
    #[command(flatten)]
    pub run: Run,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enforce policies until SIGTERM or SIGINT; the rules stay in force after that.
    Run(Box<Run>),
    /// Take away the table and the saved state: no policy is in force then.
    Cleanup(Cleanup),
}

/// The options of `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The node's name as the API server knows it.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node: Option<String>,
    /// How to reach the API server; without it, by the service account of the pod that this runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where health, metrics and status are served; `off` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9470", value_parser = parse_http)]
    pub http: Http,
    /// Where `/v1/status` alone is served besides, for `nopal rollout`, which asks through the API server: an address of the
    /// node, with a port if it is not to be 9471; `off` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "off", value_parser = parse_status)]
    pub status: Http,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Drop what a pod of this node sends with another source address than its own, where the pod's interface is known.
    #[arg(long)]
    pub anti_spoofing: bool,
    /// The CNI plugin.
    #[command(flatten)]
    pub cni: Cni,
    /// The table and the state.
    #[command(flatten)]
    pub place: Place,
    /// The bits of the conntrack mark that hold a flow's generation, together and not used by anybody else; 0 for none: then
    /// flows that stand when policies change are not judged again.
    #[arg(long, value_name = "MASK", default_value = "0xff000000", value_parser = parse_mask)]
    pub mark_mask: Marks,
    /// Whether what policies deny is denied, or only counted and told.
    #[arg(long, value_enum, default_value_t = Mode::Enforce)]
    pub mode: Mode,
    /// What happens to a denied packet.
    #[arg(long, value_enum, default_value_t = Deny::Drop)]
    pub deny: Deny,
    /// What packets are counted for; for each rule of a policy at the cost of lookups and memory for each.
    #[arg(long, value_enum, value_name = "FOR", default_value_t = Count::Policies)]
    pub count: Count,
}

/// The options of `cleanup`.
#[derive(Debug, Clone, Args)]
pub struct Cleanup {
    /// The table and the state.
    #[command(flatten)]
    pub place: Place,
    /// Where the CNI plugin is.
    #[command(flatten)]
    pub cni: CniPlace,
}

/// The options for the CNI plugin. Without them pods are protected as soon as the API shows their addresses.
#[derive(Debug, Clone, Args)]
pub struct Cni {
    /// Serve the CNI plugin at this Unix socket, so that a pod starts once its rules are in force.
    #[arg(long, value_name = "FILE", value_parser = parse_socket)]
    pub cni_socket: Option<PathBuf>,
    /// Where to install the plugin; without a configuration directory it is not installed.
    #[command(flatten)]
    pub place: CniPlace,
    /// The plugin's program that is installed; without it, the one beside this program.
    #[arg(long, value_name = "FILE")]
    pub cni_plugin: Option<PathBuf>,
    /// A namespace whose pods the plugin does not hold back, nor protect before the API shows their addresses; several
    /// may be given.
    #[arg(long, value_name = "NAMESPACE")]
    pub cni_exempt_namespace: Vec<String>,
    /// What becomes of a pod when the agent does not answer the plugin in time: `closed`, it does not start and is tried
    /// again; `open`, it starts in quarantine, where it reaches name servers and its node alone.
    #[arg(long, value_enum, default_value_t = OnFailure::Closed)]
    pub cni_on_failure: OnFailure,
}

/// Where the runtime has its CNI.
#[derive(Debug, Clone, Args)]
pub struct CniPlace {
    /// The CNI's configurations, such as /etc/cni/net.d.
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// The CNI's programs.
    #[arg(long, value_name = "DIR", default_value = "/opt/cni/bin")]
    pub cni_bin_dir: PathBuf,
}

/// Where the agent keeps what outlives it.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The nftables table, whose name begins with `nopal`.
    #[arg(long, value_name = "NAME", default_value = Config::TABLE)]
    pub table: String,
    /// The directory of the last good rules, for a boot before the API server can be reached.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/nopal")]
    pub state_dir: PathBuf,
}

/// Where to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// What becomes of a pod without an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// It does not start.
    Closed,
    /// It starts in quarantine.
    Open,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A JSON object each.
    Json,
    /// For people.
    Text,
}

/// What becomes of what policies deny.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// It is denied.
    #[default]
    Enforce,
    /// It passes, and is counted and told, whatever the policies' own modes are.
    Audit,
}

/// What happens to a denied packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// It disappears.
    Drop,
    /// Its sender is told that an administrator forbids it.
    Reject,
}

/// What packets are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Count {
    /// For each policy.
    Policies,
    /// For each rule of a policy, too; `/metrics` tells them.
    Rules,
}

impl Mode {
    /// The word for it, as on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

/// The bits of the conntrack mark that hold a flow's generation, if any do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks(pub Option<MarkBits>);

impl Run {
    /// The backend's configuration.
    pub fn config(&self) -> Result<Config, nft_backend::names::NameError> {
        Ok(Config {
            marks: self.mark_mask.0,
            audit_all: self.mode == Mode::Audit,
            deny: match self.deny {
                Deny::Drop => config::Deny::Drop,
                Deny::Reject => config::Deny::Reject,
            },
            rule_counters: self.count == Count::Rules,
            ..self.place.config()?
        })
    }
}

impl Place {
    /// The backend's configuration for this table.
    pub fn config(&self) -> Result<Config, nft_backend::names::NameError> {
        Config::for_table(&self.table)
    }
}

fn parse_http(text: &str) -> Result<Http, String> {
    if text == "off" {
        return Ok(Http::Off);
    }
    let address = text.parse().map(Http::At);
    address.map_err(|_| {
        "give an address and a port, such as 127.0.0.1:9470 or [::1]:9470, or off".to_owned()
    })
}

/// The port of the status where none is said.
const STATUS_PORT: u16 = 9471;

/// As [`parse_http`], or an address alone: who knows the node's address from a variable cannot tell whether it takes
/// brackets before a port.
fn parse_status(text: &str) -> Result<Http, String> {
    match text.parse() {
        Ok(address) => Ok(Http::At(SocketAddr::new(address, STATUS_PORT))),
        Err(_) => parse_http(text),
    }
}

fn parse_socket(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    // The kernel's limit is 108 bytes with the one that ends it; the socket is made under a longer name.
    if path.is_absolute() && path.file_name().is_some() && text.len() <= 100 {
        return Ok(path);
    }
    Err("give an absolute path of at most 100 bytes, such as /run/nopal/cni.sock".to_owned())
}

fn parse_mask(text: &str) -> Result<Marks, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let mask = number.map_err(|error| format!("{error}; give a number such as 0xff000000"))?;
    let bits = (mask != 0).then(|| MarkBits::from_mask(mask)).transpose();
    bits.map(Marks).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn a_node_and_a_kubeconfig_are_enough() {
        let arguments = parse("nopal-agent --node a --kubeconfig f").unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.run.node.as_deref(), Some("a"));
        assert_eq!(
            arguments.run.http,
            Http::At("127.0.0.1:9470".parse().unwrap())
        );
        let spelled = parse("nopal-agent run --node a --http off --mark-mask 0xf0").unwrap();
        let Some(Command::Run(run)) = spelled.command else {
            panic!("run was asked for");
        };
        assert_eq!(
            (run.http, run.mark_mask),
            (Http::Off, Marks(MarkBits::from_mask(0xf0).ok()))
        );
    }

    #[test]
    fn no_mark_bits_are_no_marks() {
        let marks = |text: &str| {
            let run = parse(&format!("nopal-agent --node a{text}")).unwrap().run;
            run.config().unwrap().marks
        };
        assert_eq!(marks(""), Some(MarkBits::DEFAULT));
        assert_eq!(marks(" --mark-mask 0x30"), MarkBits::from_mask(0x30).ok());
        for none in ["0", "0x0", "0x00000000"] {
            assert_eq!(marks(&format!(" --mark-mask {none}")), None);
        }
    }

    #[test]
    fn the_status_is_served_at_an_address_of_the_node_if_one_is_given() {
        let status = |text: &str| parse(&format!("nopal-agent {text}")).unwrap().run.status;
        assert_eq!(status(""), Http::Off);
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:9471"),
            ("2001:db8::1", "[2001:db8::1]:9471"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let expected = Http::At(address.parse().unwrap());
            assert_eq!(status(&format!("--status {text}")), expected);
        }
    }

    #[test]
    fn mode_and_denial_are_the_backends() {
        let plain = parse("nopal-agent --node a").unwrap().run.config().unwrap();
        assert_eq!(plain, Config::default());
        let chosen =
            parse("nopal-agent --node a --mode audit --deny reject --count rules").unwrap();
        let chosen = chosen.run.config().unwrap();
        assert!(chosen.audit_all && chosen.rule_counters);
        assert_eq!(chosen.deny, config::Deny::Reject);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "nopal-agent --http everywhere",
            "nopal-agent --status everywhere",
            "nopal-agent --mark-mask 0xf0f",
            "nopal-agent --mode shout",
            "nopal-agent --deny politely",
            "nopal-agent --count sheep",
            "nopal-agent cleanup --node a",
            "nopal-agent --cni-socket cni.sock",
            "nopal-agent --cni-socket /",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
