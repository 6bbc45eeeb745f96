//! Times the matrix of a cluster in the proportions of a real one (5,413 pods, 604 namespaces, 13,678 policies), by
//! groups, as a page and as a graph. Run it with `--release`.

use std::sync::Arc;
use std::time::Instant;

use nopal::graph::drawing;
use nopal::grouped::{Grouping, grouped};
use nopal::inventory::{Inventory, MadeUp, Standing};
use nopal::manifest::{Source, read_source};
use nopal::owners::Owners;
use nopal::picture::Picture;
use nopal::reachable::Reachable;
use nopal::report;
use nopal::report::matrix::Format;
use policy_core::RuleGraph;

mod profiles;

#[allow(clippy::print_stdout, reason = "an example prints what it measured")]
fn main() {
    for (name, text) in [
        ("real-cluster profile", profiles::real_cluster()),
        ("1,000 policies in one namespace", profiles::one_namespace()),
    ] {
        let start = Instant::now();
        let manifests = read_source(&Arc::new(Source::new(name.to_owned(), text)), "default");
        println!("{name}: read {:.0?}", start.elapsed());
        for grouping in [Grouping::Namespace, Grouping::Workload, Grouping::Alike] {
            let start = Instant::now();
            let inventory = Inventory::new(&manifests, MadeUp::Addresses);
            let graph = RuleGraph::compile(&inventory.cluster);
            let pods = inventory.cluster.pods().keys();
            let pods: Vec<_> = pods.map(|id| (id.clone(), Standing::Known)).collect();
            let mut reachable = Reachable::new(&inventory.cluster, &graph, &pods, None);
            let owners = Owners::new(&manifests);
            let grouped = grouped(&mut reachable, &graph, &owners, grouping);
            let json =
                report::matrix_grouped::grouped(&grouped, &reachable, grouping, Format::Json);
            println!(
                "  by {grouping:?}: {:.2?}, {} groups, {} cells, {} KiB",
                start.elapsed(),
                grouped.groups.len(),
                grouped.cells.len(),
                json.len() >> 10
            );
        }
        let start = Instant::now();
        let (inventory, pods) = Inventory::with_possible(&manifests);
        let graph = RuleGraph::compile(&inventory.cluster);
        let picture = Picture::new(&inventory, &graph, &pods, &Owners::new(&manifests), None);
        let page = report::page::page(&picture, &inventory, &graph);
        println!(
            "  as a page: {:.2?}, {} KiB",
            start.elapsed(),
            page.len() >> 10
        );
        let start = Instant::now();
        let drawing = drawing(&picture, &graph, None);
        let picture = report::graph::graph(&drawing, report::graph::Format::Svg);
        println!(
            "  as a graph: {:.2?}, {} KiB",
            start.elapsed(),
            picture.len() >> 10
        );
    }
}
