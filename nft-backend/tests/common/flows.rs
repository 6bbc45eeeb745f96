//! Standing flows between `web` and `db` in every form: TCP and UDP, driven by either end or never answered, straight
//! or through a Service, in both families.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nopal_lab::{Connection, Dialogue, Lab, LabError};

use super::ip;
use super::netns::run_in;
use super::pair::{DB, NODE, WEB, in_each_family};

/// The Service that leads to `db`.
pub(crate) const SERVICE: [&str; 2] = ["10.96.0.1", "fd00:96::1"];

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

/// Begins flows in every form to the ports from `first` on.
pub(crate) fn begin(lab: &Lab, first: u16) -> Vec<StandingFlow> {
    let mut flows = Vec::new();
    for (family, (web, db)) in in_each_family(WEB, DB).into_iter().enumerate() {
        let mut numbers = ports(first);
        for at in [db, ip(SERVICE[family])] {
            for form in Form::ALL {
                let port = numbers.next().unwrap();
                let name = format!("{form:?} to {at} port {port}");
                let ends = open(lab, form, web, at, db, port)
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

/// Translates the Service's addresses to those of `db` on every port, in tables like those of kube-proxy.
pub(crate) fn translate_service(lab: &Lab) {
    let node = lab.node_namespace(NODE).unwrap();
    for (family, kind, service, db) in [
        ("ip", "ipv4_addr", SERVICE[0], DB[0]),
        ("ip6", "ipv6_addr", SERVICE[1], DB[1]),
    ] {
        let table = format!(
            "table {family} kube-proxy {{
                map service-ips {{
                    type {kind} . inet_proto . inet_service : verdict; flags interval;
                    elements = {{ {service} . tcp . 0-65535 : goto endpoint, {service} . udp . 0-65535 : goto endpoint }}
                }}
                chain endpoint {{ dnat to {db}; }}
                chain services {{ {family} daddr . meta l4proto . th dport vmap @service-ips; }}
                chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
            }}"
        );
        run_in(node, &["nft", &table]);
    }
}

/// Keeps flows of datagrams speaking while a job is done, in both families: straight to the port `first` of `db`, and
/// through the Service to the next. Gives how many datagrams were answered.
///
/// # Panics
/// When a datagram or an answer is lost.
pub(crate) fn while_speaking(lab: &Lab, first: u16, job: impl FnOnce()) -> u64 {
    let mut flows = Vec::new();
    for (family, (web, db)) in in_each_family(WEB, DB).into_iter().enumerate() {
        for (port, at) in (first..).zip([db, ip(SERVICE[family])]) {
            let [at, server] = [at, db].map(|address| SocketAddr::new(address, port));
            flows.push(Dialogue::open(lab, web, at, server, LONG).unwrap());
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
