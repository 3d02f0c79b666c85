// Package webhook posts stories to an address of the user's: as plain JSON, which its headers make a CloudEvent, and signed
// where there is a secret.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
)

// FormatVersion is the value of the field "version" in each message. It grows when a field changes its meaning or goes,
// not when one is added.
const FormatVersion = "1"

// Options says where to post and as whom.
type Options struct {
	Name    string       // the receiver's name; "webhook" if empty
	URL     string       // the address; it may hold a secret and is never shown beyond scheme and host
	URLFile string       // or the file that holds it, read at each call so that it may be rotated
	Version string       // of Bakewatch, for the User-Agent
	Client  *http.Client // brings the credentials, if any

	SecretFile string // holds the key that messages are signed with, read at each call; empty: they are not signed
}

// Receiver posts every stage of every bake. The header Idempotency-Key is the same when the same stage is told again.
type Receiver struct {
	options Options
	client  *http.Client
}

// New returns a Receiver.
func New(o Options) (*Receiver, error) {
	o.Name = cmp.Or(o.Name, "webhook")
	switch {
	case o.URL == "" && o.URLFile == "":
		return nil, fmt.Errorf("setting up %s: neither an address nor a file with one is given", o.Name)
	case o.URL != "" && o.URLFile != "":
		return nil, fmt.Errorf("setting up %s: both an address and a file with one are given; leave one out", o.Name)
	case o.URL != "":
		if _, err := announce.ParseAddress(o.URL); err != nil {
			return nil, fmt.Errorf("setting up %s: %w", o.Name, err)
		}
	}
	return &Receiver{options: o, client: announce.StrictClient(o.Client)}, nil
}

// Name is the receiver's name.
func (r *Receiver) Name() string { return r.options.Name }

// message is the body of a post: the story with the version of its format.
type message struct {
	Version string `json:"version"`
	announce.Story
}

// Tell posts the story. Any 2xx is taken as delivered.
func (r *Receiver) Tell(ctx context.Context, s announce.Story) (string, error) {
	body, err := json.Marshal(message{FormatVersion, s})
	if err != nil {
		return "", fmt.Errorf("writing the message for %s: %w (%w)", r.Name(), err, announce.ErrFinal)
	}
	address := r.options.URL
	if r.options.URLFile != "" {
		content, err := os.ReadFile(r.options.URLFile)
		if err != nil {
			return "", fmt.Errorf("reading the address of %s: %w; mount the secret that holds it", r.Name(), err)
		}
		address = string(content)
	}
	u, err := announce.ParseAddress(address)
	if err != nil {
		return "", fmt.Errorf("reading the address of %s from %s: %w", r.Name(), r.options.URLFile, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("writing a request to %s: the address %s cannot be used", r.Name(), announce.Place(u))
	}
	req.Header.Set("Content-Type", "application/json")
	id := s.Bake + "/" + string(s.Stage)
	req.Header.Set("Idempotency-Key", id)
	describe(req.Header, s, id)
	if r.options.SecretFile != "" {
		secret, err := readSecret(r.options.SecretFile)
		if err != nil {
			return "", fmt.Errorf("reading the key that signs messages to %s from %s: %w", r.Name(), r.options.SecretFile, err)
		}
		sign(req.Header, secret, id, time.Now(), body)
	}
	req.Header.Set("User-Agent", "bakewatch/"+cmp.Or(r.options.Version, "unknown"))
	res, err := r.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("posting to %s at %s: %w%s", r.Name(), announce.Place(u), announce.WithoutAddress(err), advice(err))
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again; the message is delivered either way
	return "", nil
}

func advice(err error) string {
	answer, ok := errors.AsType[*announce.AnswerError](err)
	switch {
	case !ok:
		return ""
	case answer.Code == http.StatusUnauthorized, answer.Code == http.StatusForbidden:
		return "; check its credentials"
	case answer.Code == http.StatusNotFound, answer.Code == http.StatusGone, answer.Code >= 300 && answer.Code < 400:
		return "; check its address"
	}
	return ""
}
