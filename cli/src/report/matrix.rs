//! The matrix as a table, as CSV and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use policy_core::port_set::numeric_ranges;
use policy_core::{Isolation, PodId, PortSet, Protocol};
use serde_json::{Value, json};

use super::unread;
use crate::manifest::InputError;
use crate::matrix::{Connection, Endpoint, Matrix, Side};

/// How the matrix is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A grid of the endpoints, then what they exchange with other addresses.
    #[default]
    Table,
    /// For programs.
    Json,
    /// One line for each pair, protocol and list of ports.
    Csv,
    /// A page to look at, search and click in, without anything from the network.
    Html,
}

/// The matrix in the format asked for; a page is [`super::page`]'s. `unread` is what it does not cover.
pub fn matrix(matrix: &Matrix, unread: &[InputError], format: Format) -> String {
    match format {
        Format::Table | Format::Html => unread::text(table(matrix), unread),
        Format::Json => unread::json(as_json(matrix), unread),
        Format::Csv => csv(matrix),
    }
}

fn as_json(matrix: &Matrix) -> Value {
    let endpoints = matrix.endpoints.iter().map(|endpoint| {
        let directions = [endpoint.ingress, endpoint.egress];
        let mut value = json!({
            "id": endpoint.id.to_string(),
            "kind": endpoint.kind,
            "ips": endpoint.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "isolated": {
                "ingress": endpoint.ingress == Isolation::Enforced,
                "egress": endpoint.egress == Isolation::Enforced,
            },
        });
        if directions.contains(&Isolation::Audited) {
            let [ingress, egress] = directions.map(|isolation| isolation == Isolation::Audited);
            value["audited"] = json!({ "ingress": ingress, "egress": egress });
        }
        value
    });
    json!({
        "endpoints": endpoints.collect::<Vec<_>>(),
        "connections": matrix.connections.iter().map(connection_json).collect::<Vec<_>>(),
    })
}

fn connection_json(connection: &Connection) -> Value {
    let mut value = json!({
        "from": name(&connection.from),
        "to": name(&connection.to),
        "allowed": ports_json(&connection.allowed),
    });
    if let Some(cidrs) = cidrs(&connection.from).or_else(|| cidrs(&connection.to)) {
        value["cidrs"] = json!(cidrs);
    }
    value
}

/// `"all"`, or the ports of each protocol.
pub(super) fn ports_json(ports: &PortSet) -> Value {
    if ports.is_all() {
        return json!("all");
    }
    let lists = by_protocol(ports).into_iter();
    lists
        .map(|(protocol, ports)| json!({"protocol": protocol, "ports": ports}))
        .collect()
}

/// For each protocol its ports; `all` for everything.
pub(super) fn by_protocol(ports: &PortSet) -> Vec<(String, String)> {
    if ports.is_all() {
        return vec![("all".to_owned(), "all".to_owned())];
    }
    let with_ports = Protocol::ALL
        .into_iter()
        .filter(|protocol| !ports.ports(*protocol).is_empty());
    let mut lists: Vec<_> = with_ports
        .map(|protocol| (protocol.to_string(), numeric_ranges(ports.ports(protocol))))
        .collect();
    if ports.allows_other() {
        lists.push(("other".to_owned(), "all".to_owned()));
    }
    lists
}

fn csv(matrix: &Matrix) -> String {
    let mut text = "from,to,cidrs,protocol,ports\n".to_owned();
    for connection in &matrix.connections {
        let cidrs = cidrs(&connection.from)
            .or_else(|| cidrs(&connection.to))
            .unwrap_or_default();
        let (from, to) = (
            csv_field(&name(&connection.from)),
            csv_field(&name(&connection.to)),
        );
        for (protocol, ports) in by_protocol(&connection.allowed) {
            let _ = writeln!(
                text,
                "{from},{to},{},{protocol},\"{ports}\"",
                cidrs.join(" ")
            );
        }
    }
    text
}

/// A name as a field: in quotes where it would not be one field without.
pub(super) fn csv_field(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// Rows open connections, columns receive them. Columns are numbered, since names are long.
fn table(matrix: &Matrix) -> String {
    let mut cells: BTreeMap<(&PodId, &PodId), String> = BTreeMap::new();
    let mut external = String::new();
    for connection in &matrix.connections {
        if let (Side::Endpoint(from), Side::Endpoint(to)) = (&connection.from, &connection.to) {
            cells.insert((from, to), connection.allowed.to_string());
        } else {
            let cidrs = cidrs(&connection.from).or_else(|| cidrs(&connection.to));
            let _ = writeln!(
                external,
                "{} -> {}: {} ({})",
                name(&connection.from),
                name(&connection.to),
                connection.allowed,
                cidrs.unwrap_or_default().join(", "),
            );
        }
    }
    let numbers = 1..=matrix.endpoints.len();
    let heads =
        std::iter::once("from \\ to".to_owned()).chain(numbers.clone().map(|n| format!("[{n}]")));
    let mut rows = vec![heads.collect::<Vec<_>>()];
    for (number, from) in numbers.zip(&matrix.endpoints) {
        let mut row = vec![format!("[{number}] {}", from.id)];
        row.extend(
            matrix
                .endpoints
                .iter()
                .map(|to| match cells.get(&(&from.id, &to.id)) {
                    _ if from.id == to.id => "=".to_owned(),
                    Some(ports) => ports.clone(),
                    None => "-".to_owned(),
                }),
        );
        rows.push(row);
    }
    let mut text = aligned(&rows);
    if !external.is_empty() {
        let _ = write!(text, "\n{external}");
    }
    let audited = audited(&matrix.endpoints);
    if !audited.is_empty() {
        let _ = write!(text, "\n{audited}");
    }
    text
}

/// What passes only because its policies are in audit mode.
fn audited(endpoints: &[Endpoint]) -> String {
    let mut text = String::new();
    for endpoint in endpoints {
        let directions = [("ingress", endpoint.ingress), ("egress", endpoint.egress)];
        let audited = directions
            .into_iter()
            .filter(|(_, isolation)| *isolation == Isolation::Audited);
        for (direction, _) in audited {
            let _ = writeln!(
                text,
                "{}: {direction} is audited, not enforced",
                endpoint.id
            );
        }
    }
    text
}

/// Columns that begin below each other.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn name(side: &Side) -> String {
    match side {
        Side::Endpoint(id) => id.to_string(),
        Side::External(_) => "external".to_owned(),
    }
}

fn cidrs(side: &Side) -> Option<Vec<String>> {
    match side {
        Side::Endpoint(_) => None,
        Side::External(addresses) => {
            Some(addresses.cidrs().iter().map(ToString::to_string).collect())
        }
    }
}
