package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
)

const (
	secretPrefix = "whsec_" // what follows it is base64
	leastSecret  = 16       // bytes; a shorter secret is guessed
)

// describe adds the attributes of the story as a CloudEvent in binary mode (CloudEvents 1.0, HTTP binding 3.1): the body
// stays what it is. Source and id together are the same when the same stage is told again.
func describe(h http.Header, s announce.Story, id string) {
	namespace, bake, _ := strings.Cut(s.Bake, "/")
	h.Set("Ce-Specversion", "1.0")
	h.Set("Ce-Id", id)
	h.Set("Ce-Source", "/apis/bakewatch.dev/v1alpha1/namespaces/"+namespace+"/bakes/"+bake)
	h.Set("Ce-Type", "dev.bakewatch.bake."+string(s.Stage))
	h.Set("Ce-Subject", s.Namespace+"/"+s.Kind+"/"+s.Workload)
	at := s.StartedAt
	switch s.Stage {
	case announce.Suspicion, announce.Deciding: // when that was is not told
		return
	case announce.Ended, announce.Resolved:
		at = s.EndedAt
	case announce.Started:
	}
	if !at.IsZero() {
		h.Set("Ce-Time", at.UTC().Format(time.RFC3339Nano))
	}
}

// sign adds the headers of the Standard Webhooks specification: an HMAC-SHA256 of id, time and body, so that a receiver
// can tell that the message is ours, whole and not an old one played again.
func sign(h http.Header, secret []byte, id string, now time.Time, body []byte) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// readSecret reads the key from its file, at each message so that it may be rotated. White space around it does not count.
func readSecret(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w; mount the secret that holds it", err)
	}
	return parseSecret(string(content))
}

// parseSecret takes whsec_ and base64, or any other text as it is. Its errors do not show the secret.
func parseSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	secret := []byte(text)
	if encoded, ok := strings.CutPrefix(text, secretPrefix); ok {
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, errors.New("what follows whsec_ is not base64; write whsec_ and base64 with its padding, or a secret of another form")
		}
		secret = decoded
	}
	if len(secret) < leastSecret {
		return nil, fmt.Errorf("the secret has %d bytes; it needs at least %d, such as those of `openssl rand -base64 32`", len(secret), leastSecret)
	}
	return secret, nil
}
