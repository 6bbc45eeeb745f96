//go:build tools

// Package helm pins the Helm that renders and installs the chart in tests.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
