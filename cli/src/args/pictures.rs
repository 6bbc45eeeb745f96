//! Arguments of `graph`.

use clap::Args;

use super::InputArguments;
use crate::grouped::Grouping;
use crate::report::graph::Format;

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Whether workloads or namespaces are nodes. Without it, namespaces are where there are more than 80 workloads.
    #[arg(long, value_name = "BY", value_parser = nodes)]
    pub group: Option<Grouping>,
    /// How to print the graph.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn nodes(text: &str) -> Result<Grouping, String> {
    match text {
        "workload" => Ok(Grouping::Workload),
        "namespace" => Ok(Grouping::Namespace),
        _ => Err("write workload or namespace".to_owned()),
    }
}
