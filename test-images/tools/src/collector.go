// Package collector frees memory where a component may call others. Go's collector asks for the time, and a component that
// does so while an argument is being placed in its memory (cabi_realloc) traps:
// https://github.com/bytecodealliance/wasmtime/issues/14318. So it does not start by itself.
package collector

import (
	"runtime"
	"runtime/debug"
)

const callsBetween = 64

var calls int

func init() { debug.SetGCPercent(-1) }

// Run is what every exported function calls.
func Run() {
	if calls++; calls%callsBetween == 0 {
		runtime.GC()
	}
}
