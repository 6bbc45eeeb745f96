//! What to do when the kernel or a program that is needed says no.

use std::path::Path;

use nft_backend::kernel::ApplyError;
use nft_backend::load::LoadError;
use nopal_lab::LabError;

use crate::demo::StageError;

/// The error with what helps on Debian and its kin.
pub(super) fn explain(error: &ApplyError) -> String {
    match error {
        // Into another namespace nft is started by nsenter.
        ApplyError::NftMissing { program, .. } if program == Path::new("nsenter") => {
            "nsenter was not found; it is in the package util-linux".to_owned()
        }
        ApplyError::NftMissing { .. } | ApplyError::NftTooOld { .. } => {
            format!("{error} (package nftables)")
        }
        _ => error.to_string(),
    }
}

/// The same for a load.
pub(super) fn explain_load(error: &LoadError) -> String {
    match error {
        LoadError::Step { step, source } => format!("could not {step}: {}", explain(source)),
        _ => error.to_string(),
    }
}

/// The same for a demonstration.
pub(super) fn explain_stage(error: &StageError) -> String {
    match error {
        StageError::Lab(LabError::IpMissing(reason)) => {
            format!("cannot start ip: {reason}; it is in the package iproute2")
        }
        StageError::Lab(LabError::PluginMissing { .. }) => {
            format!("{error}; the package containernetworking-plugins has it")
        }
        StageError::Lab(LabError::NotRoot) => {
            "a demonstration makes network namespaces, which needs root; try sudo".to_owned()
        }
        StageError::Lab(LabError::Io { source, .. }) => format!("{error}: {source}"),
        StageError::Load { node, source } => format!("node {node}: {}", explain_load(source)),
        _ => error.to_string(),
    }
}
