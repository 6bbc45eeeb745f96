//! A small cluster made of network namespaces, with probes that send real packets.
