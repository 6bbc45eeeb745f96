#!/usr/bin/env bash
# Measures the data plane with packets and writes its section of docs/benchmarks.md. Root; nothing else should be
# running on the machine. `docs/bench-dataplane.sh --quick` takes a minute and is for trying it out: it prints the section and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "bench-dataplane: please run as root" >&2; exit 1; }

. docs/bench-section.sh
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p nft-backend --examples
section=$(mktemp)
namespace=nopal-bench-$$
trap 'rm -f "$section"; ip netns del "$namespace" 2>/dev/null || true' EXIT

# In a namespace of its own, with a name of its own: changes and loads of a large table.
table() {
    ip netns add "$namespace"
    "$target/release/examples/$1" "$namespace"
    ip netns del "$namespace"
}

{
    echo '<!-- data plane: begin -->'
    cat <<'EOM'
## Data plane

Made by `make bench-dataplane`, with packets between two pods on one node, all in network namespaces of one machine. A packet's time is that of its whole way (send,
veth, route and rules, veth, deliver), so only differences between rows say something. The turns of all rows alternate; figures are medians. "Evaluated"
is a flow whose mark is taken away behind all rules, so each packet passes all of them: the client's egress and the server's ingress, which N policies
are about; without that only a flow's first packet would. "Established" is a flow that was answered. The rows with a chain and a set per policy say the same policies the way that engines do
which translate them one by one.

EOM
    machine "$(nft --version | cut -d' ' -f1-2)"
    echo
    "$target/release/examples/dataplane" "$@"
    echo "### One event at a large table, from the event to the kernel"
    echo
    cat <<'EOM'
The kernel finds a set by walking the list of a table's sets and comparing names (`nft_set_lookup`), for each message about elements; so a pod that is a peer of many classes costs a walk
for each, and what changes most often is made first. An element that leads to a chain makes it walk all chains and entries of maps before it commits (`nft_table_validate`, which a
`goto` asks for as a `jump` does); that is what a local pod costs more than a peer. A map from addresses to classes before one from classes to chains would spare the walk, and nft's language (1.0.6) has no such lookup. Kernels that remember which chains they have walked (`nft_chain_vstate_valid`) walk each once: 6.18 and Debian's 6.1 as tried
take no longer for many egress classes beside many ingress classes. One that does not remember walks every ingress class from every egress class.
Marks of standing flows are cleared ahead, once in 128 changes that take a permission away, after whoever waited for a change has been told, and not within an event's time: a conntrack dump, and the
close of its socket, which waits for the kernel to clean up after the transactions before.
A listener hears of each change, as in an agent. "Nothing" is a transaction without a change, in turns with the events: what its p99 is above its p50 is the machine's.

EOM
    table delta
    echo
    echo "### Single transactions at a large table"
    echo
    cat <<'EOM'
The first table is made while nobody listens to changes of tables. In the second one somebody does, as an agent's guard: the kernel makes a message for each element and keeps all of them until the
transaction ends, so a guard does not listen to its own large transactions.

EOM
    table commit
    echo '<!-- data plane: end -->'
} > "$section"

if [ "${1:-}" = --quick ]; then
    cat "$section"
    exit 0
fi
write_section "data plane" "$section"
