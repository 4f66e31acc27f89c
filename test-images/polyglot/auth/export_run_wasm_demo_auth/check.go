// Package export_run_wasm_demo_auth is the interface auth of run-wasm:demo. The bindings gave it its name.
package export_run_wasm_demo_auth

import (
	"errors"
	"os"

	"go.bytecodealliance.org/pkg/wit/types"

	"run-wasm.example/auth/bindings/collector"
	"run-wasm.example/auth/bindings/run_wasm_demo_auth"
	"run-wasm.example/auth/jwt"
)

type (
	claims  = run_wasm_demo_auth.Claims
	refusal = run_wasm_demo_auth.Refusal
)

// Check takes the secret from the environment variable JWT_SECRET.
func Check(token string, now uint64) wit_types.Result[claims, refusal] {
	collector.Run()
	secret := os.Getenv("JWT_SECRET")
	if secret == "" {
		return wit_types.Err[claims](run_wasm_demo_auth.RefusalNoSecret)
	}
	said, err := jwt.Check([]byte(secret), token, now)
	if err != nil {
		return wit_types.Err[claims](refusalOf(err))
	}
	return wit_types.Ok[claims, refusal](claims{Subject: said.Subject, Expires: said.Expires})
}

func refusalOf(err error) refusal {
	switch {
	case errors.Is(err, jwt.ErrForged):
		return run_wasm_demo_auth.RefusalForged
	case errors.Is(err, jwt.ErrExpired):
		return run_wasm_demo_auth.RefusalExpired
	case errors.Is(err, jwt.ErrEarly):
		return run_wasm_demo_auth.RefusalEarly
	default:
		return run_wasm_demo_auth.RefusalMalformed
	}
}
