#!/usr/bin/env bash
# Measures the nopal command on clusters in the manner of a real one and writes its section of docs/benchmarks.md. Nothing
# else should be running on the machine. `docs/bench-cli.sh --print` prints the section and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

. docs/bench-section.sh
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p nopal --bin nopal --example bench_cli
section=$(mktemp)
trap 'rm -f "$section"' EXIT

{
    echo '<!-- command: begin -->'
    cat <<'EOM'
## The command

Made by `make bench-cli`. `real` has the proportions of a real cluster (5,413 pods, 604 namespaces, 13,678 policies), a file for each
namespace; `diff` compares it with itself after every fiftieth policy got another port. Times of commands are those of the whole process, reading and printing as JSON
included, medians of five runs (of one where it takes more than ten seconds); memory is the most that was resident.

EOM
    machine "$(rustc --version | cut -d' ' -f1-2)"
    echo
    "$target/release/examples/bench_cli" "$target/release/nopal"
    echo '<!-- command: end -->'
} > "$section"

if [ "${1:-}" = --print ]; then
    cat "$section"
    exit 0
fi
write_section "command" "$section"
