//! The matrix as a page: one file, without anything from the network.
//!
//! The page holds what was computed as JSON and looks things up in it; it decides nothing itself.

mod data;

use serde_json::Value;

use crate::inventory::Inventory;
use crate::picture::Picture;
use policy_core::RuleGraph;

const PAGE: &str = include_str!("../../../assets/matrix/page.html");
const STYLE: &str = include_str!("../../../assets/matrix/page.css");
const SCRIPT: &str = concat!(
    include_str!("../../../assets/matrix/model.js"),
    include_str!("../../../assets/matrix/draw.js"),
    include_str!("../../../assets/matrix/panel.js"),
    include_str!("../../../assets/matrix/act.js"),
);

/// The only script that browsers run in the page: what
/// `(cd cli/assets/matrix && cat model.js draw.js panel.js act.js) | openssl dgst -sha256 -binary | base64` says. Nothing
/// that stands in a name can become another one.
const SCRIPT_HASH: &str = "sha256-3/XVMw0U4cfMGU21Fpl49GwMxB3kA2553dCNKKfAypA=";

/// The page about a picture.
#[must_use]
pub fn page(picture: &Picture<'_>, inventory: &Inventory<'_>, graph: &RuleGraph) -> String {
    let data = embedded(&data::data(picture, inventory, graph));
    let [head, rest] = parts(PAGE, "@STYLE@");
    let [before_data, rest] = parts(rest, "@DATA@");
    let [before_script, tail] = parts(rest, "@SCRIPT@");
    let head = head.replace("@HASH@", SCRIPT_HASH);
    [
        head.as_str(),
        STYLE,
        before_data,
        &data,
        before_script,
        SCRIPT,
        tail,
    ]
    .concat()
}

fn parts<'t>(text: &'t str, mark: &str) -> [&'t str; 2] {
    let (before, after) = text.split_once(mark).expect("the page has each mark once");
    [before, after]
}

/// JSON for a script element: without `<` nothing in it can end the element or begin a comment.
fn embedded(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_name_never_ends_the_data() {
        let name = "</script><!--<script>";
        let text = embedded(&serde_json::json!([name]));
        assert!(!text.contains('<'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[0], name);
    }
}
