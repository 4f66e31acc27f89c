// The component: its exports are in the bindings, which call the package export_run_wasm_demo_auth.
package main

import _ "run-wasm.example/auth/bindings/wit_exports"

// A component that is called needs no main; Go does.
func main() {}
