package announce

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://grafana":              "http://grafana",
		" https://g.example:3000/x\n": "https://g.example:3000",
		"https://u:secret@h/hook":     "https://h",
		"":                            "",
		"secret":                      "",
		"ftp://secret":                "",
		"http:///secret":              "",
		"http://secret:port":          "",
		"http://[secret":              "",
	} {
		u, err := ParseAddress(address)
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: want an error that does not show it, got %v", address, err)
			}
			continue
		}
		if err != nil || Place(u) != want {
			t.Errorf("%q: got %v (%v), want %s", address, u, err, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		"-1":                            0,
		"soon":                          0,
		"99999999999999999999":          0,
		"Tue, 03 Nov 2026 10:02:00 GMT": 2 * time.Minute,
		"Tue, 03 Nov 2026 09:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestClipAndOneLine(t *testing.T) {
	if got := Clip("äöü", 3); got != "äöü" {
		t.Errorf("got %q", got)
	}
	if got := Clip("äöüß", 3); got != "äö…" {
		t.Errorf("got %q", got)
	}
	if got := OneLine(" a\r\n\tb\x00c\xff "); got != "a b c�" || !utf8.ValidString(got) {
		t.Errorf("got %q", got)
	}
}
