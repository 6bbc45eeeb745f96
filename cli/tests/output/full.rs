//! A command whose standard output is a full disk.

use std::fs::File;
use std::process::{Command, Stdio};

/// Runs the command; its answer must not be lost without a word.
pub(crate) fn is_told(command: &mut Command) {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).output();
    let output = output.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let told = "error: cannot write to standard output: No space left on device";
    assert_eq!(
        errors.matches(told).count(),
        1,
        "{:?}: {errors}",
        command.get_args()
    );
    assert_eq!(output.status.code(), Some(2), "{:?}", command.get_args());
}
