package prometheus

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
)

// maxCount is the largest value a counter can hold and still count in ones. What is larger is no count of requests.
const maxCount = 1 << 53

// series is one counter with the samples that were scraped of it.
type series struct {
	pod    string // label pod; "" when it has none
	target string // what was scraped: the same for all series of one process
	at     []int64
	value  []float64         // at[i] is the scrape's time in milliseconds of value[i]; ascending
	whole  []float64         // of a part of a histogram, all its observations at those times; nil: the values are the whole
	ids    map[string]string // values of the labels that say whose it is; nil where there are none
	bad    []int64           // times of samples that are no count: NaN, infinite, negative; nil as a rule
}

// answer is what a query returned, cut down to what counting needs. It is shared by all who asked and never changed.
type answer struct {
	series []series // sorted by pod
	size   int      // bytes of memory, about

	index  sync.Once
	marked map[string][]int
}

// decode keeps of a matrix what counting needs: of a histogram's samples the part asked for. Whatever the matrix holds, the
// samples are in order of time, one for a time, and are counts.
func decode(matrix model.Matrix, of part) *answer {
	a := &answer{series: make([]series, 0, len(matrix))}
	for _, stream := range matrix {
		if stream == nil {
			continue
		}
		s := series{pod: podOf(stream.Metric), target: targetOf(stream.Metric), ids: idsOf(stream.Metric)}
		samples, bad := of.samples(stream)
		s.bad = bad
		byTime := func(x, y sample) int { return cmp.Compare(x.at, y.at) }
		if !slices.IsSortedFunc(samples, byTime) {
			slices.SortStableFunc(samples, byTime)
		}
		s.at = make([]int64, 0, len(samples))
		s.value = make([]float64, 0, len(samples))
		for _, p := range samples {
			if !countable(p.value) || !countable(p.whole) {
				s.bad = append(s.bad, p.at)
				continue
			}
			n := len(s.at)
			if n == 0 || s.at[n-1] != p.at {
				n++
				s.at, s.value = append(s.at, p.at), append(s.value, 0)
				if of.cut() {
					s.whole = append(s.whole, 0)
				}
			}
			s.value[n-1] = p.value
			if of.cut() {
				s.whole[n-1] = p.whole
			}
		}
		slices.Sort(s.bad)
		a.series = append(a.series, s)
		a.size += 128 + len(s.pod) + len(s.target) + 16*cap(s.at) + 8*cap(s.whole) + 8*cap(s.bad)
	}
	slices.SortStableFunc(a.series, func(x, y series) int { return cmp.Compare(x.pod, y.pod) })
	return a
}

// countable reports whether a value may be that of a counter.
func countable(x float64) bool { return x >= 0 && x <= maxCount } // NaN is neither

// idsOf are the values of the labels that say whose a series is.
func idsOf(m model.Metric) map[string]string {
	var ids map[string]string
	for _, label := range identities {
		if v, ok := m[model.LabelName(label)]; ok {
			if ids == nil {
				ids = make(map[string]string, 2)
			}
			ids[label] = string(v)
		}
	}
	return ids
}

// podOf is the pod that a series is about. Where the label pod is the scraped one's, what the target itself said of other
// pods is in exported_pod.
func podOf(m model.Metric) string {
	for _, label := range []model.LabelName{"exported_pod", "pod", "kubernetes_pod_name"} {
		if pod := m[label]; pod != "" {
			return string(pod)
		}
	}
	return ""
}

// targetOf names the scraped process a series is of. The pod alone would not do: a pod may be scraped at two ports, or
// by two jobs, each at its own times, and the later of them is not new because it comes later.
func targetOf(m model.Metric) string {
	return podOf(m) + "\xff" + string(m["job"]) + "\xff" + string(m["instance"])
}

// ofPods gives the series whose pod's name begins with the prefix.
func (a *answer) ofPods(prefix string) []series {
	from := sort.Search(len(a.series), func(i int) bool { return a.series[i].pod >= prefix })
	rest := a.series[from:]
	return rest[:sort.Search(len(rest), func(i int) bool { return !strings.HasPrefix(rest[i].pod, prefix) })]
}

// podless reports whether there are series, and none with a pod label.
func (a *answer) podless() bool {
	return len(a.series) > 0 && a.series[len(a.series)-1].pod == ""
}
