package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/prometheus"
)

// TestPrometheusKnowsUs: each way to be known reaches the server with the query.
func TestPrometheusKnowsUs(t *testing.T) {
	const answer = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			grant := r.Form.Get("grant_type")
			if grant == "client_credentials" && r.Form.Get("audience") != "metrics" {
				t.Errorf("the request for a token: %v", r.Form)
			}
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, grant[len(grant)-8:])
			return
		}
		got = r.Header
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "bakewatch@shop", "token_uri": server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		of     policy.Prometheus
		header string
		begins string
	}{
		{"tenant", policy.Prometheus{Headers: map[string]string{"x-scope-orgid": "team-a"}}, "X-Scope-Orgid", "team-a"},
		{"bearer", policy.Prometheus{BearerTokenFile: file("token", "abc")}, "Authorization", "Bearer abc"},
		{"oauth2", policy.Prometheus{OAuth2: &policy.OAuth2{ClientID: "c", ClientSecretFile: file("secret", "s"), TokenURL: server.URL + "/token", Params: map[string]string{"audience": "metrics"}}},
			"Authorization", "Bearer dentials"},
		{"sigv4", policy.Prometheus{SigV4: &policy.SigV4{Region: "eu-central-1"}}, "Authorization", "AWS4-HMAC-SHA256 Credential=AKID/"},
		{"google", policy.Prometheus{Google: &policy.Google{CredentialsFile: file("key.json", string(account))}}, "Authorization", "Bearer t-bearer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.of.URL = server.URL
			source, err := prometheus.New(prometheusOptions(tc.of))
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			if err := source.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if value := got.Get(tc.header); !strings.HasPrefix(value, tc.begins) {
				t.Errorf("%s: %q, want %q", tc.header, value, tc.begins)
			}
		})
	}
}

// TestGoogleKeyThatIsNone: the error names the file and shows nothing of it.
func TestGoogleKeyThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := prometheus.New(prometheusOptions(policy.Prometheus{HTTP: policy.HTTP{URL: "http://p"}, Google: &policy.Google{CredentialsFile: path}}))
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
