package events_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/events"
	"github.com/bakewatch/bakewatch/act/announce/internal/fakes"
)

// TestFaults: whatever the API server does, through Kubernetes' own client, what fails is an error, and final only where trying
// again is in vain. That client tries again by itself after a 429, for as long as it may.
func TestFaults(t *testing.T) {
	server := fakes.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	}))
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	receiver := events.New(client.CoreV1(), "")
	tell := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := receiver.Tell(ctx, fakes.Story(announce.Started))
		return err
	}
	if err := tell(time.Minute); err != nil {
		t.Fatalf("before any fault: %v", err)
	}
	garbage := fakes.Fault{Name: "garbage", Serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "<html>\x00\xff please log in</html>")
	}}
	for _, fault := range append(fakes.Faults(), garbage) {
		t.Run(fault.Name, func(t *testing.T) {
			server.Fail(fault.Serve)
			defer server.Fail(nil)
			within := time.Minute
			if fault.Name == "slow" || fault.Name == "429" {
				within = 200 * time.Millisecond
			}
			err := tell(within)
			if err == nil {
				t.Fatal("no error")
			}
			t.Log(err)
			final := fault.Final
			if fault.Name == "401" || fault.Name == "302 to a login page" { // a token is read again, and a proxy may go away
				final = false
			}
			if got := errors.Is(err, announce.ErrFinal); got != final {
				t.Errorf("final is %t, want %t", got, final)
			}
		})
	}
	if err := tell(time.Minute); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	server.Close()
	if err := tell(time.Minute); err == nil || errors.Is(err, announce.ErrFinal) {
		t.Errorf("nobody listens: %v", err)
	}
}
