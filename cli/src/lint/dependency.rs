//! Whom pods are told to call: by their variables and arguments, and by the `ConfigMaps` that they use.

use std::collections::BTreeMap;

use super::Input;
use super::services::Service;
use crate::manifest::{Address, ConfigMap, Object, Says, Setting, Told};

/// What the names of variables end with whose value is a host and nothing else.
const HOST_ENDINGS: [&str; 9] = [
    "HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER", "SERVICE", "ENDPOINT", "URL", "URI",
];

/// A Service that the pods of an object are told to call.
pub(super) struct Dependency<'i> {
    /// What tells it.
    pub(super) setting: &'i Setting,
    /// The Service.
    pub(super) service: &'i Service<'i>,
    /// The Service's port; `None` where none is named.
    pub(super) port: Option<u16>,
    /// What tells it, in words.
    pub(super) by: String,
}

/// The `ConfigMaps` of the input, by namespace and name. The last of several with one name counts.
pub(super) struct ConfigMaps<'i> {
    by_namespace: BTreeMap<&'i str, BTreeMap<&'i str, &'i ConfigMap>>,
}

impl<'i> ConfigMaps<'i> {
    /// Takes those of the input.
    pub(super) fn new(input: &'i Input<'_>) -> Self {
        let mut by_namespace: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for map in input.config_maps {
            let maps = by_namespace.entry(map.namespace.as_str()).or_default();
            maps.insert(map.name.as_str(), map);
        }
        Self { by_namespace }
    }

    fn keys(&self, namespace: &str, name: &str) -> Option<&'i BTreeMap<String, Told>> {
        let map = *self.by_namespace.get(namespace)?.get(name)?;
        Some(&map.keys)
    }
}

/// The Services of the input that an object's containers are told to call.
pub(super) fn dependencies<'i>(
    input: &'i Input<'_>,
    maps: &ConfigMaps<'i>,
    object: &'i Object,
) -> Vec<Dependency<'i>> {
    let namespace = object.reference.namespace.as_deref().unwrap_or_default();
    let told = expanded(maps, object, namespace);
    let mut ports: BTreeMap<(Option<&str>, &str), u16> = BTreeMap::new();
    for one in &told {
        if let (Some(variable), Some(number)) = (&one.variable, one.told.number) {
            ports.insert((one.setting.container.as_deref(), variable), number);
        }
    }
    let mut found = Vec::new();
    for one in &told {
        for address in &one.told.addresses {
            let mut port = address.port;
            if address.is_word {
                let Some(stem) = one.variable.as_deref().and_then(stem) else {
                    continue;
                };
                let name = format!("{stem}PORT");
                let container = one.setting.container.as_deref();
                port = ports.get(&(container, name.as_str())).copied();
            }
            if let Some(service) = service(input, namespace, address) {
                found.push(Dependency {
                    setting: one.setting,
                    service,
                    port,
                    by: one.by.clone(),
                });
            }
        }
    }
    found
}

/// A text that a container gets.
struct Text<'i> {
    setting: &'i Setting,
    /// The variable that holds it.
    variable: Option<String>,
    told: &'i Told,
    by: String,
}

fn expanded<'i>(maps: &ConfigMaps<'i>, object: &'i Object, namespace: &str) -> Vec<Text<'i>> {
    let mut texts = Vec::new();
    for setting in &object.settings {
        let container = setting.container.as_deref().unwrap_or_default();
        let mut add = |variable: Option<String>, told, by| {
            texts.push(Text {
                setting,
                variable,
                told,
                by,
            });
        };
        match (&setting.says, &setting.variable) {
            (Says::Value(told), Some(name)) => {
                let by = format!("the variable {name} of container {container}");
                add(Some(name.clone()), told, by);
            }
            (Says::Value(told), None) => {
                add(None, told, format!("an argument of container {container}"));
            }
            (Says::Key { map, key }, variable) => {
                let keys = maps.keys(namespace, map);
                if let Some(told) = keys.and_then(|keys| keys.get(key)) {
                    add(variable.clone(), told, of_key(map, key));
                }
            }
            (Says::Variables { map, prefix }, _) => {
                for (key, told) in maps.keys(namespace, map).into_iter().flatten() {
                    add(Some(format!("{prefix}{key}")), told, of_key(map, key));
                }
            }
            (Says::Files { map }, _) => {
                for (key, told) in maps.keys(namespace, map).into_iter().flatten() {
                    add(None, told, of_key(map, key));
                }
            }
        }
    }
    texts
}

fn of_key(map: &str, key: &str) -> String {
    format!("the key {key} of ConfigMap {map}")
}

/// What stands before the ending of a variable that holds a host: `DB_` of `DB_HOST`.
fn stem(variable: &str) -> Option<&str> {
    let mut endings = HOST_ENDINGS.iter();
    endings.find_map(|ending| {
        let stem = variable.strip_suffix(ending)?;
        (stem.is_empty() || stem.ends_with('_')).then_some(stem)
    })
}

/// The Service that a name means to pods of a namespace.
fn service<'i>(input: &'i Input<'_>, own: &str, address: &Address) -> Option<&'i Service<'i>> {
    let labels: Vec<&str> = address.host.split('.').collect();
    let (namespace, name) = match labels.as_slice() {
        [name] => (own, *name),
        // The last form is a pod of a `StatefulSet`, by its own name.
        [name, namespace] | [name, namespace, "svc", ..] | [_, name, namespace, "svc", ..] => {
            (*namespace, *name)
        }
        _ => return None,
    };
    let mut services = input.services.of(namespace).iter();
    services.find(|service| service.object.reference.name == name)
}
