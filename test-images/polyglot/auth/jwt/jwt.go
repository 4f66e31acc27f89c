// Package jwt checks JSON Web Tokens (RFC 7519) that are signed by HS256.
package jwt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

var (
	ErrMalformed = errors.New("no token of a subject and an expiry, signed by HS256")
	ErrForged    = errors.New("the signature is not right")
	ErrExpired   = errors.New("the token has expired")
	ErrEarly     = errors.New("the token is not valid yet")
)

const (
	// No header of a request that servers take is longer.
	longest = 8 << 10
	// Up to here a number of JSON is exact.
	latest = 1 << 53
)

type Claims struct {
	Subject string
	Expires uint64
}

// Check tells what the token says if the secret has signed it and now, in seconds since 1970, is in its time. Nothing of
// what it says is looked at before the signature is known to be right, but for the way in which it was signed.
func Check(secret []byte, token string, now uint64) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(token) > longest || len(parts) != 3 {
		return Claims{}, ErrMalformed
	}
	header, err := object(parts[0])
	if err != nil {
		return Claims{}, err
	}
	// A header may name what must be understood (RFC 7515, 4.1.11): here nothing is.
	if _, critical := header["crit"]; critical || header["alg"] != "HS256" {
		return Claims{}, ErrMalformed
	}
	signature, err := decode(parts[2])
	if err != nil {
		return Claims{}, err
	}
	if !hmac.Equal(signature, sign(secret, parts[0]+"."+parts[1])) {
		return Claims{}, ErrForged
	}
	body, err := object(parts[1])
	if err != nil {
		return Claims{}, err
	}
	return inTime(body, float64(now))
}

func inTime(body map[string]any, now float64) (Claims, error) {
	subject, named := body["sub"].(string)
	expires, limited := body["exp"].(float64)
	if !named || subject == "" || !limited || expires > latest {
		return Claims{}, ErrMalformed
	}
	if now >= expires {
		return Claims{}, ErrExpired
	}
	if begins, given := body["nbf"]; given {
		begins, number := begins.(float64)
		if !number {
			return Claims{}, ErrMalformed
		}
		if now < begins {
			return Claims{}, ErrEarly
		}
	}
	return Claims{Subject: subject, Expires: uint64(expires)}, nil
}

func sign(secret []byte, text string) []byte {
	code := hmac.New(sha256.New, secret)
	code.Write([]byte(text))
	return code.Sum(nil)
}

// object: a part of the token whose text is an object of JSON.
func object(part string) (map[string]any, error) {
	text, err := decode(part)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil, ErrMalformed
	}
	return fields, nil
}

// decode is strict: one text has one form, and no line breaks in it.
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, ErrMalformed
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, ErrMalformed
	}
	return text, nil
}
