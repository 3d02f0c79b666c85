package datadog

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/bakewatch/bakewatch/signals/datadog/query"
	"github.com/bakewatch/bakewatch/signals/upstream"
)

// The tags by which series are told apart, in the order in which they are looked for.
var (
	podTags     = []string{"pod_name", "kube_pod_name", "pod"}
	versionTags = []string{"version"}
)

// series is one group of a query, with the buckets in which there is something. A bucket that is null is not there: it is
// nothing that was measured, and never zero.
type series struct {
	pod, version string
	at           []int64   // seconds: when each bucket begins; ascending
	value        []float64 // of the bucket at[i]
	bad          []int64   // buckets with what is no number, or less than zero
	long         int64     // seconds a bucket lasts
}

// answer is what a query returned. It is shared by all who asked and never changed.
type answer struct {
	series []series
	size   int // bytes of memory, about
}

// add adds a series as the client decoded it.
func (a *answer) add(from *datadogV1.MetricsQueryMetadata, over span) *upstream.Failure {
	if from.UnparsedObject != nil {
		return upstream.Failed(upstream.Unavailable, nil, "unreadable answer: a series is not what the query API answers")
	}
	s := series{pod: tagOf(from, podTags), version: query.Tag(tagOf(from, versionTags)), long: over.step}
	type point struct {
		at    int64
		value *float64
	}
	points := make([]point, 0, len(from.Pointlist))
	for _, p := range from.Pointlist {
		if len(p) != 2 || p[0] == nil || !(math.Abs(*p[0]) < 1<<53) {
			return upstream.Failed(upstream.Unavailable, nil, "unreadable answer: a point is not a time and a value")
		}
		points = append(points, point{int64(*p[0]) / 1000, p[1]})
	}
	slices.SortStableFunc(points, func(x, y point) int { return cmp.Compare(x.at, y.at) })
	if long := bucket(from, over.step); long > over.step {
		s.long = long
	}
	for i, p := range points {
		again := i > 0 && points[i-1].at == p.at
		switch {
		case again || p.value == nil:
		case !(*p.value >= 0 && *p.value <= maxCount): // NaN is neither
			s.bad = append(s.bad, p.at)
		default:
			s.at, s.value = append(s.at, p.at), append(s.value, *p.value)
		}
	}
	a.series = append(a.series, s)
	a.size += 160 + 16*len(s.at) + 8*len(s.bad)
	return nil
}

// maxCount is the largest value that still counts in ones.
const maxCount = 1 << 53

// bucket is how many seconds a bucket lasts, as the answer says. Datadog's documentation has it in milliseconds, its answers
// in seconds: what is a thousand times what was asked for is in milliseconds.
func bucket(from *datadogV1.MetricsQueryMetadata, step int64) int64 {
	if from.Interval == nil {
		return step
	}
	if long := *from.Interval; long >= 1000*step {
		return long / 1000
	}
	return *from.Interval
}

// untagged is what Datadog calls the value of a tag that a group's series do not have.
const untagged = "N/A"

// tagOf is the value of the first of the tags that the series has.
func tagOf(from *datadogV1.MetricsQueryMetadata, names []string) string {
	tags := from.TagSet
	if len(tags) == 0 && from.Scope != nil {
		tags = strings.Split(*from.Scope, ",")
	}
	for _, name := range names {
		for _, tag := range tags {
			if value, ok := strings.CutPrefix(tag, name+":"); ok && value != "" && value != untagged {
				return value
			}
		}
	}
	return ""
}

// order sorts the series by pod, once all are there.
func (a *answer) order() {
	slices.SortStableFunc(a.series, func(x, y series) int {
		return cmp.Or(cmp.Compare(x.pod, y.pod), cmp.Compare(x.version, y.version))
	})
}

// within are the buckets that ended after from and not after to.
func (s *series) within(from, to int64) (lo, hi int) {
	ended := func(t int64) int {
		return sort.Search(len(s.at), func(i int) bool { return s.at[i]+s.long > t })
	}
	return ended(from), ended(to)
}

// badWithin reports whether a bucket that ended then holds no number.
func (s *series) badWithin(from, to int64) bool {
	return slices.ContainsFunc(s.bad, func(at int64) bool { return at+s.long > from && at+s.long <= to })
}

// coarse is the longest bucket of the answer; 0 where there is none.
func (a *answer) coarse() int64 {
	var long int64
	for i := range a.series {
		long = max(long, a.series[i].long)
	}
	return long
}
