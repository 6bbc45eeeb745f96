//! The agent's side of the CNI plugin: pods of this node are known by what the runtime says before the API shows it.
//!
//! [`overlay`] is what is known, as a value; [`desk`] keeps it between the watches and the sync; [`leases`] has it on
//! disk for the next process; [`server`] listens to the plugin.

pub mod desk;
pub mod leases;
pub mod overlay;
pub mod server;
