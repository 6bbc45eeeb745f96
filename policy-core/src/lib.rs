//! The pure core of nopal, from Kubernetes objects to a minimized rule graph.
