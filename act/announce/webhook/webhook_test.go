package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/webhook"
)

func TestTell(t *testing.T) {
	var body map[string]any
	var story announce.Story
	server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw json.RawMessage
		if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &body) != nil || json.Unmarshal(raw, &story) != nil {
			w.WriteHeader(400)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	r, err := webhook.New(webhook.Options{URL: server.URL + "/x?y=z", Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	told := fakes.Story(announce.Ended)
	if id, err := r.Tell(t.Context(), told); id != "" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	told.Decided, told.Pods = false, nil // not sent
	if diff := cmp.Diff(told, story); diff != "" {
		t.Error(diff)
	}
	if body["version"] != "1" || body["stage"] != "ended" || body["endedAt"] != "2026-11-03T10:01:35.25Z" {
		t.Errorf("got %v", body)
	}
	got := server.Requests()[0]
	if got.Method != "POST" || got.URL.RequestURI() != "/x?y=z" || got.Header.Get("Content-Type") != "application/json" ||
		got.Header.Get("Idempotency-Key") != "shop/web-7f3a-7/ended" || got.Header.Get("User-Agent") != "bakewatch/1.2.3" {
		t.Errorf("got %s %s %v", got.Method, got.URL, got.Header)
	}
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "shop/web-7f3a-7/ended", "Ce-Type": "dev.bakewatch.bake.ended", "Ce-Subject": "shop/Deployment/web",
		"Ce-Source": "/apis/bakewatch.dev/v1alpha1/namespaces/shop/bakes/web-7f3a-7", "Ce-Time": "2026-11-03T10:01:35.25Z", "Webhook-Signature": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Started)); err != nil {
		t.Fatal(err)
	}
	if _, there := body["version"]; !there || strings.Contains(server.Requests()[1].Header.Get("Idempotency-Key"), "ended") {
		t.Error("the key does not tell stages apart")
	}
}

func TestTheAddressMayComeFromAFile(t *testing.T) {
	server := fakes.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	file := filepath.Join(t.TempDir(), "url")
	r, err := webhook.New(webhook.Options{Name: "chat", URLFile: file})
	if err != nil || r.Name() != "chat" {
		t.Fatal(r, err)
	}
	_, err = r.Tell(t.Context(), fakes.Story(announce.Started))
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("want an error that names the missing file, got %v", err)
	}
	for _, content := range []string{"very-secret", "http://very-secret:x/"} {
		write(t, file, content)
		if _, err = r.Tell(t.Context(), fakes.Story(announce.Started)); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("want an error without the secret, got %v", err)
		}
	}
	for _, path := range []string{"/one", "/two"} {
		write(t, file, server.URL+path+"\n")
		if _, err = r.Tell(t.Context(), fakes.Story(announce.Started)); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Requests(); got[0].URL.Path != "/one" || got[1].URL.Path != "/two" {
		t.Error("a rotated address is not read again")
	}
}

func TestSigned(t *testing.T) {
	var body []byte
	server := fakes.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	file := filepath.Join(t.TempDir(), "secret")
	r, err := webhook.New(webhook.Options{URL: server.URL, SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	tell := func() error {
		_, err := r.Tell(t.Context(), fakes.Story(announce.Deciding))
		return err
	}
	if err := tell(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("want an error that names the missing file, got %v", err)
	}
	for _, secret := range []string{"too-short", "whsec_&&&&&&&&&&&&&&&&&&&&&&&&"} {
		write(t, file, secret)
		if err := tell(); err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "&&&") {
			t.Errorf("want an error without the secret, got %v", err)
		}
	}
	if n := len(server.Requests()); n != 0 {
		t.Fatalf("%d messages went out unsigned", n)
	}
	for _, secret := range []string{"the first of two secrets", "the second, after it was rotated"} {
		write(t, file, secret+"\n")
		if err := tell(); err != nil {
			t.Fatal(err)
		}
		h := server.Requests()[len(server.Requests())-1].Header
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "." + string(body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); h.Get("Webhook-Signature") != want || h.Get("Webhook-Id") != "shop/web-7f3a-7/deciding" {
			t.Errorf("got %v, want the signature %s", h, want)
		}
		if at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64); err != nil || at <= 0 {
			t.Errorf("no time: %v", h)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNew(t *testing.T) {
	for _, o := range []webhook.Options{{}, {URL: "http://a", URLFile: "b"}, {URL: "secret"}} {
		if _, err := webhook.New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}
