package prometheus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/singleflight"

	"github.com/bakewatch/bakewatch/signals/upstream"
)

const (
	// chunkLength is how much of the past is fetched at once: questions about many ticks are then one request.
	chunkLength = 20 * time.Minute
	// archiveSamples bounds the samples that are remembered; what was used least recently is forgotten first.
	archiveSamples = 8_000_000
	// viewBytes and viewEntries bound the memo of a view: what lies below it is remembered already.
	viewBytes, viewEntries = 16 << 20, 64
)

// Archive is a Source that is asked about a past that no longer changes. It fetches the raw samples in large pieces and
// answers from them, with the counting of the Source, so that asking tick by tick costs few requests. It is for tools: what
// it has fetched it does not fetch again.
type Archive struct {
	source  *Source
	flights singleflight.Group

	mu     sync.Mutex
	chunks map[chunkKey]*chunk
	held   int // samples
	clock  int // of uses
}

type chunkKey struct {
	text string
	end  int64 // milliseconds
}

type chunk struct {
	series  model.Matrix
	samples int
	used    int
}

// NewArchive answers from s, which it does not close.
func NewArchive(s *Source) *Archive { return &Archive{source: s, chunks: map[chunkKey]*chunk{}} }

// View is a Source that reads from the archive. rename, unless it is nil, gives pods other names: those by which the sides
// of a question are told apart. Close it when it is no longer asked.
func (a *Archive) View(rename func(pod string) string) *Source {
	s := a.source
	view := &Source{address: s.address, client: s.client, api: &archived{API: s.api, archive: a, rename: rename},
		timeout: s.timeout, meter: s.meter, log: s.log, memo: newMemo(), slots: s.slots, breaker: s.breaker}
	view.memo.bytes, view.memo.entries = viewBytes, viewEntries
	view.ctx, view.stop = context.WithCancel(s.ctx)
	return view
}

// archived is the query API of a view.
type archived struct {
	v1.API
	archive *Archive
	rename  func(string) string
}

// Query answers a query for a range of raw samples from the archive, and passes on all others.
func (q *archived) Query(ctx context.Context, query string, at time.Time, opts ...v1.Option) (model.Value, v1.Warnings, v1.Infos, error) {
	text, reach, ok := splitRange(query)
	if !ok {
		return q.API.Query(ctx, query, at, opts...)
	}
	series, err := q.archive.between(text, at.Add(-reach).UnixMilli(), at.UnixMilli())
	var odd *partial
	switch {
	case errors.As(err, &odd):
		return nil, odd.warnings, nil, nil
	case err != nil:
		return nil, nil, nil, err
	}
	q.renamed(series)
	return series, nil, nil, nil
}

// QueryRange passes a query on: what it comes to is not made from samples that are remembered.
func (q *archived) QueryRange(ctx context.Context, query string, r v1.Range, opts ...v1.Option) (model.Value, v1.Warnings, v1.Infos, error) {
	value, warnings, infos, err := q.API.QueryRange(ctx, query, r, opts...)
	if series, ok := value.(model.Matrix); ok {
		q.renamed(series)
	}
	return value, warnings, infos, err
}

// renamed gives the pods of series their other names.
func (q *archived) renamed(series model.Matrix) {
	if q.rename == nil {
		return
	}
	for _, s := range series {
		if pod := podOf(s.Metric); pod != "" {
			metric := s.Metric.Clone()
			metric["exported_pod"] = model.LabelValue(q.rename(pod))
			s.Metric = metric
		}
	}
}

// splitRange takes a query as fetch writes it apart: a selector, and a range in seconds.
func splitRange(query string) (text string, reach time.Duration, ok bool) {
	i := strings.LastIndex(query, "\n[")
	if i < 0 || !strings.HasSuffix(query, "s]") {
		return "", 0, false
	}
	seconds, err := strconv.ParseInt(query[i+2:len(query)-2], 10, 64)
	return query[:i], time.Duration(seconds) * time.Second, err == nil
}

// between are the samples in (from, to], as series of their own: they may be changed.
func (a *Archive) between(text string, from, to int64) (model.Matrix, error) {
	length := chunkLength.Milliseconds()
	found := map[model.Fingerprint]*model.SampleStream{}
	out := model.Matrix{}
	for end := (from/length + 1) * length; end-length < to; end += length {
		c, err := a.chunk(chunkKey{text, end})
		if err != nil {
			return nil, err
		}
		for _, s := range c.series {
			values := window(s.Values, from, to, func(p model.SamplePair) int64 { return int64(p.Timestamp) })
			histograms := window(s.Histograms, from, to, func(p model.SampleHistogramPair) int64 { return int64(p.Timestamp) })
			if len(values) == 0 && len(histograms) == 0 {
				continue
			}
			id := s.Metric.Fingerprint()
			whole, ok := found[id]
			if !ok {
				whole = &model.SampleStream{Metric: s.Metric}
				found[id] = whole
				out = append(out, whole)
			}
			whole.Values = append(whole.Values, values...)
			whole.Histograms = append(whole.Histograms, histograms...)
		}
	}
	return out, nil
}

// window are the samples in (from, to] of those in order of time.
func window[P any](samples []P, from, to int64, at func(P) int64) []P {
	after := func(t int64) int {
		i, _ := slices.BinarySearchFunc(samples, t, func(p P, t int64) int {
			if at(p) <= t {
				return -1
			}
			return 1
		})
		return i
	}
	return samples[after(from):after(to)]
}

// partial is an answer that its source calls partial.
type partial struct{ warnings v1.Warnings }

func (p *partial) Error() string { return "partial answer" }

// chunk is one piece of the past, fetched or remembered. The request belongs to all who wait for it, so that only time and
// the end of the source end it.
func (a *Archive) chunk(k chunkKey) (*chunk, error) {
	if c := a.get(k); c != nil {
		return c, nil
	}
	v, err, _ := a.flights.Do(strconv.FormatInt(k.end, 10)+" "+k.text, func() (any, error) {
		if c := a.get(k); c != nil {
			return c, nil
		}
		ctx, cancel := context.WithTimeout(a.source.ctx, a.source.timeout)
		defer cancel()
		query := k.text + "\n[" + strconv.FormatInt(int64(chunkLength/time.Second), 10) + "s]"
		value, warnings, _, err := a.source.api.Query(ctx, query, time.UnixMilli(k.end))
		switch {
		case err != nil:
			return nil, err
		case len(warnings) > 0:
			return nil, &partial{warnings}
		}
		series, ok := value.(model.Matrix)
		if !ok {
			return nil, upstream.Failed(upstream.Rejected, nil, "query rejected: it must select counters, without functions or operators")
		}
		c := &chunk{series: series}
		for _, s := range series {
			c.samples += len(s.Values) + len(s.Histograms)
			from := k.end - chunkLength.Milliseconds()
			s.Values = window(s.Values, from, k.end, func(p model.SamplePair) int64 { return int64(p.Timestamp) })
			s.Histograms = window(s.Histograms, from, k.end, func(p model.SampleHistogramPair) int64 { return int64(p.Timestamp) })
		}
		a.put(k, c)
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*chunk), nil
}

func (a *Archive) get(k chunkKey) *chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chunks[k]
	if c != nil {
		a.clock++
		c.used = a.clock
	}
	return c
}

func (a *Archive) put(k chunkKey, c *chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	c.used = a.clock
	a.chunks[k] = c
	a.held += c.samples
	for a.held > archiveSamples && len(a.chunks) > 1 {
		var oldest chunkKey
		least := a.clock + 1
		for key, c := range a.chunks {
			if c.used < least {
				oldest, least = key, c.used
			}
		}
		a.held -= a.chunks[oldest].samples
		delete(a.chunks, oldest)
	}
}
