//! Puts the CNI plugin where the runtime finds it, and keeps it there: the program beside the CNI's own, and an entry
//! at the end of the CNI's list of plugins.
//!
//! [`conflist`] edits texts, [`files`] replaces files so that a reader never finds half of one. What is not understood
//! is left alone: a CNI without nopal's plugin works, a CNI with a broken configuration does not.

pub mod conflist;
pub mod files;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use conflist::{ConfError, PLUGIN, Shape};
use files::FileError;

/// How often it is looked whether the CNI has rewritten its file.
const PERIOD: Duration = Duration::from_millis(500);

/// What the file of a CNI that was not a list is called after it was made one.
const SAVED: &str = "nopal-saved";

/// Where the plugin is to be, and how it is to be called.
#[derive(Debug, Clone)]
pub struct Installer {
    /// The CNI's configurations, such as `/etc/cni/net.d`.
    pub conf_dir: PathBuf,
    /// The CNI's programs, such as `/opt/cni/bin`.
    pub bin_dir: PathBuf,
    /// The plugin's program, to be copied from.
    pub program: PathBuf,
    /// The plugin's entry in the list.
    pub entry: serde_json::Value,
}

/// Why the plugin is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The CNI enforces policies itself, and must not be combined with nopal.
    #[error(
        "{path} is the configuration of {cni}, which enforces NetworkPolicies itself: nopal is not to be combined with \
         it and is not installed; remove nopal from this cluster, or turn to the page on {cni} in docs/cni"
    )]
    Enforces {
        /// The configuration.
        path: PathBuf,
        /// The CNI.
        cni: &'static str,
    },
    /// No CNI has written a configuration yet.
    #[error("{0} has no .conf, .conflist or .json file yet: is a CNI installed?")]
    NoCni(PathBuf),
    /// The configuration is not one that can be added to.
    #[error("{path} is left as it is: {source}")]
    Conf {
        /// The configuration.
        path: PathBuf,
        /// Why.
        source: ConfError,
    },
    /// A list stands already where the CNI's single configuration would become one.
    #[error("{0} is left as it is: a list of that name exists beside it; remove one of them")]
    Both(PathBuf),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Installer {
    /// Makes it so that the next pod is started with the plugin; gives the files that were changed for it. Does
    /// nothing when it is so already.
    ///
    /// The program comes before the entry, so that no runtime looks for one that is not there.
    pub fn install(&self) -> Result<Vec<PathBuf>, InstallError> {
        let mut changed = Vec::new();
        let program = self.bin_dir.join(PLUGIN);
        // What must not be combined is refused before anything is touched.
        let (path, text, shape) = self.current()?;
        if files::copy_program(&self.program, &program)? {
            changed.push(program);
        }
        let conf = |source| InstallError::Conf {
            path: path.clone(),
            source,
        };
        let Some(edited) =
            conflist::with_plugin(&text.content, shape, &self.entry).map_err(conf)?
        else {
            return Ok(changed);
        };
        match shape {
            Shape::List => {
                files::replace(&path, &edited, &text)?;
                changed.push(path);
            }
            Shape::Single => {
                let list = path.with_extension("conflist");
                expect_own(&list, &path)?;
                files::create(&list, &edited, &text)?;
                // A `.conf` comes before the `.conflist` of its name, so until here it was the one that is read.
                files::rename(&path, &saved(&path))?;
                changed.push(list);
            }
        }
        Ok(changed)
    }

    /// Looks whether the CNI is one that can be added to, without touching anything.
    pub fn check(&self) -> Result<(), InstallError> {
        self.current().map(|_| ())
    }

    /// Installs again and again, since a CNI may write its file anew whenever it starts. Says what changes.
    pub async fn keep(self) {
        let mut told = String::new();
        loop {
            let this = self.clone();
            let done = tokio::task::spawn_blocking(move || this.install()).await;
            let said = match done {
                Ok(Ok(changed)) => {
                    for path in changed {
                        tracing::info!(path = %path.display(), "the CNI plugin is installed");
                    }
                    String::new()
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            if said != told && !said.is_empty() {
                tracing::error!(error = said, "the CNI plugin is not installed");
            }
            told = said;
            sleep(PERIOD).await;
        }
    }

    /// The configuration that the runtime chooses: the first by name.
    fn current(&self) -> Result<(PathBuf, files::Text, Shape), InstallError> {
        let names = files::configurations(&self.conf_dir)?;
        let first = names.into_iter().next();
        let path = first.ok_or_else(|| InstallError::NoCni(self.conf_dir.clone()))?;
        let text = files::read(&path)?;
        let shape = match path.extension() {
            Some(extension) if extension == "conflist" => Shape::List,
            _ => Shape::Single,
        };
        match conflist::enforcing_cni(&text.content, shape) {
            Ok(None) => Ok((path, text, shape)),
            Ok(Some(cni)) => Err(InstallError::Enforces { path, cni }),
            Err(source) => Err(InstallError::Conf { path, source }),
        }
    }
}

/// A list beside the single configuration must be the one that an earlier install made of it.
fn expect_own(list: &Path, single: &Path) -> Result<(), InstallError> {
    if !files::exists(list) {
        return Ok(());
    }
    let text = files::read(list)?;
    let is_own = conflist::has_plugin(&text.content).unwrap_or_default();
    is_own
        .then_some(())
        .ok_or_else(|| InstallError::Both(single.to_owned()))
}

/// Takes the plugin's entry out of every list and its program away; gives the files that were changed. What cannot be
/// read is left alone and told at the end.
///
/// # Errors
/// The first thing that could not be done; everything else is.
pub fn remove(conf_dir: &Path, bin_dir: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let mut changed = Vec::new();
    let mut failed = None;
    for path in files::configurations(conf_dir)? {
        match remove_entry(&path) {
            Ok(true) => changed.push(path),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        // A runtime that still finds the entry needs the program.
        return Err(error);
    }
    let program = bin_dir.join(PLUGIN);
    match fs::remove_file(&program) {
        Ok(()) => changed.push(program),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(failure("remove", &program, source)),
    }
    Ok(changed)
}

fn remove_entry(path: &Path) -> Result<bool, InstallError> {
    if path
        .extension()
        .is_none_or(|extension| extension != "conflist")
    {
        return Ok(false);
    }
    let text = files::read(path)?;
    let conf = |source| InstallError::Conf {
        path: path.to_owned(),
        source,
    };
    let Some(edited) = conflist::without_plugin(&text.content).map_err(conf)? else {
        return Ok(false);
    };
    let single = path.with_extension("conf");
    let saved = saved(&single);
    if files::exists(&saved) && !files::exists(&single) {
        files::rename(&saved, &single)?;
        fs::remove_file(path).map_err(|source| failure("remove", path, source))?;
    } else {
        files::replace(path, &edited, &text)?;
    }
    Ok(true)
}

fn saved(single: &Path) -> PathBuf {
    let mut name = single.as_os_str().to_owned();
    name.push(".");
    name.push(SAVED);
    name.into()
}

fn failure(doing: &'static str, path: &Path, source: io::Error) -> InstallError {
    FileError::new(doing, path, source).into()
}

#[cfg(test)]
mod tests;
