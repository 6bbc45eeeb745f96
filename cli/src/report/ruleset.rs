//! A ruleset as nft text and as nft JSON.

use nft_backend::config::Config;
use nft_backend::load::{StandingFlows, plan};
use nft_backend::ruleset::Ruleset;
use serde_json::{Value, json};

/// How a ruleset is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// What `nft -f -` reads.
    #[default]
    Nft,
    /// What `nft -j -f -` reads.
    Json,
}

/// The ruleset in the format asked for: what a first load brings.
///
/// # Errors
/// The message says why the load cannot be planned or printed.
pub fn text(ruleset: &Ruleset, config: &Config, format: Format) -> Result<String, String> {
    match format {
        Format::Nft => Ok(ruleset.to_string()),
        Format::Json => json_text(ruleset, config),
    }
}

fn json_text(ruleset: &Ruleset, config: &Config) -> Result<String, String> {
    let load =
        plan(ruleset, config, None, StandingFlows::Keep).map_err(|error| error.to_string())?;
    let mut commands = Vec::new();
    for transaction in [&load.create, &load.switch] {
        let mut batch: Value =
            serde_json::from_slice(&transaction.to_json()).map_err(|error| error.to_string())?;
        if let Some(Value::Array(list)) = batch.get_mut("nftables").map(Value::take) {
            commands.extend(list);
        }
    }
    Ok(super::json(&json!({"nftables": commands})))
}
