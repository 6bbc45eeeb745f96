//go:build tools

// Package etcd pins the etcd that the tests' control plane stands on: the one that the pinned Kubernetes goes with.
package etcd

import _ "go.etcd.io/etcd/server/v3"
