//! Container images made by hand, as `docker save` would write them: one layer with all files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::HarnessError;

/// Where Debian's images look for programs.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What Debian has in other places since its programs are all below `/usr`, and where a pod's `/var/run` leads.
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("var/run", "/run"),
];

/// An image in the making: the folder that becomes its one layer.
#[derive(Debug)]
pub struct Image {
    name: String,
    entrypoint: String,
    folder: PathBuf,
}

impl Image {
    /// An image without files. `folder` is its own; `entrypoint` is a path in it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str, entrypoint: &str, folder: &Path) -> Result<Self, HarnessError> {
        let this = Self {
            name: name.to_owned(),
            entrypoint: entrypoint.to_owned(),
            folder: folder.to_owned(),
        };
        let made = fs::create_dir_all(this.root());
        made.map_err(HarnessError::io(format!("make {}", folder.display())))?;
        Ok(this)
    }

    /// Puts a file of this machine to a place in the image.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn add(&self, file: &Path, place: &str) -> Result<(), HarnessError> {
        let to = self.root().join(place.trim_start_matches('/'));
        let folder = to.parent().unwrap_or(&to);
        let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(file, &to));
        copied.map_err(HarnessError::io(format!("copy {}", file.display())))?;
        Ok(())
    }

    /// Makes the links that Debian's images have.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn add_links(&self) -> Result<(), HarnessError> {
        for (link, to) in LINKS {
            let link = self.root().join(link);
            let folder = link.parent().unwrap_or(&link);
            let made = fs::create_dir_all(folder).and_then(|()| symlink(to, &link));
            made.map_err(HarnessError::io(format!("link {}", link.display())))?;
        }
        Ok(())
    }

    /// Puts in a program that this machine's Debian has installed, with the libraries that it is linked with.
    ///
    /// # Errors
    /// When it cannot be copied, or ldd cannot be run.
    pub fn add_program(&self, program: &Path) -> Result<(), HarnessError> {
        let libraries = output(Command::new("ldd").arg(program))?;
        let paths = libraries.lines().filter_map(|line| {
            let words = line.split_whitespace();
            words.into_iter().find(|word| word.starts_with('/'))
        });
        for file in paths.map(Path::new).chain([program]) {
            // Links are followed: what is in `/lib` is in `/usr/lib`.
            let place = file.to_string_lossy();
            let place = match place.strip_prefix("/usr/") {
                Some(_) => place.into_owned(),
                None => format!("/usr{place}"),
            };
            self.add(file, &place)?;
        }
        Ok(())
    }

    /// Writes the archive of the image, and gives its place.
    ///
    /// # Errors
    /// When a file cannot be written, or tar or sha256sum cannot be run.
    pub(crate) fn write(&self) -> Result<PathBuf, HarnessError> {
        let failed = || HarnessError::io(format!("write the image {}", self.name));
        tar(&self.folder.join("layer.tar"), &self.root(), &["."])?;
        let digest = digest(&self.folder.join("layer.tar"))?;
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Entrypoint": [self.entrypoint], "Env": [format!("PATH={SEARCHED}")]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let manifest =
            json!([{"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        for (file, content) in [("config.json", &config), ("manifest.json", &manifest)] {
            let file = File::create(self.folder.join(file)).map_err(failed())?;
            serde_json::to_writer(file, content).map_err(|error| failed()(error.into()))?;
        }
        let archive = self.folder.join("image.tar");
        let parts = ["layer.tar", "config.json", "manifest.json"];
        tar(&archive, &self.folder, &parts)?;
        Ok(archive)
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }
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
