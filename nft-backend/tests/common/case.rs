//! A folder of `testdata/cases`: a cluster, and what becomes of flows in it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use policy_core::testing::Objects;
use policy_core::testing::flow_table::{self, Row};
use policy_core::{Cluster, Flow, RuleGraph};

pub(crate) struct Case {
    /// The sentence that it shows.
    pub(crate) name: String,
    pub(crate) cluster: Cluster,
    pub(crate) graph: RuleGraph,
    /// Each row with the flows that it speaks of.
    pub(crate) rows: Vec<(Row, Vec<Flow>)>,
}

impl Case {
    /// Reads the case whose flow table this is.
    pub(crate) fn read(table: &Path) -> Result<Self, Box<dyn Error>> {
        let folder = table.parent().ok_or("a table lies in a folder")?;
        let name = folder.file_name().ok_or("a folder has a name")?;
        let objects = Objects::from_yaml(&fs::read_to_string(folder.join("cluster.yaml"))?)?;
        let cluster = objects.cluster();
        let mut rows = Vec::new();
        for row in flow_table::parse(&fs::read_to_string(table)?)? {
            let flows = row.flows(&cluster)?;
            rows.push((row, flows));
        }
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            graph: RuleGraph::compile(&cluster),
            cluster,
            rows,
        })
    }

    /// The flow tables of all cases, sorted.
    pub(crate) fn tables() -> Vec<PathBuf> {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/cases");
        let folders = fs::read_dir(cases).unwrap();
        let mut tables: Vec<PathBuf> = folders
            .map(|folder| folder.unwrap().path().join("flows.txt"))
            .filter(|table| table.exists())
            .collect();
        tables.sort();
        tables
    }
}
