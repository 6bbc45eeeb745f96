//! A container image made by hand: one static program and nothing else, as `docker save` would write it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::HarnessError;

/// Writes the archive of an image with this name, whose one file is `program`, to `archive`.
///
/// # Errors
/// When a file cannot be written, or tar or sha256sum cannot be run.
pub(crate) fn write(archive: &Path, name: &str, program: &Path) -> Result<(), HarnessError> {
    let failed = || HarnessError::io(format!("write the image {}", archive.display()));
    let folder = archive.with_extension("parts");
    let root = folder.join("root");
    fs::create_dir_all(&root).map_err(failed())?;
    fs::copy(program, root.join("prober")).map_err(failed())?;
    let layer = folder.join("layer.tar");
    tar(&layer, &root, &["prober"])?;
    let digest = digest(&layer)?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/prober"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    for (file, content) in [("config.json", &config), ("manifest.json", &manifest)] {
        serde_json::to_writer(File::create(folder.join(file)).map_err(failed())?, content)
            .map_err(|error| failed()(error.into()))?;
    }
    tar(
        archive,
        &folder,
        &["layer.tar", "config.json", "manifest.json"],
    )
}

fn tar(archive: &Path, folder: &Path, files: &[&str]) -> Result<(), HarnessError> {
    let mut command = Command::new("tar");
    command.arg("-cf").arg(archive).arg("-C").arg(folder);
    output(command.args(files)).map(|_| ())
}

fn digest(file: &Path) -> Result<String, HarnessError> {
    let text = output(Command::new("sha256sum").arg(file))?;
    Ok(text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// What a program of the system prints.
pub(crate) fn output(command: &mut Command) -> Result<String, HarnessError> {
    let doing = format!("run {}", command.get_program().display());
    let output = command.output().map_err(HarnessError::io(doing.clone()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(HarnessError::io(doing)(io::Error::other(said)))
}
