//! The page of the matrix and the picture of the graph in a real browser: what people see is what the matrix says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest;
use nopal::matrix::{Side, matrix};
use policy_core::RuleGraph;
use tempfile::TempDir;

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/shop.yaml");

fn nopal(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with a page in it, and the browser's own folder.
struct Opened {
    folder: TempDir,
}

/// What the browser answered.
struct Answer {
    stdout: String,
    /// What scripts and the browser complained of.
    console: Vec<String>,
}

impl Opened {
    fn new(content: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        Self { folder }
    }

    fn page(content: &str) -> Self {
        Self::new(content, "page.html")
    }

    fn open(&self, name: &str, fragment: &str, arguments: &[&str]) -> Answer {
        let profile = tempfile::tempdir().unwrap();
        let file = self.folder.path().join(name);
        let output = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--enable-logging=stderr", "--timeout=60000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(format!("file://{}#{fragment}", file.display()))
            .output()
            .expect("chromium must be installed: `make setup` does it on Debian");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let console = errors.lines().filter(|line| line.contains("CONSOLE"));
        Answer {
            console: console.map(str::to_owned).collect(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// The document after its scripts ran, without the data and the script themselves.
    fn document(&self, fragment: &str) -> String {
        let answer = self.open(
            "page.html",
            fragment,
            &["--dump-dom", "--window-size=1400,1000"],
        );
        assert_eq!(answer.console, Vec::<String>::new());
        let body = answer.stdout.split_once("<body>").unwrap().1;
        let end = body.find("<script type=\"application/json\"").unwrap();
        assert!(
            answer.stdout.contains("data-ready=\"yes\""),
            "the script did not reach its end"
        );
        body[..end].to_owned()
    }

    fn screenshot(&self, name: &str, fragment: &str, arguments: &[&str]) -> Picture {
        let file: PathBuf = self.folder.path().join("shot.png");
        let shot = format!("--screenshot={}", file.display());
        let arguments = [&[shot.as_str()], arguments].concat();
        let answer = self.open(name, fragment, &arguments);
        assert_eq!(answer.console, Vec::<String>::new());
        Picture::read(&file)
    }
}

struct Picture {
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn read(file: &Path) -> Self {
        let file = std::io::BufReader::new(fs::File::open(file).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        let pixels = bytes[..info.buffer_size()].chunks(samples);
        Self {
            pixels: pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        }
    }

    /// The share of the pixels with about this colour.
    fn share(&self, colour: [u8; 3]) -> f64 {
        let is_near = |pixel: &&[u8; 3]| {
            pixel
                .iter()
                .zip(colour)
                .all(|(one, other)| one.abs_diff(other) <= 6)
        };
        let count = self.pixels.iter().filter(is_near).count();
        f64::from(u32::try_from(count).unwrap())
            / f64::from(u32::try_from(self.pixels.len()).unwrap())
    }
}

const LIGHT: [u8; 3] = [0xfb, 0xfb, 0xf8];
const DARK: [u8; 3] = [0x12, 0x17, 0x1a];
const SOME_PORTS: [u8; 3] = [0x2f, 0x7f, 0xb5];
const SOME_PORTS_DARK: [u8; 3] = [0x4a, 0xa3, 0xdd];
const EVERYTHING: [u8; 3] = [0xe0, 0x87, 0x2b];
const NOTHING: [u8; 3] = [0xe9, 0xed, 0xe7];
/// What the system says that it likes: the light scheme is 1.
const PREFERS_DARK: &str = "--blink-settings=preferredColorScheme=0";
const PREFERS_LIGHT: &str = "--blink-settings=preferredColorScheme=1";

#[test]
fn every_cell_says_what_the_matrix_says() {
    let document = Opened::page(&nopal(&["matrix", SHOP, "--format", "html"])).document("");
    let manifests = manifest::read(&[PathBuf::from(SHOP)], "default");
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let matrix = matrix(
        &inventory.cluster,
        &RuleGraph::compile(&inventory.cluster),
        None,
    );
    let short = |name: &str| name.rsplit('/').next().unwrap().to_owned();
    let mut cells = 0;
    for from in &matrix.endpoints {
        for to in matrix.endpoints.iter().filter(|to| to.id != from.id) {
            let ends = (
                Side::Endpoint(from.id.clone()),
                Side::Endpoint(to.id.clone()),
            );
            let found = matrix
                .connections
                .iter()
                .find(|cell| (&cell.from, &cell.to) == (&ends.0, &ends.1));
            let (look, ports) = match found.map(|cell| cell.allowed.to_string()) {
                None => ("denied", "nothing".to_owned()),
                Some(all) if all == "all" => ("all", "everything".to_owned()),
                Some(ports) => ("ports", ports),
            };
            let title = format!(
                "title=\"{} to {}: {ports}\"",
                short(&from.id.name),
                short(&to.id.name)
            );
            let cell = document
                .split("<div class=\"cell ")
                .find(|cell| cell.contains(&title));
            let cell = cell.unwrap_or_else(|| panic!("no cell has {title}"));
            assert!(cell.starts_with(look), "{title}: {cell}");
            cells += 1;
        }
    }
    assert_eq!(cells, 42);
    assert!(document.contains("7 workloads · 3 namespaces · 8 policies"));
}

#[test]
fn a_cell_is_explained_with_the_rules_and_their_lines() {
    let page = Opened::page(&nopal(&["matrix", SHOP, "--format", "html"]));
    let allowed = page.document("cell=shop/Deployment/web>shop/api");
    assert!(
        allowed.contains("<span class=\"verdict\">allowed: TCP 3000</span>"),
        "{allowed}"
    );
    for rule in [
        "shop/web egress[0]</b>: TCP 3000",
        "shop/api ingress[0]</b>: TCP 3000",
    ] {
        assert!(allowed.contains(rule), "{rule}");
    }
    let explained = nopal(&[
        "explain",
        SHOP,
        "--from",
        "shop/Deployment/web",
        "--to",
        "shop/api",
        "--port",
        "3000/TCP",
    ]);
    let places: Vec<&str> = explained
        .lines()
        .filter(|line| line.contains("because"))
        .filter_map(|line| line.rsplit_once('(')?.1.strip_suffix(')'))
        .collect();
    assert_eq!(places.len(), 2, "{explained}");
    for place in places {
        assert!(
            allowed.contains(&format!("<span class=\"where\">{place}</span>")),
            "{place}"
        );
    }
    let denied = page.document("cell=shop/db>shop/api");
    assert!(denied.contains("<span class=\"verdict no\">denied</span>"));
    assert!(
        denied.contains("Denied because shop/db may not open it, and shop/api does not accept it.")
    );
    let outside = page.document("cell=outside>shop/Deployment/web");
    assert!(outside.contains("TCP 8080") && outside.contains("198.51.100.0/25"));
}

#[test]
fn what_is_only_audited_has_a_look_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    let policy = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, annotations: {nopal.dev/mode: audit}}\nspec: {podSelector: {matchLabels: {app: b}}}\n";
    let pod = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n"
        )
    };
    fs::write(&file, pod("a") + &pod("b") + policy).unwrap();
    let page = nopal(&["matrix", file.to_str().unwrap(), "--format", "html"]);
    let document = Opened::page(&page).document("cell=default/a>default/b");
    assert!(document.contains("<span class=\"verdict audit\">everything passes</span>"));
    assert!(document.contains("No rule admits it; it is only audited."));
    let audited = document
        .split("<div class=\"cell ")
        .filter(|cell| cell.starts_with("all wide audited"));
    let titles: Vec<&str> = audited
        .filter_map(|cell| cell.split("title=\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(
        titles,
        [
            "Other addresses to b: everything",
            "Unknown pods to b: everything",
            "a to b: everything"
        ]
    );
}

#[test]
fn namespaces_collapse_and_a_search_opens_them() {
    let page = Opened::page(&nopal(&["matrix", SHOP, "--format", "html"]));
    let units = |document: &str| document.matches("<div class=\"head unit").count();
    let open = page.document("");
    assert_eq!(open.matches("aria-expanded=\"true\"").count(), 3);
    // Seven workloads and the pods that nobody knows.
    assert_eq!(units(&open), 8);
    let closed = page.document("open=");
    assert_eq!(closed.matches("aria-expanded=\"false\"").count(), 3);
    assert_eq!(units(&closed), 1);
    assert!(
        closed.contains("title=\"shop to payment: SCTP 3868 (1 of 3 pairs)\""),
        "{closed}"
    );
    let found = page.document("open=&search=gateway");
    assert_eq!(found.matches("aria-expanded=\"true\"").count(), 1);
    assert_eq!(found.matches("<div class=\"head unit hit").count(), 1);
    assert!(found.contains(">1 found</output>"));
}

/// Pods whose names would be markup, and a policy between them.
const HOSTILE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: '<img src=x onerror=alert(1)>', namespace: '</script><script>alert(2)</script>', labels: {a: b}}
---
apiVersion: v1
kind: Pod
metadata: {name: '"]]>&<style>*{display:none}</style>', namespace: '</script><script>alert(2)</script>'}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: '--><svg onload=alert(3)>', namespace: '</script><script>alert(2)</script>'}
spec:
  podSelector: {matchLabels: {a: b}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]
"#;

fn hostile() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("<b>in.yaml");
    fs::write(&file, HOSTILE).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn names_never_become_markup() {
    let (_folder, file) = hostile();
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["matrix", &file, "--format", "html"])
        .output()
        .unwrap();
    let page = Opened::page(&String::from_utf8(output.stdout).unwrap());
    let document = page.document("unit=%3C%2Fscript%3E%3Cscript%3Ealert(2)%3C%2Fscript%3E%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E");
    for element in ["<img", "<script", "<style", "<svg onload", "<b>in"] {
        assert!(!document.contains(element), "{element} became an element");
    }
    assert!(
        document.contains("&lt;img src=x onerror=alert(1)&gt;"),
        "{document}"
    );
    assert!(
        document.contains("--&gt;&lt;svg onload=alert(3)&gt;"),
        "{document}"
    );
}

#[test]
fn no_other_script_runs_in_the_page() {
    let page = nopal(&["matrix", SHOP, "--format", "html"]);
    let injected = page.replace(
        "</body>",
        "<script>document.title = 'injected'</script></body>",
    );
    assert_ne!(page, injected);
    let answer = Opened::page(&injected).open("page.html", "", &["--dump-dom"]);
    assert!(
        answer
            .stdout
            .contains("<title>nopal: who reaches whom</title>")
    );
    assert!(answer.stdout.contains("data-ready=\"yes\""));
    assert!(
        answer
            .console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{:?}",
        answer.console
    );
}

/// Runs a script in the page that the page's own policy would not let run; gives what it leaves in `document.title`.
fn driven(fragment: &str, size: &str, script: &str) -> String {
    let page = nopal(&["matrix", SHOP, "--format", "html"]);
    let begin = page
        .find("<meta http-equiv=\"Content-Security-Policy\"")
        .unwrap();
    let end = begin + page[begin..].find('>').unwrap() + 1;
    let page = format!("{}{}", &page[..begin], &page[end..]);
    let script = format!(
        "<script>{{ const key = (name) => document.getElementById('grid').dispatchEvent(new KeyboardEvent('keydown', {{ key: name, bubbles: true }}));\n{script} }}</script></body>"
    );
    let page = page.replace("</body>", &script);
    let answer = Opened::page(&page).open("page.html", fragment, &["--dump-dom", size]);
    assert_eq!(answer.console, Vec::<String>::new());
    let title = answer.stdout.split_once("<title>").unwrap().1;
    title.split_once("</title>").unwrap().0.to_owned()
}

#[test]
fn keys_move_through_the_cells_and_open_what_is_there() {
    let script = "
        const here = () => document.querySelector('.cell.here')?.title;
        key('ArrowDown'); key('ArrowRight'); key('ArrowRight'); key('ArrowRight');
        const first = here();
        key('Enter');
        const panel = document.querySelector('#panel h2').textContent;
        key('ArrowLeft'); key('Enter');
        const closed = document.querySelectorAll('[aria-expanded=false]').length;
        key('Escape');
        document.title = [first, panel, closed, here(), document.querySelector('#panel h2').textContent, location.hash].join(' | ');";
    assert_eq!(
        driven("", "--window-size=1400,1000", script),
        "Unknown pods to dns: everything | [other]/[other] → ops/dns | 1 |  | Exposure | #open=payment%2Cshop"
    );
}

#[test]
fn a_narrow_window_scrolls_the_matrix_and_not_the_page() {
    let script = "
        const page = document.documentElement;
        const wide = [...document.querySelectorAll('#panel *, header *')].filter((each) => each.getBoundingClientRect().right > page.clientWidth + 1);
        document.title = page.clientWidth + ' ' + (page.scrollWidth <= page.clientWidth) + ' ' + wide.length;";
    // Chromium's windows are at least 500 wide.
    let title = driven(
        "cell=shop/Deployment/web>shop/api",
        "--window-size=500,800",
        script,
    );
    assert!(title.ends_with(" true 0"), "{title}");
}

#[test]
fn colours_tell_cells_apart_and_follow_the_reader() {
    let page = Opened::page(&nopal(&["matrix", SHOP, "--format", "html"]));
    let size = "--window-size=1300,820";
    let light = page.screenshot("page.html", "", &[size, PREFERS_LIGHT]);
    assert!(light.share(LIGHT) > 0.2, "{}", light.share(LIGHT));
    for colour in [SOME_PORTS, EVERYTHING, NOTHING] {
        assert!(
            light.share(colour) > 0.01,
            "{colour:?} {}",
            light.share(colour)
        );
    }
    let dark = page.screenshot("page.html", "", &[size, PREFERS_DARK]);
    assert!(
        dark.share(DARK) > 0.2 && dark.share(LIGHT) < 0.01,
        "{}",
        dark.share(DARK)
    );
    assert!(dark.share(SOME_PORTS_DARK) > 0.01);
    let chosen = page.screenshot("page.html", "theme=light", &[size, PREFERS_DARK]);
    assert!(chosen.share(LIGHT) > 0.2, "{}", chosen.share(LIGHT));
}

#[test]
fn the_graph_is_a_picture_in_light_and_dark() {
    let size = "--window-size=1500,700";
    let shop = Opened::new(&nopal(&["graph", SHOP, "--format", "svg"]), "graph.svg");
    let light = shop.screenshot("graph.svg", "", &[size, PREFERS_LIGHT]);
    assert!(light.share(LIGHT) > 0.1, "{}", light.share(LIGHT));
    assert!(
        light.share([0x2f, 0x7d, 0x4f]) > 0.0005,
        "no node shows that it is limited"
    );
    assert!(light.share(SOME_PORTS) > 0.0001, "no edge ends anywhere");
    let dark = shop.screenshot("graph.svg", "", &[size, PREFERS_DARK]);
    assert!(
        dark.share(DARK) > 0.1 && dark.share(LIGHT) < 0.01,
        "{}",
        dark.share(DARK)
    );
    // The browser shows a page of its own in place of a document that is not well formed.
    let (_folder, file) = hostile();
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["graph", &file])
        .output()
        .unwrap();
    let hostile = Opened::new(&String::from_utf8(output.stdout).unwrap(), "graph.svg");
    let picture = hostile.screenshot("graph.svg", "", &[size, PREFERS_LIGHT]);
    assert!(picture.share(LIGHT) > 0.02, "{}", picture.share(LIGHT));
    let broken = Opened::new(
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><rect></svg>",
        "graph.svg",
    );
    assert!(
        broken
            .screenshot("graph.svg", "", &[size, PREFERS_LIGHT])
            .share(LIGHT)
            < 0.01
    );
}
