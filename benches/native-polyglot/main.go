// The service of test-images/polyglot as one native program, for `bench.sh compose`: the same answers, the same check of
// the token and the same page, by Go's standard library alone. What it weighs is what the composed image is held against.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Hello, $subject</title>
</head>
<body>
<h1>Hello, $subject!</h1>
<p>You came to <code>$path</code>; your token is good for $minutes more minutes.</p>
</body>
</html>
`

var (
	errMalformed = errors.New("The token is no JSON Web Token with a subject and an expiry, signed by HS256.")
	errForged    = errors.New("The token's signature is not right.")
	errExpired   = errors.New("The token has expired.")
	errEarly     = errors.New("The token is not valid yet.")
)

const (
	longest = 8 << 10
	// Up to here a number of JSON is exact.
	latest = 1 << 53
)

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
	subject, expires, err := check([]byte(secret), token, now)
	if err != nil {
		unauthorized(to, err.Error())
		return
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	fill := strings.NewReplacer(
		"$subject", html.EscapeString(subject),
		"$path", html.EscapeString(request.URL.RequestURI()),
		"$minutes", fmt.Sprint((expires-now)/60),
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

// check tells whom the token is about and when it ends (RFC 7519), as the component auth does.
func check(secret []byte, token string, now uint64) (subject string, expires uint64, err error) {
	parts := strings.Split(token, ".")
	if len(token) > longest || len(parts) != 3 {
		return "", 0, errMalformed
	}
	header, err := object(parts[0])
	if err != nil {
		return "", 0, err
	}
	if _, critical := header["crit"]; critical || header["alg"] != "HS256" {
		return "", 0, errMalformed
	}
	signature, err := decode(parts[2])
	if err != nil {
		return "", 0, err
	}
	code := hmac.New(sha256.New, secret)
	code.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(signature, code.Sum(nil)) {
		return "", 0, errForged
	}
	body, err := object(parts[1])
	if err != nil {
		return "", 0, err
	}
	return inTime(body, float64(now))
}

func inTime(body map[string]any, now float64) (string, uint64, error) {
	subject, named := body["sub"].(string)
	expires, limited := body["exp"].(float64)
	if !named || subject == "" || !limited || expires > latest {
		return "", 0, errMalformed
	}
	if now >= expires {
		return "", 0, errExpired
	}
	if begins, given := body["nbf"]; given {
		begins, number := begins.(float64)
		if !number {
			return "", 0, errMalformed
		}
		if now < begins {
			return "", 0, errEarly
		}
	}
	return subject, uint64(expires), nil
}

// object: a part of the token whose text is an object of JSON.
func object(part string) (map[string]any, error) {
	text, err := decode(part)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil, errMalformed
	}
	return fields, nil
}

// decode is strict: one text has one form, and no line breaks in it.
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, errMalformed
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errMalformed
	}
	return text, nil
}
