package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// TestBreaker: what does not answer is left alone for a while, then asked once, and left alone again or not by how that went.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(0)
		down := Failed(Unavailable, nil, "HTTP 503")
		ask := func(how *Failure) *Failure {
			tell, refused := b.Allow()
			if refused == nil {
				tell(how)
			}
			return refused
		}
		for i := range 3 * TripAfter {
			how := down
			if i%TripAfter == 0 {
				how = nil // one answer in between
			}
			if refused := ask(how); refused != nil {
				t.Fatal(refused)
			}
		}
		if refused := ask(down); refused != nil { // the fifth in a row
			t.Fatal(refused)
		}
		refused := ask(nil)
		if refused == nil || refused.Class != Unavailable || refused.Text != "not asked: the last 5 queries were not answered, the last one with HTTP 503" {
			t.Fatal(refused)
		}
		time.Sleep(RestFor + time.Second)
		if refused := ask(Failed(Unavailable, nil, "connection refused")); refused != nil {
			t.Fatalf("after a rest: %v", refused)
		}
		if refused := ask(nil); refused == nil || !strings.HasSuffix(refused.Text, "connection refused") {
			t.Fatalf("it still does not answer: %v", refused)
		}
		time.Sleep(RestFor + time.Second)
		for range 3 {
			if refused := ask(nil); refused != nil {
				t.Fatalf("it answers again: %v", refused)
			}
		}
		for range 2 * TripAfter { // who asked gave up
			if refused := ask(Failed(Unavailable, context.Canceled, "the query was given up")); refused != nil {
				t.Fatal(refused)
			}
		}
	})
}

func TestLimiter(t *testing.T) {
	const most = 1000
	for name, c := range map[string]struct {
		length  int
		chunked bool
		fits    bool
	}{
		"just fits":          {most, false, true},
		"just fits, chunked": {most, true, true},
		"too large":          {most + 1, false, false},
		"too large, chunked": {most + 1, true, false},
		"far too large":      {50 * most, true, false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			if c.chunked {
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, strings.Repeat("x", c.length))
		}))
		client := &http.Client{Transport: &Limiter{Next: http.DefaultTransport, Max: most, Hint: "ask for less"}}
		ctx, status := NotingStatus(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		resp, err := client.Do(req)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(resp.Body)
			n = len(body)
			_ = resp.Body.Close()
		}
		var failure *Failure
		switch {
		case *status != http.StatusAccepted:
			t.Errorf("%s: status %d", name, *status)
		case c.fits && (err != nil || n != c.length):
			t.Errorf("%s: %d bytes, %v", name, n, err)
		case !c.fits && (!errors.As(err, &failure) || failure.Class != TooExpensive || !strings.HasSuffix(failure.Text, "; ask for less") || n > most+1):
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		server.Close()
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewMetrics(reg); err == nil {
		t.Error("registered twice")
	}
	one, other := m.Of("one"), m.Of("other")
	down, refused := Failed(Unavailable, nil, "down"), Failed(Rejected, nil, "no")
	one.Asked(nil, time.Second)
	one.Asked(down, time.Second)
	one.Asked(down, time.Second)
	other.Asked(refused, time.Second)
	one.Found(down)
	other.Found(refused)
	one.Skewed(-90 * time.Second)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`bakewatch_source_clock_skew_seconds{source="one"} -90`,
		`bakewatch_source_queries_total{result="ok",source="one"} 1`,
		`bakewatch_source_queries_total{result="rejected",source="other"} 1`,
		`bakewatch_source_queries_total{result="unavailable",source="one"} 2`,
		`bakewatch_source_query_seconds_count{source="one"} 3`,
		`bakewatch_source_up{source="one"} 0`,
		`bakewatch_source_up{source="other"} 1`,
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
	var none *Metrics
	none.Of("one").Found(nil) // measures nothing, and does not fail
}

func FuzzBounded(f *testing.F) {
	for _, s := range []string{"", "no", " two\n lines\t ", "\x1b[31mred\x00", strings.Repeat("é ", 500), "\xff\xfe", "a\u202eb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Bounded(s)
		if n := utf8.RuneCountInString(got); n > boundedRunes+1 || !utf8.ValidString(got) || got != strings.TrimSpace(got) {
			t.Errorf("%q of %d runes", got, n)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is not printable", r)
			}
		}
	})
}
