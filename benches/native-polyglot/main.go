// The service of test-images/polyglot as one native program, for `bench.sh compose`, by Go's standard library alone. The check of
// the token and the page are that application's own files, which the bench puts beside this one. What it weighs is what the
// composed image is held against.
package main

import (
	_ "embed"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"run-wasm.example/native-polyglot/jwt"
)

//go:embed page.html
var page string

// What the router says of each refusal.
var sentences = map[error]string{
	jwt.ErrMalformed: "The token is no JSON Web Token with a subject and an expiry, signed by HS256.",
	jwt.ErrForged:    "The token's signature is not right.",
	jwt.ErrExpired:   "The token has expired.",
	jwt.ErrEarly:     "The token is not valid yet.",
}

func main() {
	server := http.Server{Addr: ":8080", Handler: http.HandlerFunc(handle), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func handle(to http.ResponseWriter, request *http.Request) {
	header := to.Header()
	if request.Method != http.MethodGet {
		header.Set("Allow", http.MethodGet)
		http.Error(to, "This server answers GET alone.", http.StatusMethodNotAllowed)
		return
	}
	token, given := bearerToken(request)
	if !given {
		unauthorized(to, "This page is for those with a token: send it as Authorization: Bearer TOKEN.")
		return
	}
	secret := os.Getenv("JWT_SECRET")
	if secret == "" {
		http.Error(to, "The server has no JWT_SECRET to check tokens with.", http.StatusInternalServerError)
		return
	}
	now := uint64(time.Now().Unix())
	claims, err := jwt.Check([]byte(secret), token, now)
	if err != nil {
		unauthorized(to, sentences[err])
		return
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	fill := strings.NewReplacer(
		"$subject", html.EscapeString(claims.Subject),
		"$path", html.EscapeString(request.URL.RequestURI()),
		"$minutes", fmt.Sprint((claims.Expires-now)/60),
	)
	fill.WriteString(to, page)
}

func unauthorized(to http.ResponseWriter, sentence string) {
	to.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(to, sentence, http.StatusUnauthorized)
}

// RFC 6750, 2.1; the scheme's case does not matter (RFC 9110, 11.1).
func bearerToken(request *http.Request) (string, bool) {
	scheme, token, given := strings.Cut(request.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), given && strings.EqualFold(scheme, "bearer")
}
