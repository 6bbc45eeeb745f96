#!/usr/bin/env bash
# Runs the benchmarks and writes docs/benchmarks.md. Nothing else should be running on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo bench --quiet -p nft-backend --bench compile | tee target/bench.txt
cargo build --quiet --release -p nft-backend --example scale
scale() { target/release/examples/scale "$@"; }

# The sections of docs/bench-dataplane.sh, docs/bench-cli.sh and docs/bench-agent.sh stay as they are.
kept=$(sed -n '/^<!-- .*: begin -->$/,/^<!-- .*: end -->$/p' docs/benchmarks.md)

{
    cat <<'EOT'
# Benchmarks

Made by `make bench`, which writes this page. Times are medians of ten runs or more (criterion), on the machine named below,
with nothing else running; they vary by some per cent from run to run.

EOT
    echo "Machine: $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)), Linux $(uname -r), $(rustc --version | cut -d' ' -f1-2)."
    cat <<'EOT'

## From a cluster to rules

`mix` is a realistic mix of policies in the proportions of a real cluster (5,413 pods, 604 namespaces, 13,678 policies);
`all-select-all` is 10,000 policies that each let all of 10,000 pods reach all of them. `graph` is the whole cluster's minimal
rule graph, `node graph` the graph of one node's pods, `node rules` their rendering as nftables rules. `naive` resolves the
smallest mix pod by pod, without classes and indexes. Freeing the results is not counted.

| cluster (pods x policies) | step | median |
|---|---|---|
EOT
    awk '
        /time:/ { line = $0; sub(/^ */, "", line); if (line !~ /^time:/) { split(line, part, / +time:/); name = part[1] }
                  match($0, /\[.*\]/); split(substr($0, RSTART + 1, RLENGTH - 2), t, " ")
                  n = split(name, p, "/"); printf "| %s %s | %s | %s %s |\n", p[1], p[2], p[n], t[3], t[4]; next }
        /^[a-z-]+\// { name = $1; for (i = 2; i <= NF; i++) name = name " " $i }
    ' target/bench.txt
    cat <<'EOT'

## Memory, and what comes out

One process per row: the time of each step once, edges before and after minimizing, what one node gets, and resident
memory in MiB with the cluster alone and at the highest (cluster and whole graph).

| profile | pods | policies | compile | minimize | edges | node graph | node rules | of one node | MiB |
|---|---|---|---|---|---|---|---|---|---|
EOT
    scale mix 1000 1000
    scale mix 5413 13678
    scale mix 10000 10000
    scale mix 100000 75000
    scale all 10000 10000
    if [ -n "$kept" ]; then printf '\n%s\n' "$kept"; fi
} > docs/benchmarks.md
echo "written: docs/benchmarks.md"
