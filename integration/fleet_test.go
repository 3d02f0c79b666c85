package integration

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// fleet is how many workloads bake at once: BAKEWATCH_FLEET, which `make fleet` sets, or a few.
func fleet(t *testing.T) int {
	t.Helper()
	text := os.Getenv("BAKEWATCH_FLEET")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BAKEWATCH_FLEET must be a number of workloads, not %q", text)
	}
	return n
}

// queries are how many the daemon has sent to Prometheus so far.
func (d *daemon) queries() (sum int) {
	d.t.Helper()
	_, body := d.get("/metrics")
	for _, m := range regexp.MustCompile(`(?m)^bakewatch_source_queries_total\{.*source="prometheus".*\} (\d+)`).FindAllStringSubmatch(body, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			d.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestFleet: how many queries a tick takes depends on how many texts there are to ask and on how long they may be, and not on how
// many workloads bake.
func TestFleet(t *testing.T) {
	t.Parallel()
	const tick = 10 * time.Second
	n := fleet(t)
	s := newStage(t)
	deployAll := func(version string) {
		var all []string
		for i := range n {
			all = append(all, app{name: fmt.Sprintf("web-%03d", i), version: version, replicas: 1, rps: 1}.yaml(t))
		}
		s.apply(strings.Join(all, "\n---\n"))
		s.kubectl("wait", "--for=condition=Available", "deployment", "--all", fmt.Sprintf("--timeout=%s", time.Minute+time.Duration(n)*time.Second))
	}
	deployAll("a")
	s.set(strings.Replace(rules{window: "10m"}.yaml(s.cluster), "interval: 2s", "interval: "+tick.String(), 1))
	d := s.newDaemon()
	d.start()
	d.guards()
	time.Sleep(1100 * time.Millisecond) // guarding begins with a whole second
	deployAll("b")
	waitFor(t, fmt.Sprintf("%d bakes that are measured", n), patience+time.Duration(n)*time.Second, func() (bool, string) {
		baking := 0
		for _, b := range s.bakes() {
			if b.Status.Phase == v1alpha1.PhaseBaking && len(b.Status.Measured) > 0 {
				baking++
			}
		}
		return baking == n, fmt.Sprintf("%d of %d", baking, n)
	})
	time.Sleep(2 * tick) // what was asked at the beginning of the last is over
	const ticks = 3
	before := d.queries()
	time.Sleep(ticks * tick)
	each := float64(d.queries()-before) / ticks
	t.Logf("%d bakes at once: %.1f queries a tick of %s", n, each, tick)
	// Each of the texts is sent for up to so many workloads at a time.
	if most := 12 + float64(n)/10; each == 0 || each > most {
		t.Errorf("%d bakes cost %.1f queries a tick, want some, and at most %.0f", n, each, most)
	}
}
