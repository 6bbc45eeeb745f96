#!/usr/bin/env bash
# Measures the agent and writes its section of docs/benchmarks.md. Root; nothing else should be running on the machine.
# `docs/bench-agent.sh --quick` takes small clusters and is for trying it out: it prints the section and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "bench-agent: please run as root" >&2; exit 1; }

. docs/bench-section.sh
# The agent as it is shipped: static.
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --release --target "$triple" -p nopal-agent --bins --examples
programs=${CARGO_TARGET_DIR:-target}/$triple/release
section=$(mktemp)
namespace=nopal-bench-$$
trap 'rm -f "$section"; ip netns del "$namespace" 2>/dev/null || true' EXIT
small=()
[ "${1:-}" = --quick ] && small=(10000 7500)

{
    echo '<!-- agent: begin -->'
    cat <<'EOM'
## The agent

Made by `make bench-agent`. etcd, a real API server, the agent and what makes the changes share one machine; the agent has a network namespace of its own, with the
table of one node of 100 pods.

EOM
    machine "$(nft --version | cut -d' ' -f1-2)"
    echo "Load of the machine before the measurement: $(cut -d' ' -f1-3 /proc/loadavg) (processes that run or wait, over 1, 5 and 15 minutes)."
    cat <<'EOM'

### With a real API server

Of ten changes six give a peer of the node's policies another address, two change a policy of the node, and two are about pods that the node has nothing to do with.
"Event to kernel" is the agent's own histogram of programming latency (within a bucket by proportion). "Request to kernel" begins before the client sends the change
and ends when the kernel tells a listener of the new elements, so it contains the API server and etcd. The second table is what one agent costs the API server: bytes of the line between
the two, with TLS and TCP; "requests" are those that the API server counts for the four kinds and that read (a watch counts when it ends); "watches" are all of the four kinds, those of the API
server's own parts included. In the third table a runtime starts pods in a burst: from the start of the plugin's process to its end, with the agent warm and the pods' rules in force when it ends.

EOM
    "$programs/examples/live" "$programs/nopal-agent" "$@"
    cat <<'EOM'

### The store alone

The objects are handed to the agent's store as its watches would do it. "Before the kernel" is all but the time in which the kernel works on transactions.

EOM
    ip netns add "$namespace"
    ip netns exec "$namespace" "$programs/examples/store" "${small[@]}"
    ip netns del "$namespace"
    echo '<!-- agent: end -->'
} > "$section"

if [ "${1:-}" = --quick ]; then
    cat "$section"
    exit 0
fi
write_section "agent" "$section"
