//! The ends of `nopal query`: pods by name, by labels, by how they stand to the input, and addresses.

use std::net::IpAddr;

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::labels::{is_label_key, is_label_value};
use policy_core::selector::Constraint;
use policy_core::{Cidr, IpSet, PodId, Selector};

/// What an end of a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// `any`: every pod, and every address that is no pod's.
    Any,
    /// `pods`: every pod.
    Pods,
    /// `external`: every address that is no pod's.
    External,
    /// `unknown`: the pods of namespaces that the input does not hold.
    Unknown,
    /// Addresses: those that are no pod's, and the pods that have one of them.
    Addresses(IpSet),
    /// A pod, or a workload's template.
    Pod(PodId),
    /// The pods with these labels in namespaces with those.
    Labels {
        /// What is demanded of the namespace's labels, its name's among them.
        namespaces: Selector,
        /// What is demanded of the pod's labels.
        pods: Selector,
    },
}

const FORMS: &str = "write any, pods, external, unknown, an address or CIDR, namespace/pod, namespace/Kind/name, \
     namespace/* or labels such as 'ns:team=a pod:app in (web,api),!legacy'";

impl Selection {
    /// Reads an end.
    ///
    /// # Errors
    /// The message says what could be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "any" => return Ok(Self::Any),
            "pods" => return Ok(Self::Pods),
            "external" => return Ok(Self::External),
            "unknown" => return Ok(Self::Unknown),
            _ => {}
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let addresses = std::iter::once(address.to_canonical());
            return Ok(Self::Addresses(addresses.collect()));
        }
        if text.starts_with("ns:") || text.starts_with("pod:") {
            return labels(text);
        }
        if let Some(written) = Cidr::parse(text) {
            return Ok(Self::Addresses(written.cidr.into()));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let is_blank = |part: &&str| part.is_empty() || part.contains(char::is_whitespace);
        match parts[..] {
            _ if parts.iter().any(is_blank) => {}
            [namespace, "*"] => {
                return Ok(Self::Labels {
                    namespaces: Selector::label(NAMESPACE_NAME_LABEL, namespace),
                    pods: Selector::everything(),
                });
            }
            [namespace, name] => return Ok(Self::Pod(PodId::new(namespace, name))),
            [namespace, kind, name] => {
                return Ok(Self::Pod(PodId::new(namespace, &format!("{kind}/{name}"))));
            }
            _ => {}
        }
        Err(format!("{text:?} is no end: {FORMS}"))
    }
}

/// `ns:SELECTOR`, `pod:SELECTOR` or both, in either order.
fn labels(text: &str) -> Result<Selection, String> {
    let mut written: [Option<Selector>; 2] = [None, None];
    let mut rest = text;
    while !rest.is_empty() {
        let (index, after) = match (rest.strip_prefix("ns:"), rest.strip_prefix("pod:")) {
            (Some(after), _) => (0, after),
            (_, Some(after)) => (1, after),
            _ => return Err(format!("{text:?} is no end: {FORMS}")),
        };
        let end = [" ns:", " pod:"].iter().filter_map(|next| after.find(next));
        let end = end.min().unwrap_or(after.len());
        let (part, following) = after.split_at(end);
        let kind = ["ns:", "pod:"][index];
        if written[index].is_some() {
            return Err(format!(
                "{kind} stands twice in {text:?}: join its demands with a comma"
            ));
        }
        written[index] = Some(selector(part).map_err(|message| format!("{kind} {message}"))?);
        rest = following.trim_start();
    }
    let [namespaces, pods] = written.map(|part| part.unwrap_or_else(Selector::everything));
    Ok(Selection::Labels { namespaces, pods })
}

/// Reads kubectl's selector language: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas.
///
/// # Errors
/// The message names the demand that is none, and the forms.
pub fn selector(text: &str) -> Result<Selector, String> {
    let mut demands = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (position, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                demands.push(demand(&text[start..position])?);
                start = position + 1;
            }
            _ => {}
        }
    }
    demands.push(demand(&text[start..])?);
    let selector: Selector = demands.into_iter().collect();
    if selector.is_satisfiable() {
        Ok(selector)
    } else {
        Err(format!("nothing can match {text:?}"))
    }
}

fn demand(text: &str) -> Result<(String, Constraint), String> {
    let text = text.trim();
    let (key, constraint) = if let Some(key) = text.strip_prefix('!') {
        (key, Constraint::lacks())
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, Constraint::none_of([label_value(value)?]))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Constraint::one_of([label_value(value)?]))
    } else if let Some((key, values)) = text.split_once(" notin ") {
        (key, Constraint::none_of(list(values)?))
    } else if let Some((key, values)) = text.split_once(" in ") {
        (key, Constraint::one_of(list(values)?))
    } else {
        (text, Constraint::exists())
    };
    let key = key.trim();
    if is_label_key(key) {
        Ok((key.to_owned(), constraint))
    } else {
        Err(format!(
            "{text:?} is no demand on a label: write a=b, a!=b, a in (b,c), a notin (b,c), a or !a"
        ))
    }
}

fn list(text: &str) -> Result<Vec<&str>, String> {
    let inner = text
        .trim()
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("{:?} is no list: write (b,c)", text.trim()))?;
    inner.split(',').map(label_value).collect()
}

fn label_value(text: &str) -> Result<&str, String> {
    let value = text.trim();
    if is_label_value(value) {
        Ok(value)
    } else {
        Err(format!("{value:?} is no label value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_kubectl_reads_them() {
        for (text, shown) in [
            ("app=web", "app=web"),
            ("app == web", "app=web"),
            ("app!=web", "app notin (web)"),
            ("app in (web, api),!legacy", "app in (api,web),!legacy"),
            ("app notin (web),tier", "app notin (web),tier"),
            ("app in (a,b),app!=a", "app=b"),
            (
                "kubernetes.io/metadata.name=shop",
                "kubernetes.io/metadata.name=shop",
            ),
            ("app=", "app="),
        ] {
            assert_eq!(selector(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "",
            "app in web",
            "app in (a",
            "=web",
            "app=a b",
            "a,,b",
            "app=a,app=b",
            "app=(a)",
        ] {
            assert!(selector(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ends_are_told_apart_by_their_form() {
        let parse = |text| Selection::parse(text).unwrap();
        assert_eq!(parse("any"), Selection::Any);
        assert_eq!(parse("unknown"), Selection::Unknown);
        let block = |text| IpSet::from(Cidr::parse(text).unwrap().cidr);
        assert_eq!(
            parse("10.0.0.0/8"),
            Selection::Addresses(block("10.0.0.0/8"))
        );
        assert_eq!(
            parse("::ffff:10.0.0.1"),
            Selection::Addresses(block("10.0.0.1/32"))
        );
        assert_eq!(parse("shop/web"), Selection::Pod(PodId::new("shop", "web")));
        let template = PodId::new("shop", "Deployment/web");
        assert_eq!(parse("shop/Deployment/web"), Selection::Pod(template));
        let labels = |namespaces, pods| Selection::Labels { namespaces, pods };
        let everything = Selector::everything;
        let named = Selector::label(NAMESPACE_NAME_LABEL, "shop");
        assert_eq!(parse("shop/*"), labels(named, everything()));
        let (team, app) = (Selector::label("team", "a"), Selector::label("app", "web"));
        assert_eq!(
            parse("ns:team=a pod:app=web"),
            labels(team.clone(), app.clone())
        );
        assert_eq!(parse("pod:app=web ns:team=a"), labels(team, app.clone()));
        assert_eq!(parse("pod:app in (web)"), labels(everything(), app));
        for text in [
            "",
            "shop",
            "shop/",
            "a/b/c/d",
            "pod:",
            "pod:a pod:b",
            "pod:app=web shop/x",
            "a b/c",
        ] {
            assert!(Selection::parse(text).is_err(), "{text}");
        }
    }
}
