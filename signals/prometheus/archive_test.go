package prometheus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// shelf answers queries for ranges of raw samples, left-open as Prometheus does.
type shelf struct {
	v1.API
	series   model.Matrix
	asked    atomic.Int64
	fail     error
	warnings v1.Warnings
}

func (s *shelf) Query(_ context.Context, query string, at time.Time, _ ...v1.Option) (model.Value, v1.Warnings, v1.Infos, error) {
	s.asked.Add(1)
	if s.fail != nil || s.warnings != nil {
		return nil, s.warnings, nil, s.fail
	}
	_, reach, ok := splitRange(query)
	if !ok {
		return &model.Scalar{}, nil, nil, nil
	}
	var out model.Matrix
	for _, one := range s.series {
		cut := &model.SampleStream{Metric: one.Metric}
		for _, p := range one.Values {
			if t := p.Timestamp.Time(); t.After(at.Add(-reach)) && !t.After(at) {
				cut.Values = append(cut.Values, p)
			}
		}
		if len(cut.Values) > 0 {
			out = append(out, cut)
		}
	}
	return out, nil, nil, nil
}

// onShelf is a source over two pods scraped every 13 seconds for three hours, the second from the second hour on.
func onShelf(t *testing.T) (*Source, *shelf, time.Time) {
	s := sourceOf(t, Options{URL: "http://nowhere"})
	start := time.Unix(1_700_000_000, 0)
	books := &shelf{}
	for i := range 2 {
		series := &model.SampleStream{Metric: model.Metric{"pod": model.LabelValue(fmt.Sprintf("web-%d", i)), "instance": "x"}}
		for at := time.Duration(i) * time.Hour; at < 3*time.Hour; at += 13 * time.Second {
			series.Values = append(series.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(start.Add(at).UnixNano()), Value: model.SampleValue(at.Seconds())})
		}
		books.series = append(books.series, series)
	}
	s.api = books
	return s, books, start
}

func TestArchiveAnswersAsTheSource(t *testing.T) {
	s, books, start := onShelf(t)
	archive := NewArchive(s)
	view := archive.View(nil)
	defer view.Close()
	for i := range 700 {
		k := key{text: "x", time: start.Add(time.Duration(i) * 17 * time.Second).UnixMilli(), reach: shortestReach.Milliseconds() << (i % 5)}
		want, got := s.fetch(k), view.fetch(k)
		if got.err != nil || want.err != nil {
			t.Fatal(got.err, want.err)
		}
		if diff := cmp.Diff(want.answer.series, got.answer.series, cmp.AllowUnexported(series{})); diff != "" {
			t.Fatalf("at %s, %dms back (-source +archive):\n%s", time.UnixMilli(k.time), k.reach, diff)
		}
	}
	if n := books.asked.Load() - 700; n > 15 {
		t.Errorf("the archive asked %d times", n)
	}
}

func TestArchiveRenamesPods(t *testing.T) {
	s, books, start := onShelf(t)
	view := NewArchive(s).View(func(pod string) string { return "a-" + pod })
	defer view.Close()
	got := view.fetch(key{text: "x", time: start.Add(2 * time.Hour).UnixMilli(), reach: 150_000})
	if got.err != nil || len(got.answer.series) != 2 || got.answer.series[0].pod != "a-web-0" {
		t.Errorf("%+v", got)
	}
	if pod := books.series[0].Metric["pod"]; pod != "web-0" {
		t.Errorf("the source's own series is renamed: %s", pod)
	}
}

func TestArchivePassesErrorsOn(t *testing.T) {
	s, books, start := onShelf(t)
	view := NewArchive(s).View(nil)
	defer view.Close()
	k := key{text: "x", time: start.Add(time.Hour).UnixMilli(), reach: 150_000}
	books.fail = errors.New("connection refused")
	if got := view.fetch(k); got.err == nil || got.err.Text != "connection refused" {
		t.Errorf("%+v", got)
	}
	books.fail, books.warnings = nil, v1.Warnings{"a store is away"}
	if got := view.fetch(k); got.err == nil || got.err.Text != "partial answer: a store is away" {
		t.Errorf("%+v", got)
	}
	books.warnings = nil
	if got := view.fetch(k); got.err != nil || len(got.answer.series) != 2 { // what failed is asked for again
		t.Errorf("%+v", got)
	}
}

func TestArchiveForgets(t *testing.T) {
	s, _, _ := onShelf(t)
	a := NewArchive(s)
	for i := range 5 {
		a.put(chunkKey{"x", int64(i)}, &chunk{samples: archiveSamples / 2})
		a.get(chunkKey{"x", 0})
	}
	if a.held > archiveSamples || a.get(chunkKey{"x", 0}) == nil || a.get(chunkKey{"x", 2}) != nil {
		t.Errorf("%d samples are held, in %d chunks", a.held, len(a.chunks))
	}
}
