//! Times reading and linting of a cluster in the proportions of a real one (5,413 pods, 604 namespaces, 13,678
//! policies), and of a namespace with 1,000 policies, most of them redundant. Run it with `--release`.

use std::sync::Arc;
use std::time::Instant;

use nopal::lint::{Input, Selection, World, lint};
use nopal::manifest::{Source, read_source};

mod profiles;

#[allow(clippy::print_stdout, reason = "an example prints what it measured")]
fn main() {
    for (name, text) in [
        ("real-cluster profile", profiles::real_cluster()),
        ("1,000 policies in one namespace", profiles::one_namespace()),
    ] {
        let length = text.len();
        let start = Instant::now();
        let manifests = read_source(&Arc::new(Source::new(name.to_owned(), text)), "default");
        let read = start.elapsed();
        let start = Instant::now();
        let world = World::new(&manifests);
        let known = start.elapsed();
        let start = Instant::now();
        let input = Input::new(&manifests, &world, &Selection::default());
        let prepared = start.elapsed();
        drop(input);
        let start = Instant::now();
        let findings = lint(&manifests, &Selection::default());
        let linted = start.elapsed();
        println!(
            "{name}: {} objects, {} MB, read {read:.0?}, pods {known:.0?}, policies {prepared:.0?}, lint {linted:.2?}, {} findings",
            manifests.objects.len(),
            length >> 20,
            findings.len()
        );
        for code in [
            "NP121", "NP128", "NP202", "NP205", "NP221", "NP228", "NP231",
        ] {
            let select = vec![code.to_owned()];
            let start = Instant::now();
            let selection = Selection {
                select,
                ..Selection::default()
            };
            let findings = lint(&manifests, &selection);
            println!(
                "  {code} alone {:.0?}, {} findings",
                start.elapsed(),
                findings.len()
            );
        }
    }
}
