//go:build programs

// Package critest names what critest is built from, so that go.mod and go.sum lock it. critest itself is a test, which no
// package can import.
package critest

import (
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
