//! tmp
use std::sync::Arc;
use std::time::Instant;
use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest::{Source, read_source};
#[allow(dead_code)]
mod profiles;
fn main() {
    let text = profiles::real_cluster();
    let start = Instant::now();
    let manifests = read_source(&Arc::new(Source::new("x".into(), text)), "default");
    println!("read {:?}", start.elapsed());
    let start = Instant::now();
    let (inventory, pods) = Inventory::with_possible(&manifests);
    println!("inventory {:?} {}", start.elapsed(), pods.len());
    let start = Instant::now();
    let graph = policy_core::RuleGraph::compile(&inventory.cluster);
    println!("graph {:?} {}", start.elapsed(), graph.edge_count());
    let start = Instant::now();
    let all: Vec<&policy_core::Pod> = inventory.cluster.pods().values().map(|p| p.as_ref()).collect();
    let mut table = policy_core::reach::PortTable::new();
    let reach = policy_core::reach::Reach::new(&graph, &all, &mut table);
    println!("reach {:?} {}", start.elapsed(), reach.kinds());
    let start = Instant::now();
    let mut n = 0;
    for a in 0..reach.kinds() as u32 { for b in 0..reach.kinds() as u32 { if reach.between(a, b, &mut table) != 0 { n += 1; } } }
    println!("pairs {:?} {n}", start.elapsed());
    let _ = MadeUp::Addresses;
    let start = Instant::now();
    let view = nopal::view::View::new(&inventory, pods);
    println!("view {:?} {}", start.elapsed(), view.groups.len());
}
