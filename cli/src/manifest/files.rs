//! From the command line's paths to texts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::error::InputError;
use super::rendered::Tool;
use super::source::Source;

/// The name of standard input on the command line.
pub const STANDARD_INPUT: &str = "-";

/// No file is read further than this; it also keeps byte offsets within 32 bits.
const MAX_BYTES: u64 = 1 << 30;

/// A file to read.
pub(super) struct InputFile {
    path: PathBuf,
    /// Its name in messages.
    name: String,
    /// Whether the command line names it, rather than a folder that it is in.
    pub(super) is_named: bool,
    /// What makes manifests of it, where it is a folder.
    tool: Option<Tool>,
}

/// The files that `paths` stand for, in order: a folder gives its `.yaml`, `.yml` and `.json` files, sorted, those
/// of its sub-folders too, and a chart or kustomization what its tool makes of it. Names that begin with a dot are left out; a file that is reached twice is read once.
pub(super) fn find(paths: &[PathBuf]) -> (Vec<InputFile>, Vec<InputError>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let is_folder = path.as_os_str() != STANDARD_INPUT && path.is_dir();
        let tool = Tool::of(path).filter(|_| is_folder);
        if is_folder && tool.is_none() {
            walk(path, &mut files, &mut errors);
        } else {
            files.push(InputFile {
                name: name(path),
                path: path.clone(),
                is_named: true,
                tool,
            });
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| {
        seen.insert(
            file.path
                .canonicalize()
                .unwrap_or_else(|_| file.path.clone()),
        )
    });
    (files, errors)
}

fn name(path: &Path) -> String {
    if path.as_os_str() == STANDARD_INPUT {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Gives what was found at `path` the names that it has elsewhere, at `shown`.
pub(super) fn rename(path: &Path, shown: &str, files: &mut [InputFile], errors: &mut [InputError]) {
    let names = files.iter_mut().map(|file| &mut file.name);
    for name in names.chain(errors.iter_mut().map(|error| &mut error.file)) {
        if let Ok(within) = Path::new(name.as_str()).strip_prefix(path) {
            let within = within.display().to_string();
            *name = if within.is_empty() {
                shown.to_owned()
            } else {
                format!("{}/{within}", shown.trim_end_matches('/'))
            };
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<InputFile>, errors: &mut Vec<InputError>) {
    let before = files.len() + errors.len();
    let is_hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let entries = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry));
    for entry in entries {
        match entry {
            Ok(entry) if is_manifest(entry.path()) => {
                files.push(InputFile {
                    name: name(entry.path()),
                    path: entry.into_path(),
                    is_named: false,
                    tool: None,
                });
            }
            Ok(_) => {}
            Err(error) => {
                let name = error.path().unwrap_or(folder).display().to_string();
                let reason = error
                    .io_error()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                errors.push(InputError::of_file(
                    &name,
                    format!("cannot be read: {reason}"),
                ));
            }
        }
    }
    if files.len() + errors.len() == before {
        let message = "the folder holds no .yaml, .yml or .json file";
        errors.push(InputError::of_file(&folder.display().to_string(), message));
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    }) && !path.is_dir()
}

/// Reads a file's text.
pub(super) fn read(file: &InputFile) -> Result<Source, Box<InputError>> {
    let is_standard_input = file.path.as_os_str() == STANDARD_INPUT;
    let name = file.name.clone();
    let error = |message: String| Box::new(InputError::of_file(&name, message));
    let bytes = if let Some(tool) = file.tool {
        Ok(tool.render(&file.path).map_err(error)?)
    } else if is_standard_input {
        bytes(std::io::stdin().lock())
    } else {
        File::open(&file.path).and_then(bytes)
    };
    let bytes = bytes.map_err(|reason| error(format!("cannot be read: {reason}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(error(format!("is larger than {} MiB", MAX_BYTES >> 20)));
    }
    String::from_utf8(bytes)
        .map(|text| Source::new(name.clone(), text))
        .map_err(|bytes| {
            let valid = bytes.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(&bytes.as_bytes()[..valid]).into_owned();
            let end = Source::new(name.clone(), before).position(u32::MAX);
            Box::new(InputError {
                position: Some(end),
                ..InputError::of_file(&name, "not valid UTF-8")
            })
        })
}

fn bytes(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
