package bake

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/signals"
)

// forgetful are the sources that know nothing of before the daemon was started: what they knew of the past is kept in the record.
var forgetful = []string{signals.Probe, signals.Logs}

// The most that a record holds, as the resource's schema has it.
const maxPasts, maxPastBlocks = 32, 16 << 10

// keepPast puts on record what forgetful sources know of the time before the rollout. It is done while the bake is opened, and once
// more when it is known what measures the workload: after that a restart of the daemon loses ticks, and not what they are compared with.
func (l *Loop) keepPast(ctx context.Context, k Key, w *work, st *v1alpha1.BakeStatus) {
	if w.bake.Spec.From == nil || st.Rollback != nil {
		return
	}
	measured := w.measured()
	if st.FoundAt != nil {
		measured = w.frozen.Measured(foundOf(st.Measured))
	}
	q := questionOf(k, w.bake.Spec, measured)
	if !signals.NamesTell(k.Kind) {
		q.among(map[string]time.Time{})
	}
	for _, s := range measured.Signals {
		kept := slices.ContainsFunc(st.Pasts, func(p v1alpha1.Past) bool { return p.Signal == s.Key() })
		if !s.Known() || !slices.Contains(forgetful, s.From()) || kept || len(st.Pasts) >= maxPasts {
			continue
		}
		if h := q.history(ctx, l.Source, s); h.total.Spoke() && h.total.Requests > 0 {
			if text := writeBlocks(h.blocks); len(text) <= maxPastBlocks {
				st.Pasts = append(st.Pasts, v1alpha1.Past{Signal: s.Key(), Blocks: text})
			}
		}
	}
}

// recalled is what is known of a signal's past, by its source or by the record, whichever knows more of it.
func (v *evidence) recalled(key string, read *history) *history {
	i := slices.IndexFunc(v.pasts, func(p v1alpha1.Past) bool { return p.Signal == key })
	if i < 0 {
		return read
	}
	kept := &history{blocks: readBlocks(v.pasts[i].Blocks), others: map[string]signals.Counts{}}
	kept.total = sum(kept.blocks)
	if !kept.total.Spoke() || read.total.Spoke() && read.total.Requests >= kept.total.Requests {
		return read
	}
	return kept
}

// writeBlocks writes the counts of blocks, oldest first: 12 requests, 12:3 with three errors, - where nothing is known, and x5
// behind what is so in five blocks in a row. Only whole counts are written.
func writeBlocks(blocks []signals.Side) string {
	var out []string
	last, times := "", 0
	flush := func() {
		switch {
		case times > 1:
			out = append(out, last+"x"+strconv.Itoa(times))
		case times == 1:
			out = append(out, last)
		}
	}
	for _, b := range blocks {
		one := "-"
		if b.Spoke() {
			one = strconv.FormatInt(int64(b.Requests), 10)
			if b.Errors > 0 {
				one += ":" + strconv.FormatInt(int64(b.Errors), 10)
			}
		}
		if one != last {
			flush()
			last, times = one, 0
		}
		times++
	}
	flush()
	return strings.Join(out, ",")
}

// readBlocks reads what writeBlocks wrote; nothing of what is not such a text.
func readBlocks(text string) []signals.Side {
	var out []signals.Side
	for _, one := range strings.Split(text, ",") {
		one, count, many := strings.Cut(one, "x")
		times := 1
		if many {
			var err error
			if times, err = strconv.Atoi(count); err != nil || times < 1 {
				return nil
			}
		}
		side := signals.Side{Missing: signals.NoSeries, Detail: "not known then"}
		if one != "-" {
			requests, errors, _ := strings.Cut(one, ":")
			n, err := strconv.ParseUint(requests, 10, 53)
			e := uint64(0)
			if err == nil && errors != "" {
				e, err = strconv.ParseUint(errors, 10, 53)
			}
			if err != nil || e > n {
				return nil
			}
			side = signals.Side{Counts: signals.Counts{Requests: float64(n), Errors: float64(e)}}
		}
		if len(out)+times > maxBlocks+1 {
			return nil
		}
		for range times {
			out = append(out, side)
		}
	}
	return out
}
