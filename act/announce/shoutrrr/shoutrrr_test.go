package shoutrrr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
	"github.com/bakewatch/bakewatch/act/announce/shoutrrr"
)

const secret = "hunter2-0123456789"

// ntfy is a receiver of a ntfy server, and what that server was sent: titles and bodies.
func ntfy(t *testing.T) (*fakes.Server, *shoutrrr.Receiver, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Title")+"\n"+string(body))
		_, _ = io.WriteString(w, `{}`)
	}))
	address := "ntfy://:" + secret + "@" + strings.TrimPrefix(server.URL, "http://") + "/" + secret + "?scheme=http"
	return server, receiver(t, address), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
}

func receiver(t *testing.T, address string) *shoutrrr.Receiver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "address")
	if err := os.WriteFile(file, []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := shoutrrr.New(shoutrrr.Options{URLFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	t.Log(err)
	if text := err.Error(); strings.Contains(text, "hunter2") || strings.ContainsAny(text, "\n\x00") || len(text) > 900 || strings.Contains(text, "127.0.0.1:") {
		t.Errorf("it shows a secret, or is long, or not one line: %q", text)
	}
}

func TestTell(t *testing.T) {
	_, r, got := ntfy(t)
	s := fakes.Story(announce.Ended)
	s.Reasons = append(s.Reasons, strings.Repeat("@everyone ", 1000))
	if id, err := r.Tell(t.Context(), s); err != nil || id != "" {
		t.Fatalf("got %q, %v", id, err)
	}
	all := got()
	if len(all) != 1 || !strings.HasPrefix(all[0], s.Headline+"\n"+s.Why+"\n- restarts: 4 on rev 7") || strings.Contains(all[0], "@everyone") || len([]rune(all[0])) > 2000 {
		t.Errorf("got %q", all)
	}
}

// A service without titles of its own gets one message.
func TestWithoutTitle(t *testing.T) {
	var body string
	server := fakes.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
	}))
	r := receiver(t, "generic://"+strings.TrimPrefix(server.URL, "http://")+"/hook?disabletls=yes")
	s := fakes.Story(announce.Deciding)
	if _, err := r.Tell(t.Context(), s); err != nil || !strings.HasPrefix(body, s.Headline+"\n"+s.Why) {
		t.Errorf("got %q, %v", body, err)
	}
}

// Whatever the service does, an error says so without a secret, and later messages arrive.
func TestFaults(t *testing.T) {
	server, r, got := ntfy(t)
	for i, fault := range fakes.Faults() {
		t.Run(fault.Name, func(t *testing.T) {
			server.Fail(fault.Serve)
			defer server.Fail(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			s := fakes.Story(announce.Ended)
			s.Bake = fmt.Sprint("shop/", i)
			_, err := r.Tell(ctx, s)
			check(t, err)
			if errors.Is(err, announce.ErrFinal) && !fault.Final {
				t.Errorf("final, though it may mend: %v", err)
			}
		})
	}
	server.CloseClientConnections() // that of the slow one
	if _, err := r.Tell(t.Context(), fakes.Story(announce.Ended)); err != nil || len(got()) != 1 {
		t.Errorf("after the faults: %v, %q", err, got())
	}
	server.Close()
	_, err := r.Tell(t.Context(), fakes.Story(announce.Deciding))
	check(t, err)
	if errors.Is(err, announce.ErrFinal) {
		t.Errorf("nobody listens, and that is final: %v", err)
	}
}

// What hangs is waited for and not sent again, and no more than a few hang at once.
func TestHanging(t *testing.T) {
	server, r, got := ntfy(t)
	release := make(chan struct{})
	server.Fail(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
		_, _ = io.WriteString(w, `{}`)
	})
	short := func(bake string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		s := fakes.Story(announce.Ended)
		s.Bake = bake
		_, err := r.Tell(ctx, s)
		return err
	}
	for i := range 10 {
		for range 2 {
			err := short(fmt.Sprint(i))
			check(t, err)
			if full := strings.Contains(err.Error(), "4 earlier messages"); full != (i >= 4) {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if n := len(server.Requests()); n > 4 {
		t.Errorf("%d requests hang", n)
	}
	close(release)
	server.Fail(nil)
	s := fakes.Story(announce.Ended)
	s.Bake = "0"
	if _, err := r.Tell(t.Context(), s); err != nil || len(got()) != 0 {
		t.Errorf("what was sent at last is sent again: %v, %q", err, got())
	}
}

func TestAddress(t *testing.T) {
	if _, err := shoutrrr.New(shoutrrr.Options{}); err == nil {
		t.Error("no file, no error")
	}
	for _, address := range []string{"", secret, "://" + secret, "nothing://" + secret, secret + "://x", "discord://" + secret, "telegram://" + secret + "@telegram", "logger://", "ntfy://%zz" + secret} {
		_, err := receiver(t, address).Tell(t.Context(), fakes.Story(announce.Ended))
		check(t, err)
	}
}
