//! The matrix of groups as text, as CSV and as JSON.

use std::fmt::Write;

use policy_core::{Direction, Isolation};
use serde_json::{Value, json};

use super::matrix::{Format, aligned, by_protocol, csv_field, ports_json};
use super::unread;
use super::words::addresses;
use crate::grouped::{Cell, Group, Grouped, Grouping, Outside};
use crate::manifest::InputError;
use crate::reachable::Reachable;

/// With more groups than these, a line for each two groups reads better than a grid.
const WIDEST_GRID: usize = 24;

/// The grouped matrix in the format asked for; `html` has groups of its own and is not printed here. `unread` is what it
/// does not cover.
pub fn grouped(
    grouped: &Grouped,
    reachable: &Reachable<'_>,
    grouping: Grouping,
    unread: &[InputError],
    format: Format,
) -> String {
    match format {
        Format::Table | Format::Html => unread::text(table(grouped), unread),
        Format::Json => unread::json(as_json(grouped, reachable, grouping), unread),
        Format::Csv => csv(grouped),
    }
}

fn as_json(grouped: &Grouped, reachable: &Reachable<'_>, grouping: Grouping) -> Value {
    let groups = grouped.groups.iter().map(|group| {
        let members = group
            .pods
            .iter()
            .map(|&pod| reachable.pods[pod].id.to_string());
        let [ingress, egress] = group.isolation.map(state);
        json!({
            "id": group.name,
            "members": members.collect::<Vec<_>>(),
            "isolated": { "ingress": ingress, "egress": egress },
        })
    });
    let name = |group: usize| grouped.groups[group].name.as_str();
    let cells = grouped.cells.iter().map(|cell| {
        json!({
            "from": name(cell.from),
            "to": name(cell.to),
            "allowed": ports_json(&cell.allowed),
            "open": cell.open,
            "pairs": cell.pairs,
            "uniform": cell.is_uniform,
        })
    });
    let outside = grouped.outside.iter().map(|outside| {
        let (from, to) = ends(outside, name(outside.group));
        let cidrs = outside.addresses.cidrs();
        json!({
            "from": from,
            "to": to,
            "allowed": ports_json(&outside.allowed),
            "cidrs": cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "group": clap::ValueEnum::to_possible_value(&grouping)
            .map(|value| value.get_name().to_owned()),
        "groups": groups.collect::<Vec<_>>(),
        "connections": cells.chain(outside).collect::<Vec<_>>(),
    })
}

/// `isolated`, `audited`, `open`, or `mixed` where the pods of a group differ.
fn state(isolation: Option<Isolation>) -> &'static str {
    match isolation {
        Some(Isolation::Enforced) => "isolated",
        Some(Isolation::Audited) => "audited",
        Some(Isolation::None) => "open",
        None => "mixed",
    }
}

fn ends<'t>(outside: &Outside, group: &'t str) -> (&'t str, &'t str) {
    match outside.direction {
        Direction::Ingress => ("external", group),
        Direction::Egress => (group, "external"),
    }
}

fn csv(grouped: &Grouped) -> String {
    let mut text = "from,to,cidrs,protocol,ports,open,pairs\n".to_owned();
    let name = |group: usize| csv_field(&grouped.groups[group].name);
    for cell in &grouped.cells {
        for (protocol, ports) in by_protocol(&cell.allowed) {
            let (from, to) = (name(cell.from), name(cell.to));
            let (open, pairs) = (cell.open, cell.pairs);
            let _ = writeln!(text, "{from},{to},,{protocol},\"{ports}\",{open},{pairs}");
        }
    }
    for outside in &grouped.outside {
        let group = name(outside.group);
        let (from, to) = ends(outside, &group);
        let cidrs = outside.addresses.cidrs();
        let cidrs: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
        for (protocol, ports) in by_protocol(&outside.allowed) {
            let cidrs = cidrs.join(" ");
            let _ = writeln!(text, "{from},{to},{cidrs},{protocol},\"{ports}\",,");
        }
    }
    text
}

/// A grid of few groups, a line for each connection of many.
fn table(grouped: &Grouped) -> String {
    let mut text = if grouped.groups.len() <= WIDEST_GRID {
        grid(grouped)
    } else {
        lines(grouped)
    };
    if !grouped.outside.is_empty() {
        text.push('\n');
    }
    for outside in &grouped.outside {
        let (from, to) = ends(outside, &grouped.groups[outside.group].name);
        let _ = writeln!(
            text,
            "{from} -> {to}: {} ({})",
            outside.allowed,
            addresses(&outside.addresses).join(", "),
        );
    }
    text
}

fn grid(grouped: &Grouped) -> String {
    let mut heads = vec!["from \\ to".to_owned()];
    heads.extend((1..=grouped.groups.len()).map(|number| format!("[{number}]")));
    let mut rows = vec![heads];
    for (number, group) in grouped.groups.iter().enumerate() {
        let mut row = vec!["-".to_owned(); grouped.groups.len() + 1];
        row[0] = format!("[{}] {}", number + 1, named(group));
        if group.pods.len() == 1 {
            "=".clone_into(&mut row[number + 1]);
        }
        rows.push(row);
    }
    for cell in &grouped.cells {
        rows[cell.from + 1][cell.to + 1] = shown(cell);
    }
    aligned(&rows)
}

fn lines(grouped: &Grouped) -> String {
    let mut text = String::new();
    for cell in &grouped.cells {
        let (from, to) = (&grouped.groups[cell.from], &grouped.groups[cell.to]);
        let _ = writeln!(text, "{} -> {}: {}", named(from), named(to), shown(cell));
    }
    text
}

fn named(group: &Group) -> String {
    if group.pods.len() == 1 || group.name.ends_with(')') {
        group.name.clone()
    } else {
        format!("{} ({} pods)", group.name, group.pods.len())
    }
}

/// The ports; where not every two pods exchange the same, how many pairs exchange any of it.
fn shown(cell: &Cell) -> String {
    if cell.is_uniform {
        cell.allowed.to_string()
    } else {
        format!("{} ({} of {} pairs)", cell.allowed, cell.open, cell.pairs)
    }
}
