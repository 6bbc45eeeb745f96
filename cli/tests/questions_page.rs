//! What `docs/questions.md` shows is what the commands print. `UPDATE=1` writes it. Other pages show parts of it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const FENCE: &str = "```console\n$ ";

#[test]
fn the_page_shows_what_the_commands_print() -> TestResult {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = root.join("docs/questions.md");
    let text = std::fs::read_to_string(&page)?;
    let mut parts = text.split(FENCE);
    let mut written = parts.next().unwrap_or_default().to_owned();
    let mut commands = 0;
    for part in parts {
        let (command, rest) = part.split_once('\n').ok_or("a command without an end")?;
        let (_, after) = rest.split_once("```").ok_or("a block without an end")?;
        let shown = output(&root, command)?;
        write!(written, "{FENCE}{command}\n{shown}```{after}")?;
        commands += 1;
    }
    assert!(commands >= 8, "{commands} commands");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &written)?;
    }
    assert_eq!(text, written, "UPDATE=1 writes docs/questions.md anew");
    Ok(())
}

#[test]
fn other_pages_show_parts_of_what_the_commands_print() -> TestResult {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (page, commands) in [("README.md", 4), ("docs/pictures.md", 1)] {
        let text = std::fs::read_to_string(root.join(page))?;
        let blocks = text.split("\n$ nopal ").skip(1);
        // A revision is of the reader's own repository.
        let blocks: Vec<&str> = blocks
            .filter(|block| !block.starts_with("diff git:"))
            .collect();
        assert_eq!(blocks.len(), commands, "{page}");
        for block in blocks {
            let (command, rest) = block.split_once('\n').ok_or("a command without an end")?;
            let (shown, _) = rest.split_once("```").ok_or("a block without an end")?;
            let printed = output(&root, &format!("nopal {command}"))?;
            for part in shown.split("...\n") {
                assert!(printed.contains(part), "{page}: {part}{printed}");
            }
        }
    }
    Ok(())
}

/// Standard output and then standard error of a command with arguments that may stand in single quotes.
fn output(root: &Path, command: &str) -> Result<String, Box<dyn std::error::Error>> {
    let words: Vec<&str> = command
        .split('\'')
        .enumerate()
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        })
        .collect();
    if let ["cat", file] = words[..] {
        return Ok(std::fs::read_to_string(root.join(file))?);
    }
    assert_eq!(words[0], "nopal", "{command}");
    let mut program = Command::new(env!("CARGO_BIN_EXE_nopal"));
    let output = program.args(&words[1..]).current_dir(root).output()?;
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{command}"
    );
    Ok(String::from_utf8(text)?)
}
