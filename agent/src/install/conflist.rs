//! The texts of network configurations (CNI specification, section 1), edited without changing what is not ours: each
//! field keeps its place and each value its bytes.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The plugin's type, and its program's name.
pub const PLUGIN: &str = "nopal-cni";

/// CNIs that enforce policies themselves, by the type of their plugin.
const ENFORCING: [(&str, &str); 3] = [
    ("calico", "Calico"),
    ("cilium-cni", "Cilium"),
    ("cilium", "Cilium"),
];

/// How a configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One plugin: `.conf` and `.json`.
    Single,
    /// A list of plugins: `.conflist`.
    List,
}

/// Why a configuration cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// It is no JSON object.
    #[error("it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It has no plugins.
    #[error("it has no plugin to stand behind")]
    Empty,
    /// A field that is needed is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// It speaks a version in which plugins cannot be chained.
    #[error("its cniVersion is {0}, and nopal-cni speaks {versions}", versions = nopal_cni::config::VERSIONS.join(", "))]
    Version(String),
}

/// An object whose fields keep their order.
struct Object(Vec<(String, Box<RawValue>)>);

/// The entry of our plugin, which finds the agent at `socket` and lets pods of `exempt` namespaces pass.
#[must_use]
pub fn entry(socket: &Path, exempt: &[String]) -> Value {
    let mut entry = json!({"type": PLUGIN, "socket": socket});
    if !exempt.is_empty() {
        entry["exemptNamespaces"] = exempt.into();
    }
    entry
}

/// The configuration with `entry` as its last plugin; `None` when it is so already.
pub fn with_plugin(text: &str, shape: Shape, entry: &Value) -> Result<Option<String>, ConfError> {
    let mut object: Object = serde_json::from_str(text)?;
    object.check_version()?;
    let mut plugins = match shape {
        Shape::List => object.plugins()?,
        Shape::Single => {
            let name = object
                .field("name")
                .ok_or(ConfError::Missing("name"))?
                .to_owned();
            let version = object.field("cniVersion").map(ToOwned::to_owned);
            let single = vec![RawValue::from_string(text.trim().to_owned())?];
            let version = version.map(|version| ("cniVersion".to_owned(), version));
            object = Object(
                version
                    .into_iter()
                    .chain([("name".to_owned(), name)])
                    .collect(),
            );
            single
        }
    };
    let others = plugins.iter().filter(|plugin| !is_own(plugin)).count();
    if others == 0 {
        return Err(ConfError::Empty);
    }
    let is_last_alone =
        plugins.len() == others + 1 && plugins.last().is_some_and(|last| is_own(last));
    let written = plugins
        .last()
        .and_then(|last| serde_json::from_str::<Value>(last.get()).ok());
    if is_last_alone && written.as_ref() == Some(entry) {
        return Ok(None);
    }
    plugins.retain(|plugin| !is_own(plugin));
    plugins.push(RawValue::from_string(entry.to_string())?);
    Ok(Some(object.print(&plugins)))
}

/// The list without our plugin; `None` when it has none.
pub fn without_plugin(text: &str) -> Result<Option<String>, ConfError> {
    let object: Object = serde_json::from_str(text)?;
    let mut plugins = object.plugins()?;
    let before = plugins.len();
    plugins.retain(|plugin| !is_own(plugin));
    Ok((plugins.len() < before).then(|| object.print(&plugins)))
}

/// Whether a list has our plugin.
pub fn has_plugin(text: &str) -> Result<bool, ConfError> {
    Ok(without_plugin(text)?.is_some())
}

/// The CNI that enforces policies itself, when the configuration is one's.
pub fn enforcing_cni(text: &str, shape: Shape) -> Result<Option<&'static str>, ConfError> {
    let object: Object = serde_json::from_str(text)?;
    let types: Vec<String> = match shape {
        Shape::List => object
            .plugins()?
            .iter()
            .filter_map(|plugin| type_of(plugin))
            .collect(),
        Shape::Single => type_of(&RawValue::from_string(text.trim().to_owned())?)
            .into_iter()
            .collect(),
    };
    let enforcing = ENFORCING
        .iter()
        .find(|(plugin, _)| types.iter().any(|found| found == plugin));
    Ok(enforcing.map(|(_, cni)| *cni))
}

fn is_own(plugin: &RawValue) -> bool {
    type_of(plugin).is_some_and(|found| found == PLUGIN)
}

fn type_of(plugin: &RawValue) -> Option<String> {
    let value: Value = serde_json::from_str(plugin.get()).ok()?;
    value["type"].as_str().map(str::to_owned)
}

impl Object {
    fn field(&self, name: &str) -> Option<&RawValue> {
        // As other readers do: of a field that is written twice the last one counts.
        let mut fields = self.0.iter().rev();
        fields
            .find(|(field, _)| field == name)
            .map(|(_, value)| &**value)
    }

    fn plugins(&self) -> Result<Vec<Box<RawValue>>, ConfError> {
        let written = self.field("plugins").ok_or(ConfError::Missing("plugins"))?;
        Ok(serde_json::from_str(written.get())?)
    }

    fn check_version(&self) -> Result<(), ConfError> {
        let written = self
            .field("cniVersion")
            .ok_or(ConfError::Missing("cniVersion"))?;
        let version: String = serde_json::from_str(written.get())?;
        if nopal_cni::config::VERSIONS.contains(&version.as_str()) {
            return Ok(());
        }
        Err(ConfError::Version(version))
    }

    /// The object with these plugins, in its place or at its end.
    fn print(&self, plugins: &[Box<RawValue>]) -> String {
        let plugins: Vec<String> = plugins
            .iter()
            .map(|plugin| format!("    {}", plugin.get()))
            .collect();
        let plugins = format!("[\n{}\n  ]", plugins.join(",\n"));
        let mut fields: Vec<(&str, &str)> = self
            .0
            .iter()
            .filter(|(name, _)| name != "plugins")
            .map(|(name, value)| (name.as_str(), value.get()))
            .collect();
        let place = self.0.iter().position(|(name, _)| name == "plugins");
        fields.insert(
            place.unwrap_or(fields.len()).min(fields.len()),
            ("plugins", &plugins),
        );
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("  {}: {value}", Value::from(*name)))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a network configuration, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLANNEL: &str = r#"{
      "name": "cbr0", "future": {"b": 1.50, "a": 12345678901234567890123},
      "cniVersion": "0.3.1",
      "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
        {"type": "portmap", "capabilities": {"portMappings": true}}
      ],
      "disableCheck": true
    }"#;

    fn entry() -> Value {
        json!({"type": "nopal-cni", "socket": "/run/nopal/cni.sock"})
    }

    #[test]
    fn our_plugin_comes_last_and_nothing_else_changes_a_byte() {
        let edited = with_plugin(FLANNEL, Shape::List, &entry())
            .unwrap()
            .unwrap();
        for kept in [
            r#"{"b": 1.50, "a": 12345678901234567890123}"#,
            r#"{"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}"#,
            r#""disableCheck": true"#,
        ] {
            assert!(edited.contains(kept), "{kept} in {edited}");
        }
        let value: Value = serde_json::from_str(&edited).unwrap();
        assert_eq!(value["plugins"][2], entry());
        assert!(
            edited.find("plugins") < edited.find("disableCheck"),
            "{edited}"
        );
        assert_eq!(with_plugin(&edited, Shape::List, &entry()).unwrap(), None);
        let back: Value = serde_json::from_str(&without_plugin(&edited).unwrap().unwrap()).unwrap();
        assert_eq!(back["plugins"].as_array().unwrap().len(), 2);
        assert_eq!(without_plugin(FLANNEL).unwrap(), None);
    }

    #[test]
    fn an_entry_that_is_older_double_or_not_last_becomes_one_at_the_end() {
        let list = json!({"cniVersion": "1.0.0", "name": "n", "plugins": [
            {"type": "nopal-cni", "old": true}, {"type": "ptp"}, entry(), {"type": "portmap"},
        ]});
        let edited = with_plugin(&list.to_string(), Shape::List, &entry())
            .unwrap()
            .unwrap();
        let value: Value = serde_json::from_str(&edited).unwrap();
        assert_eq!(
            value["plugins"],
            json!([{"type": "ptp"}, {"type": "portmap"}, entry()])
        );
    }

    #[test]
    fn a_single_plugin_becomes_a_list_of_its_name() {
        let single =
            "{\"cniVersion\": \"0.4.0\", \"name\": \"lab\", \"type\": \"bridge\", \"mtu\": 1400}\n";
        let edited = with_plugin(single, Shape::Single, &entry())
            .unwrap()
            .unwrap();
        let value: Value = serde_json::from_str(&edited).unwrap();
        assert_eq!(value["name"], "lab");
        assert_eq!(value["cniVersion"], "0.4.0");
        assert_eq!(value["plugins"][0]["mtu"], 1400);
        assert_eq!(value["plugins"][1], entry());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let edit = |text: &str| with_plugin(text, Shape::List, &entry()).unwrap_err();
        assert!(matches!(edit("{\"plugins\": ["), ConfError::Json(_)));
        assert!(matches!(edit("[]"), ConfError::Json(_)));
        assert!(matches!(
            edit(r#"{"plugins":[{}]}"#),
            ConfError::Missing("cniVersion")
        ));
        assert!(matches!(
            edit(r#"{"cniVersion":"0.2.0","plugins":[{}]}"#),
            ConfError::Version(_)
        ));
        assert!(matches!(
            edit(r#"{"cniVersion":"1.0.0"}"#),
            ConfError::Missing("plugins")
        ));
        assert!(matches!(
            edit(r#"{"cniVersion":"1.0.0","plugins":[]}"#),
            ConfError::Empty
        ));
        assert!(matches!(
            edit(r#"{"cniVersion":"1.0.0","plugins":{}}"#),
            ConfError::Json(_)
        ));
    }

    #[test]
    fn cnis_that_enforce_policies_are_recognized() {
        let list =
            |plugin: &str| format!(r#"{{"plugins":[{{"type":"{plugin}"}},{{"type":"portmap"}}]}}"#);
        let found = |plugin: &str| enforcing_cni(&list(plugin), Shape::List).unwrap();
        assert_eq!(found("calico"), Some("Calico"));
        assert_eq!(found("cilium-cni"), Some("Cilium"));
        assert_eq!(found("flannel"), None);
        let single = r#"{"type": "cilium-cni"}"#;
        assert_eq!(
            enforcing_cni(single, Shape::Single).unwrap(),
            Some("Cilium")
        );
    }
}
