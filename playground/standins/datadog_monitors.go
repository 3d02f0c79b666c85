package standins

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// monitor has the fields of Datadog's monitors that say how they stand.
type monitor struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Type         string    `json:"type"`
	Query        string    `json:"query"`
	Tags         []string  `json:"tags"`
	Created      time.Time `json:"created"`
	OverallState string    `json:"overall_state"`
	State        struct {
		Groups map[string]monitorGroup `json:"groups"`
	} `json:"state"`
}

type monitorGroup struct {
	Name          string `json:"name"`
	Status        string `json:"status"`
	LastTriggered int64  `json:"last_triggered_ts,omitempty"` // seconds
	LastResolved  int64  `json:"last_resolved_ts,omitempty"`
}

// rule is one of Prometheus' alert rules.
type rule struct {
	Name, Query string
	Labels      map[string]string
}

// alertsBack is how far back alerts are looked for.
const alertsBack = time.Hour

// monitors plays a monitor for each alert rule of Prometheus, which was there for an hour when it all began, and did not alert. The
// rule's labels are its tags.
func (d *Datadog) monitors(w http.ResponseWriter, r *http.Request, f Fault) {
	now := time.Now()
	rules, err := d.samples.rules(r.Context())
	var alerts []raw
	if err == nil {
		alerts, err = d.samples.read(r.Context(), `ALERTS{alertstate="firing"}`, now.Add(-alertsBack).Unix(), now.Unix())
	}
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	out := []monitor{}
	for i, rule := range rules {
		m := monitor{ID: int64(i + 1), Name: rule.Name, Type: "metric alert", Query: rule.Query, Tags: []string{}, Created: d.began.Add(-alertsBack), OverallState: "OK"}
		for name, value := range rule.Labels {
			m.Tags = append(m.Tags, name+":"+normal.ReplaceAllString(strings.ToLower(value), "_"))
		}
		slices.Sort(m.Tags)
		if !hasAll(m.Tags, r.URL.Query().Get("monitor_tags")) || f.Kind == "empty" {
			continue
		}
		m.stand(rule, alerts, now)
		if r.URL.Query().Get("group_states") == "" {
			m.State.Groups = nil // only who asks for them is told
		}
		out = append(out, m)
	}
	reply(w, http.StatusOK, out)
}

func hasAll(tags []string, wanted string) bool {
	for _, tag := range strings.Split(wanted, ",") {
		if tag != "" && !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// stand says how a monitor stands, by the times at which its rule's alerts fired.
func (m *monitor) stand(of rule, alerts []raw, now time.Time) {
	m.State.Groups = map[string]monitorGroup{}
	for _, a := range alerts {
		if a.labels["alertname"] != of.Name || len(a.at) == 0 {
			continue
		}
		var own []string // labels that the rule does not give
		for name, value := range a.labels {
			if _, given := of.Labels[name]; !given && !strings.HasPrefix(name, "alert") && name != "__name__" {
				own = append(own, name+":"+value)
			}
		}
		slices.Sort(own)
		name := strings.Join(own, ",")
		if name == "" {
			name = "*"
		}
		g := fired(a, now)
		g.Name = name
		m.State.Groups[name] = g
		if g.Status == "Alert" {
			m.OverallState = "Alert"
		}
	}
}

// gap is how many seconds without a sample end an alert: more than two evaluations of the playground's rules.
const gap = 5

// fired is a group by when its alert fired: it is sampled all the while.
func fired(a raw, now time.Time) monitorGroup {
	last := len(a.at) - 1
	begin := last
	for begin > 0 && a.at[begin]-a.at[begin-1] <= gap {
		begin--
	}
	g := monitorGroup{Status: "Alert", LastTriggered: int64(a.at[begin])}
	if begin > 0 {
		g.LastResolved = int64(a.at[begin-1]) + 1
	}
	if float64(now.Unix())-a.at[last] > gap {
		g.Status, g.LastResolved = "OK", int64(a.at[last])+1
	}
	return g
}

// rules are Prometheus' alert rules, in its order.
func (s samples) rules(ctx context.Context) ([]rule, error) {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []rule
			}
		}
	}
	if err := s.get(ctx, "/api/v1/rules?type=alert", &answer); err != nil {
		return nil, err
	}
	var out []rule
	for _, g := range answer.Data.Groups {
		out = append(out, g.Rules...)
	}
	return out, nil
}
