//! Renders a rule graph as nftables rules and puts them into the kernel.
