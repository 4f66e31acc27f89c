package jwt

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

const now = 1_700_000_000

var secret = []byte("a secret of the tests")

func encode(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

func signed(header, body string) string {
	text := encode([]byte(header)) + "." + encode([]byte(body))
	return text + "." + encode(sign(secret, text))
}

func expect(t *testing.T, token string, wanted error) {
	t.Helper()
	if _, err := Check(secret, token, now); !errors.Is(err, wanted) {
		t.Errorf("%s: %v, not %v", token, err, wanted)
	}
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestAGoodTokenTellsWhomItIsAbout(t *testing.T) {
	claims, err := Check(secret, signed(hs256, `{"sub":"Ada","nbf":1700000000,"exp":1700000001}`), now)
	if err != nil || claims != (Claims{"Ada", now + 1}) {
		t.Errorf("%v, %v", claims, err)
	}
}

func TestATokenIsVoidFromItsExpiryOn(t *testing.T) {
	expect(t, signed(hs256, `{"sub":"Ada","exp":1700000000}`), ErrExpired)
	expect(t, signed(hs256, `{"sub":"Ada","exp":-1}`), ErrExpired)
}

func TestATokenIsVoidBeforeItBegins(t *testing.T) {
	expect(t, signed(hs256, `{"sub":"Ada","nbf":1700000001,"exp":1700000002}`), ErrEarly)
}

func TestAChangedTokenIsForged(t *testing.T) {
	parts := strings.Split(signed(hs256, `{"sub":"Ada","exp":1700000001}`), ".")
	expect(t, parts[0]+"."+encode([]byte(`{"sub":"Eve","exp":1700000001}`))+"."+parts[2], ErrForged)
	expect(t, parts[0]+"."+parts[1]+".", ErrForged)
	expect(t, parts[0]+"."+parts[1]+"."+encode([]byte("too short")), ErrForged)
}

func TestATokenOfAnotherSecretIsForged(t *testing.T) {
	if _, err := Check([]byte("another"), signed(hs256, `{"sub":"Ada","exp":1700000001}`), now); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
}

func TestOnlyHS256Signs(t *testing.T) {
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"HS512"}`, `{"ALG":"HS256"}`, `{"alg":["HS256"]}`, `{}`, `null`,
		`{"alg":"HS256","crit":["b64"],"b64":false}`,
	} {
		expect(t, signed(header, `{"sub":"Ada","exp":1700000001}`), ErrMalformed)
	}
	expect(t, encode([]byte(`{"alg":"none"}`))+"."+encode([]byte(`{"sub":"Ada","exp":1700000001}`))+".", ErrMalformed)
}

func TestATokenHasASubjectAndAnExpiry(t *testing.T) {
	for _, body := range []string{
		`{"exp":1700000001}`, `{"sub":"","exp":1700000001}`, `{"sub":7,"exp":1700000001}`, `{"sub":"Ada"}`,
		`{"sub":"Ada","exp":"1700000001"}`, `{"sub":"Ada","exp":1e300}`, `{"sub":"Ada","nbf":"now","exp":1700000001}`,
		`null`, `[]`, `{`, ``,
	} {
		expect(t, signed(hs256, body), ErrMalformed)
	}
}

func TestWhatIsNoTokenIsMalformed(t *testing.T) {
	good := signed(hs256, `{"sub":"Ada","exp":1700000001}`)
	for _, token := range []string{
		"", "..", "a.b.c", good + ".", good + "=", good + "\n", " " + good, strings.Repeat("a", longest) + "." + good,
	} {
		expect(t, token, ErrMalformed)
	}
}

// RFC 7515, A.1: a signature that others have made.
func TestTheSignatureIsThatOfTheStandard(t *testing.T) {
	key, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	text := "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	if made := encode(sign(key, text)); made != "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" {
		t.Error(made)
	}
}
