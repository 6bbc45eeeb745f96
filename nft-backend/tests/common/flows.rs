//! Standing flows between `web` and a server in every form: TCP and UDP, driven by either end or never answered, straight
//! or through a Service, in both families. The server is `db` on the same node, or `far` on another.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nopal_lab::{Connection, Dialogue, Lab, LabError};

use super::netns::run_in;
use super::pair::{DB, FAR, NODE, WEB, in_each_family};

/// Who answers, and the Service that leads there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    addresses: [&'static str; 2],
    service: [&'static str; 2],
}

/// `db`
pub(crate) const NEAR: Server = Server {
    addresses: DB,
    service: ["10.96.0.1", "fd00:96::1"],
};
/// `far`
pub(crate) const AFAR: Server = Server {
    addresses: FAR,
    service: ["10.96.0.2", "fd00:96::2"],
};

/// For what must come.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// Who speaks first after a change, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    TcpByClient,
    TcpByServer,
    UdpByClient,
    UdpByServer,
    /// Nobody answers, so to the connection tracker the flow never is established.
    UdpOneWay,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::TcpByClient,
        Self::TcpByServer,
        Self::UdpByClient,
        Self::UdpByServer,
        Self::UdpOneWay,
    ];
}

#[derive(Debug)]
enum Ends {
    Tcp(Connection),
    Udp(Dialogue),
}

/// A flow that was begun, and both of its ends.
#[derive(Debug)]
pub(crate) struct StandingFlow {
    name: String,
    form: Form,
    ends: Ends,
}

/// As many ports as there are forms with and without a Service: each flow has one of its own.
pub(crate) fn ports(first: u16) -> RangeInclusive<u16> {
    first..=first + 9
}

impl Server {
    /// In each family where flows come from, the addresses that they go to, and where they end.
    fn flows(self) -> impl Iterator<Item = (IpAddr, [IpAddr; 2], IpAddr)> {
        let ends = in_each_family(WEB, self.addresses).into_iter();
        let services = in_each_family(WEB, self.service).into_iter();
        ends.zip(services)
            .map(|((web, server), (_, service))| (web, [server, service], server))
    }
}

/// Begins flows in every form to the ports of a server from `first` on.
pub(crate) fn begin(lab: &Lab, server: Server, first: u16) -> Vec<StandingFlow> {
    let mut flows = Vec::new();
    for (web, addresses, to) in server.flows() {
        let mut numbers = ports(first);
        for at in addresses {
            for form in Form::ALL {
                let port = numbers.next().unwrap();
                let name = format!("{form:?} to {at} port {port}");
                let ends = open(lab, form, web, at, to, port)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                flows.push(StandingFlow { name, form, ends });
            }
        }
    }
    flows
}

fn open(
    lab: &Lab,
    form: Form,
    from: IpAddr,
    at: IpAddr,
    to: IpAddr,
    port: u16,
) -> Result<Ends, LabError> {
    let [at, to] = [at, to].map(|address| SocketAddr::new(address, port));
    let mut ends = match form {
        Form::TcpByClient | Form::TcpByServer => {
            Ends::Tcp(Connection::open_through(lab, from, at, to, LONG)?)
        }
        _ => Ends::Udp(Dialogue::open(lab, from, at, to, LONG)?),
    };
    // Both ends speak, so that the flow is established where it is to be.
    let passes = match &mut ends {
        Ends::Tcp(connection) => connection.exchange(LONG),
        Ends::Udp(_) if form == Form::UdpOneWay => true,
        Ends::Udp(dialogue) => dialogue.exchange(LONG),
    };
    assert!(passes, "{form:?} to {at} begins");
    Ok(ends)
}

/// The names of the flows that do not get through, each spoken first by the end that its form says.
pub(crate) fn silent(flows: &mut [StandingFlow]) -> Vec<String> {
    names(flows, |flow| !flow.passes(LONG, false))
}

/// The names of the flows of which a packet gets through, whichever end speaks first.
pub(crate) fn alive(flows: &mut [StandingFlow]) -> Vec<String> {
    names(flows, |flow| {
        flow.passes(SHORT, false) || flow.passes(SHORT, true)
    })
}

fn names(
    flows: &mut [StandingFlow],
    is_wanted: impl Fn(&mut StandingFlow) -> bool + Sync,
) -> Vec<String> {
    let is_wanted = &is_wanted;
    thread::scope(|scope| {
        let waiting: Vec<_> = flows
            .iter_mut()
            .map(|flow| scope.spawn(move || is_wanted(flow).then(|| flow.name.clone())))
            .collect();
        let ended = waiting.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    })
}

impl StandingFlow {
    fn passes(&mut self, patience: Duration, other_end_first: bool) -> bool {
        let by_server = matches!(self.form, Form::TcpByServer | Form::UdpByServer);
        let by_server = by_server != other_end_first;
        match &mut self.ends {
            Ends::Udp(dialogue) if self.form == Form::UdpOneWay => dialogue.tell(patience),
            Ends::Udp(dialogue) if by_server => dialogue.push(patience),
            Ends::Udp(dialogue) => dialogue.exchange(patience),
            Ends::Tcp(connection) if by_server => connection.push(patience),
            Ends::Tcp(connection) => connection.exchange(patience),
        }
    }
}

/// Translates the Services' addresses to those of their servers on every port, in tables like those of kube-proxy.
pub(crate) fn translate_services(lab: &Lab) {
    let node = lab.node_namespace(NODE).unwrap();
    for (number, family, kind) in [(0, "ip", "ipv4_addr"), (1, "ip6", "ipv6_addr")] {
        let elements = [(NEAR, "near"), (AFAR, "afar")].map(|(server, endpoint)| {
            let service = server.service[number];
            ["tcp", "udp"]
                .map(|protocol| format!("{service} . {protocol} . 0-65535 : goto {endpoint}"))
                .join(", ")
        });
        let elements = elements.join(", ");
        let [near, afar] = [NEAR, AFAR].map(|server| server.addresses[number]);
        let table = format!(
            "table {family} kube-proxy {{
                map service-ips {{
                    type {kind} . inet_proto . inet_service : verdict; flags interval;
                    elements = {{ {elements} }}
                }}
                chain near {{ dnat to {near}; }}
                chain afar {{ dnat to {afar}; }}
                chain services {{ {family} daddr . meta l4proto . th dport vmap @service-ips; }}
                chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
            }}"
        );
        run_in(node, &["nft", &table]);
    }
}

/// Keeps flows of datagrams speaking while a job is done, in both families: straight to the port `first` of the server,
/// and through its Service to the next. Gives how many datagrams were answered.
///
/// # Panics
/// When a datagram or an answer is lost.
pub(crate) fn while_speaking(lab: &Lab, server: Server, first: u16, job: impl FnOnce()) -> u64 {
    let mut flows = Vec::new();
    for (web, addresses, to) in server.flows() {
        for (port, at) in (first..).zip(addresses) {
            let [at, to] = [at, to].map(|address| SocketAddr::new(address, port));
            flows.push(Dialogue::open(lab, web, at, to, LONG).unwrap());
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let speaking = scope.spawn(|| {
            let mut exchanges = 0;
            while !stop.load(Ordering::Relaxed) {
                for flow in &mut flows {
                    assert!(flow.exchange(LONG), "lost after {exchanges} exchanges");
                    exchanges += 1;
                }
            }
            exchanges
        });
        let end = Raise(&stop);
        job();
        drop(end);
        speaking.join().unwrap()
    })
}

/// Raises a flag when it goes, also by a panic.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
