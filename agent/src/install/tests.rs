//! The installer in a directory of its own, with a reader who never stops reading.

use super::*;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

struct Place {
    folder: tempfile::TempDir,
    installer: Installer,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("net.d")).unwrap();
    fs::write(at("program"), b"the plugin").unwrap();
    let installer = Installer {
        conf_dir: at("net.d"),
        bin_dir: at("bin"),
        program: at("program"),
        entry: json!({"type": "nopal-cni", "socket": "/run/nopal/cni.sock"}),
    };
    Place { folder, installer }
}

impl Place {
    fn conf(&self, name: &str) -> PathBuf {
        self.installer.conf_dir.join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.conf(name), value.to_string()).unwrap();
    }

    fn types(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.conf(name)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let plugins = value["plugins"].as_array().unwrap().iter();
        plugins
            .map(|plugin| plugin["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn remove(&self) -> Result<Vec<PathBuf>, InstallError> {
        remove(&self.installer.conf_dir, &self.installer.bin_dir)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.installer.conf_dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn list() -> Value {
    json!({"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{"type": "flannel"}, {"type": "portmap"}]})
}

#[test]
fn the_first_list_gets_the_plugin_and_loses_it_again() {
    let place = place();
    place.write("10-flannel.conflist", &list());
    place.write("20-other.conflist", &list());
    fs::set_permissions(
        place.conf("10-flannel.conflist"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    std::os::unix::fs::chown(place.conf("10-flannel.conflist"), Some(1234), Some(77)).unwrap();
    assert_eq!(place.installer.install().unwrap().len(), 2);
    assert_eq!(place.installer.install().unwrap(), Vec::<PathBuf>::new());
    assert_eq!(
        place.types("10-flannel.conflist"),
        ["flannel", "portmap", "nopal-cni"]
    );
    assert_eq!(place.types("20-other.conflist"), ["flannel", "portmap"]);
    let metadata = fs::metadata(place.conf("10-flannel.conflist")).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
        (0o640, 1234, 77)
    );
    let program = place.installer.bin_dir.join("nopal-cni");
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o777, 0o755);
    assert_eq!(place.remove().unwrap().len(), 2);
    assert_eq!(place.types("10-flannel.conflist"), ["flannel", "portmap"]);
    assert!(!program.exists());
    assert_eq!(place.names(), ["10-flannel.conflist", "20-other.conflist"]);
    assert_eq!(place.remove().unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_single_configuration_becomes_a_list_and_comes_back() {
    let place = place();
    let single = json!({"cniVersion": "0.4.0", "name": "lab", "type": "bridge", "bridge": "br7"});
    place.write("10-lab.conf", &single);
    place.installer.install().unwrap();
    assert_eq!(
        place.names(),
        ["10-lab.conf.nopal-saved", "10-lab.conflist"]
    );
    assert_eq!(place.types("10-lab.conflist"), ["bridge", "nopal-cni"]);
    // The CNI writes its file anew.
    let changed = json!({"cniVersion": "0.4.0", "name": "lab", "type": "ptp"});
    place.write("10-lab.conf", &changed);
    place.installer.install().unwrap();
    assert_eq!(place.types("10-lab.conflist"), ["ptp", "nopal-cni"]);
    assert_eq!(
        place.names(),
        ["10-lab.conf.nopal-saved", "10-lab.conflist"]
    );
    place.remove().unwrap();
    assert_eq!(place.names(), ["10-lab.conf"]);
    let text = fs::read_to_string(place.conf("10-lab.conf")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), changed);
}

#[test]
fn a_list_of_somebody_else_beside_a_single_configuration_is_left_alone() {
    let place = place();
    place.write(
        "10-lab.conf",
        &json!({"cniVersion": "0.4.0", "name": "lab", "type": "ptp"}),
    );
    place.write("10-lab.conflist", &list());
    let error = place.installer.install().unwrap_err();
    assert!(matches!(error, InstallError::Both(_)), "{error}");
    assert_eq!(place.types("10-lab.conflist"), ["flannel", "portmap"]);
}

#[test]
fn what_is_strange_is_told_and_left_alone() {
    let place = place();
    let error = |name: &str| {
        let error = place.installer.install().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    error("net.d");
    fs::write(place.conf("10-a.conflist"), "{\"plugins\": [").unwrap();
    error("10-a.conflist");
    assert_eq!(
        fs::read_to_string(place.conf("10-a.conflist")).unwrap(),
        "{\"plugins\": ["
    );
    fs::write(place.conf("10-a.conflist"), vec![b' '; 2 * 1024 * 1024]).unwrap();
    assert!(error("10-a.conflist").contains("1 MiB"));
    fs::write(place.conf("10-a.conflist"), [0xff, 0xfe]).unwrap();
    assert!(error("10-a.conflist").contains("UTF-8"));
    fs::remove_file(place.conf("10-a.conflist")).unwrap();
    fs::write(place.folder.path().join("elsewhere"), list().to_string()).unwrap();
    symlink(
        place.folder.path().join("elsewhere"),
        place.conf("10-a.conflist"),
    )
    .unwrap();
    assert!(error("10-a.conflist").contains("symbolic link"));
    assert!(place.conf("10-a.conflist").is_symlink());
    assert!(!place.installer.bin_dir.exists(), "nothing was touched");
}

#[test]
fn a_cni_that_enforces_policies_is_not_touched() {
    let place = place();
    for (plugin, cni) in [("calico", "Calico"), ("cilium-cni", "Cilium")] {
        let list = json!({"cniVersion": "0.3.1", "name": "k", "plugins": [{"type": plugin}, {"type": "portmap"}]});
        place.write("10-k.conflist", &list);
        let error = place.installer.install().unwrap_err();
        assert!(
            matches!(error, InstallError::Enforces { cni: found, .. } if found == cni),
            "{error}"
        );
        assert_eq!(place.types("10-k.conflist"), [plugin, "portmap"]);
    }
}

#[test]
fn a_program_that_cannot_be_copied_keeps_the_entry_out_of_the_list() {
    let mut place = place();
    place.write("10-flannel.conflist", &list());
    place.installer.program = place.folder.path().join("missing");
    assert!(place.installer.install().is_err());
    assert_eq!(place.types("10-flannel.conflist"), ["flannel", "portmap"]);
}

/// The CNI rewrites its file, the installer adds to it, and whoever reads finds a whole one each time.
#[test]
fn a_reader_never_finds_half_a_file() {
    let place = place();
    let name = "10-flannel.conflist";
    place.write(name, &list());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                let text = fs::read_to_string(place.conf(name)).unwrap();
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["plugins"][0]["type"], "flannel");
                reads += 1;
            }
            reads
        });
        for _ in 0..200 {
            place.installer.install().unwrap();
            assert_eq!(place.types(name).last().unwrap(), "nopal-cni");
            // As a CNI does that takes care itself.
            let fresh = place.conf("fresh");
            fs::write(&fresh, list().to_string()).unwrap();
            fs::rename(&fresh, place.conf(name)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}
