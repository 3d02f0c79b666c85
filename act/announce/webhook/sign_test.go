package webhook

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The vector is that of the Standard Webhooks reference libraries.
func TestSignAsStandardWebhooks(t *testing.T) {
	secret, err := parseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("Webhook-Signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{"", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64", "short", " a secret of plain text \n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secret, err := parseSecret(text)
		switch trimmed := strings.TrimSpace(text); {
		case err != nil:
			if len(trimmed) >= leastSecret && strings.Contains(err.Error(), trimmed) {
				t.Errorf("the error shows the secret: %v", err)
			}
		case len(secret) < leastSecret:
			t.Errorf("took a secret of %d bytes", len(secret))
		case strings.HasPrefix(trimmed, secretPrefix):
			if again, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(trimmed, secretPrefix)); err != nil || !bytes.Equal(again, secret) {
				t.Errorf("%q is not the base64 in %q", secret, trimmed)
			}
		case string(secret) != trimmed:
			t.Errorf("%q became %q", trimmed, secret)
		}
	})
}
