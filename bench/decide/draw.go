package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

const (
	tick       = 15.0  // seconds between the edges of ticks, and between scrapes
	baked      = 900.0 // seconds a complete rollout is watched
	before     = 240   // ticks of history
	lateBy     = 300.0 // seconds from the first new pod to the fault of shape late
	rampOver   = 300.0 // seconds until the fault of shape ramp is all there
	day        = 86400.0
	startup    = 5.0 // seconds in which a new pod fails startupBad of its requests, with noise startup-errors
	neighbours = 5   // that suffer from a cause outside, too
)

const startupBad = 0.2

// epoch is the edge at which ticks begin; any would do.
var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// draw is one rollout as it was measured. Times are seconds after the first tick's beginning.
type draw struct {
	ticks   []signals.Reading
	history signals.Side
	blocks  []signals.Side
	days    []signals.Side
	// around are workloads that did not deploy, as known at the end of each tick; nil: of none anything is known.
	around [][]decide.Neighbour
	lead   float64   // share of the first tick before the first new pod was ready
	onset  float64   // when the fault began, in fact
	failed []float64 // failed requests of the candidate from the onset until the end of each tick
}

// edge is the end of a tick.
func edge(i int) float64 { return float64(i+1) * tick }

// end is when the bake was over.
func (d *draw) end() float64 { return edge(len(d.ticks) - 1) }

// pod is one pod and what is special about it.
type pod struct {
	name       string
	fresh      bool
	born, gone float64
	bad        bool    // it has the fault
	factor     float64 // how many times the service's error rate is its own
	phase      float64 // when it is scraped, after each edge
	resets     []float64
	carried    signals.Counts // counted, and not scraped yet
}

// simulation is what a run is drawn from.
type simulation struct {
	scenario
	how     rollout
	random  random
	start   float64 // when the first new pod is ready
	pods    []pod
	cuts    []float64 // when rates change, ascending
	serving []int     // how many pods serve after each cut; one more than cuts
	onset   float64
	surge   surge
	phase   float64 // of the day, radians
	cv2     float64 // of the bursts
}

// surge is a cause outside that makes all pods fail more often for a while. Without one, by is 0.
type surge struct{ from, to, by float64 }

func (s surge) at(t float64) float64 {
	if s.by > 0 && t >= s.from && t < s.to {
		return s.by
	}
	return 1
}

// simulate draws one run of a scenario.
func simulate(s scenario, seed uint64, run int) *draw {
	m := &simulation{scenario: s, how: s.rollout(), random: newRandom(seed, s.name, run)}
	m.start = m.random.Float64() * tick
	over := m.start + m.how.over + baked
	n := int(math.Ceil(over / tick))
	m.setNoise(float64(n) * tick)
	m.setPods(float64(n) * tick)
	m.setCuts()

	d := &draw{onset: m.onset, lead: m.start / tick}
	{
		d.blocks = make([]signals.Side, before)
		for i := range d.blocks {
			d.blocks[i] = m.side(i-before, false)
			if s.noise == "no-errors-before" {
				forget(&d.blocks[i])
			}
			if d.blocks[i].Spoke() {
				d.history.Counts = d.history.Add(d.blocks[i].Counts)
			}
		}
		if s.noise == "daily" {
			for i := 1; i <= 2; i++ {
				d.days = append(d.days, m.earlier(float64(i)*day, float64(n)*tick))
			}
		}
		for i := range m.pods {
			m.pods[i].carried = signals.Counts{}
		}
	}

	d.ticks = make([]signals.Reading, n)
	d.failed = make([]float64, n)
	var failed float64
	for i := range d.ticks {
		r := &d.ticks[i]
		r.Window = signals.Window{From: at(edge(i - 1)), To: at(edge(i))}
		r.Candidate = m.side(i, true)
		r.Baseline = signals.Side{Missing: signals.NoSeries, Detail: "counted for the whole service; compared with its past"}
		if !m.how.service {
			r.Baseline = m.side(i, false)
		}
		if edge(i) > m.onset && r.Candidate.Spoke() {
			failed += r.Candidate.Errors
		}
		d.failed[i] = failed
	}
	if m.noise == "shared-cause" {
		d.around = m.neighbours(n)
	}
	return d
}

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

// forget makes a side one in which nothing failed. Errors and other requests are drawn apart, so this is what a history
// without errors looks like.
func forget(s *signals.Side) {
	s.Requests, s.Errors = s.Requests-s.Errors, 0
	for name, c := range s.Pods {
		s.Pods[name] = signals.Counts{Requests: c.Requests - c.Errors}
	}
}

// setNoise draws what is shared by all pods.
func (m *simulation) setNoise(end float64) {
	m.onset = m.start
	if m.shape == "late" {
		m.onset += lateBy
	}
	if cv2, ok := strings.CutPrefix(m.noise, "gamma-"); ok {
		m.cv2, _ = strconv.ParseFloat(cv2, 64)
	}
	switch m.noise {
	case "surge":
		m.surge = surge{from: m.random.Float64() * (end - 60), by: 10}
		m.surge.to = m.surge.from + 60
	case "shared-cause":
		m.surge = surge{from: m.random.Float64() * end, to: math.Inf(1), by: 5}
	case "daily":
		m.phase = m.random.Float64() * 2 * math.Pi
	}
}

// setPods draws the pods.
func (m *simulation) setPods(end float64) {
	add := func(name string, fresh bool, born, gone float64) {
		p := pod{name: name, fresh: fresh, born: born, gone: gone, factor: 1}
		p.bad = fresh && (m.shape != "one-bad-pod" || name == "new-0")
		switch m.noise {
		case "pods-differ":
			p.factor = math.Exp(0.2 * m.random.NormFloat64())
		case "surge":
			p.phase = m.random.Float64() * tick
		case "counter-resets": // about once in a quarter of an hour
			from := math.Max(born, -before*tick)
			for t := from + m.random.ExpFloat64()*900; t < math.Min(gone, end); t += m.random.ExpFloat64() * 900 {
				p.resets = append(p.resets, t)
			}
		}
		m.pods = append(m.pods, p)
	}
	for i := range m.how.before {
		gone := math.Inf(1)
		if i < m.how.replaced {
			gone = m.start + m.how.born(i)
		}
		add("old-"+strconv.Itoa(i), false, math.Inf(-1), gone)
	}
	for i := range m.how.fresh() {
		born := m.start
		if m.how.replaced > 0 {
			born += m.how.born(i)
		}
		add("new-"+strconv.Itoa(i), true, born, math.Inf(1))
	}
}

// setCuts collects the times at which rates change, and how many pods serve between them.
func (m *simulation) setCuts() {
	for _, p := range m.pods {
		for _, t := range []float64{p.born, p.gone} {
			if !math.IsInf(t, 0) {
				m.cuts = append(m.cuts, t)
			}
		}
		if m.noise == "startup-errors" && p.fresh {
			m.cuts = append(m.cuts, p.born+startup)
		}
	}
	m.cuts = append(m.cuts, m.onset)
	if m.shape == "ramp" {
		m.cuts = append(m.cuts, m.onset+rampOver)
	}
	if m.surge.by > 0 {
		m.cuts = append(m.cuts, m.surge.from, m.surge.to)
	}
	slices.Sort(m.cuts)
	m.cuts = slices.Compact(m.cuts)
	m.serving = make([]int, len(m.cuts)+1)
	for i := range m.serving {
		t := math.Inf(-1)
		if i > 0 {
			t = m.cuts[i-1]
		}
		for _, p := range m.pods {
			if p.born <= t && t < p.gone {
				m.serving[i]++
			}
		}
	}
}

// wave is how many times the mean of the day traffic and errors are at a time.
func (m *simulation) wave(t float64) float64 {
	if m.noise != "daily" {
		return 1
	}
	return 1 + 0.5*math.Sin(m.phase+2*math.Pi*t/day)
}

// chance is the error rate of a pod at a time, before bursts.
func (m *simulation) chance(p *pod, t float64) float64 {
	rate := m.base
	if p.bad && t >= m.onset {
		there := 1.0
		if m.shape == "ramp" {
			there = math.Min(1, (t-m.onset)/rampOver)
		}
		rate += (m.bad() - m.base) * there
	}
	rate *= p.factor * m.wave(t) * m.surge.at(t)
	if m.noise == "startup-errors" && p.fresh && t < p.born+startup {
		rate = math.Max(rate, startupBad)
	}
	return rate
}

// count draws what a pod serves in a span of time. Failed requests and others are independent Poisson numbers, which is
// the same as a Poisson number of requests that fail by chance.
func (m *simulation) count(p *pod, from, to, burst float64) signals.Counts {
	from, to = math.Max(from, p.born), math.Min(to, p.gone)
	if from >= to {
		return signals.Counts{}
	}
	var bad, good float64
	i, _ := slices.BinarySearch(m.cuts, from)
	for i < len(m.cuts) && m.cuts[i] <= from {
		i++
	}
	for t := from; t < to; i++ {
		next := to
		if i < len(m.cuts) {
			next = math.Min(to, m.cuts[i])
		}
		middle := (t + next) / 2
		requests := m.rate * m.wave(middle) * (next - t) / float64(m.serving[i])
		failing := requests * math.Min(1, m.chance(p, middle)*burst)
		bad, good = bad+failing, good+requests-failing
		t = next
	}
	return m.split(bad, good)
}

// scraped is when a pod was last scraped at or before a time.
func (p *pod) scraped(t float64) float64 {
	return math.Floor((t-p.phase)/tick)*tick + p.phase
}

// side draws what is measured of one side in a tick; the candidate of service totals is the whole service.
func (m *simulation) side(i int, fresh bool) signals.Side {
	burst := 1.0
	if m.cv2 > 0 {
		burst = m.random.gamma(m.cv2)
	}
	gap := noGap
	if m.noise == "missing-scrapes" {
		gap = m.gap()
	}
	var s signals.Side
	if !m.how.service {
		s.Pods = map[string]signals.Counts{}
	}
	hidden := -1
	if gap == onePodGap {
		hidden = m.random.IntN(len(m.pods))
	}
	series := false
	for j := range m.pods {
		p := &m.pods[j]
		if p.fresh != fresh && (!m.how.service || i < 0) {
			continue
		}
		from, to := p.scraped(edge(i-1)), p.scraped(edge(i))
		alive := to >= p.born && (m.how.service || from < p.gone)
		if !alive {
			continue
		}
		series = true
		lost := !m.how.service && to > p.gone // what it served after its last scrape nobody knows
		for _, t := range p.resets {
			if t > from && t <= to {
				from = t
			}
		}
		c := m.count(p, from, to, burst)
		if lost {
			c = signals.Counts{}
		}
		c, p.carried = c.Add(p.carried), signals.Counts{}
		if gap == sideGap || gap == lateGap || j == hidden {
			p.carried, c = c, signals.Counts{}
		}
		s.Counts = s.Add(c)
		if s.Pods != nil {
			s.Pods[p.name] = c
		}
	}
	switch {
	case !series:
		return signals.Side{Missing: signals.NoSeries, Detail: "no series"}
	case gap == lateGap:
		return signals.Side{Missing: signals.Late, Detail: "newest sample is 38s old"}
	}
	return s
}

// gap is what is missing of a side in a tick.
type gap int

const (
	noGap     gap = iota
	onePodGap     // one pod was not scraped
	sideGap       // no pod was scraped, which does not show yet: the counters stand still
	lateGap       // the side's newest sample is too old
)

// gap draws what is missing: something in one tick of ten. What was counted meanwhile comes with the next scrape.
func (m *simulation) gap() gap {
	if m.random.Float64() >= 0.1 {
		return noGap
	}
	switch u := m.random.Float64(); {
	case u < 0.25:
		return onePodGap
	case u < 0.75:
		return sideGap
	}
	return lateGap
}

// earlier draws what the workload served in the hours of the bake, some time before.
func (m *simulation) earlier(ago, length float64) signals.Side {
	var bad, good float64
	for t := 0.0; t < length; t += tick {
		w := m.wave(t + tick/2 - ago)
		requests := m.rate * w * tick
		failing := requests * math.Min(1, m.base*w)
		bad, good = bad+failing, good+requests-failing
	}
	return signals.Side{Counts: m.split(bad, good)}
}

// neighbours draws workloads like this one before it deployed, which did not deploy, tick by tick.
func (m *simulation) neighbours(ticks int) [][]decide.Neighbour {
	known := make([]decide.Neighbour, neighbours)
	for i := range known {
		requests := m.rate * before * tick
		known[i].Name = "neighbour-" + strconv.Itoa(i)
		known[i].Before = m.split(requests*m.base, requests*(1-m.base))
	}
	out := make([][]decide.Neighbour, ticks)
	for i := range out {
		for j := range known {
			bad := 0.0
			const parts = 15 // of a tick
			for k := range parts {
				t := edge(i-1) + tick*(float64(k)+0.5)/parts
				bad += m.rate * tick / parts * math.Min(1, m.base*m.surge.at(t))
			}
			known[j].After = known[j].After.Add(m.split(bad, m.rate*tick-bad))
		}
		out[i] = slices.Clone(known)
	}
	return out
}

// split draws counts of which both kinds of requests have these means.
func (m *simulation) split(bad, good float64) signals.Counts {
	errs := m.random.poisson(bad)
	return signals.Counts{Requests: errs + m.random.poisson(good), Errors: errs}
}
