package up

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// call sends a request to the control endpoint of a directory's playground.
func call(ctx context.Context, dir, method, path string, into any) error {
	a, err := ReadAddresses(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.Control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: does the playground still run? `playground up` starts it", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var f map[string]string
		if json.Unmarshal(raw, &f) == nil && f["error"] != "" {
			return fmt.Errorf("%s", f["error"])
		}
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.Unmarshal(raw, into)
}

// APIOutage stops the API server for a time and returns when it is back.
func APIOutage(ctx context.Context, dir string, d time.Duration, out io.Writer) error {
	var ignored map[string]any
	if err := call(ctx, dir, http.MethodPost, "/outage/apiserver?for="+d.String(), &ignored); err != nil {
		return err
	}
	began := time.Now()
	_, _ = fmt.Fprintf(out, "the API server is away for %s\n", d)
	limit := time.After(d + startTimeout)
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no longer waiting; the API server comes back by itself")
		case <-limit:
			return fmt.Errorf("the API server did not come back: see the playground's log")
		case <-time.After(200 * time.Millisecond):
		}
		var s State
		if err := call(ctx, dir, http.MethodGet, "/state", &s); err != nil {
			return err
		}
		if s.OutageError != "" {
			return fmt.Errorf("the API server does not come back: %s", s.OutageError)
		}
		if s.APIServer == "up" {
			_, _ = fmt.Fprintf(out, "the API server is back after %.1fs\n", time.Since(began).Seconds())
			return nil
		}
	}
}

// Prometheus stops (as a crash would) or starts Prometheus.
func Prometheus(ctx context.Context, dir, action string, out io.Writer) error {
	var state map[string]string
	if err := call(ctx, dir, http.MethodPost, "/prometheus/"+action, &state); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "Prometheus is %s\n", state["prometheus"])
	return nil
}
