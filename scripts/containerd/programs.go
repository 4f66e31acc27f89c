//go:build programs

// Package containerd names the programs of the newest containerd that the tests run, so that go.mod and go.sum lock all
// that they are built from.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
