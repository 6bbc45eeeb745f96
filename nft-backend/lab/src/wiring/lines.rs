//! The words of `ip -batch` lines.

use std::fmt::{Arguments, Write};
use std::net::IpAddr;

/// Appends a line.
pub(super) fn line(lines: &mut String, text: Arguments<'_>) {
    writeln!(lines, "{text}").expect("writing to a string does not fail");
}

/// The network that holds the address alone.
pub(super) fn host(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 })
}

/// Gives a device these addresses, each once.
pub(super) fn add_addresses(lines: &mut String, device: &str, addresses: &[IpAddr]) {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        line(
            lines,
            format_args!("addr add {} dev {device}{nodad}", host(address)),
        );
    }
}

/// A route by a next hop that no route need lead to.
pub(super) fn add_route(lines: &mut String, to: &str, device: &str, next_hop: &str) {
    line(
        lines,
        format_args!("route replace {to} via {next_hop} dev {device} onlink"),
    );
}

/// A route to a neighbour, which is asked for its hardware address.
pub(super) fn add_neighbour_route(lines: &mut String, to: IpAddr, device: &str) {
    line(
        lines,
        format_args!("route replace {} dev {device}", host(to)),
    );
}
