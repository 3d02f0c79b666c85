package fakes

import (
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
)

// Story is a story of the given stage of a bake that ends rolled back.
func Story(stage announce.Stage) announce.Story {
	s := announce.Story{
		Bake: "shop/web-7f3a-7", Namespace: "shop", Kind: "Deployment", Workload: "web", UID: "0f0e",
		Stage:    stage,
		Severity: announce.Info,
		Headline: "Deployment shop/web: watching rev 7",
		From:     "rev 6 (web-5d9f, app:v1)", To: "rev 7 (web-84bc, app:v2)",
		Version: "2.0.0", ImageTag: "v2",
		Changes: []string{"image app:v1 → app:v2", "env <LIMIT> changed"}, ChangedBy: "kubectl-client-side-apply",
		StartedAt: time.Date(2026, 11, 3, 10, 0, 0, 250e6, time.UTC),
	}
	if stage != announce.Started {
		s.Headline = "Deployment shop/web: rev 7 is worse than rev 6 & is rolled back"
		s.Why = "http-errors: 8.1% of 1,240 requests failed on rev 7 against 0.3% of 9,870 on rev 6"
		s.Reasons = []string{s.Why, "restarts: 4 on rev 7"}
		s.Severity, s.Decided = announce.Critical, true
		s.Pods = []announce.Pod{{Name: "web-84bc-x2x7k", State: "not ready: probe <fails>", Restarts: 3, Events: []string{"Unhealthy: 500"}, Lines: []string{"panic: `x`", "@here </details>"}}}
		s.Measured = []announce.Measure{{Signal: "http-errors", Candidate: "100 / 1240", Baseline: "30 / 9870"}}
	}
	if stage == announce.Ended || stage == announce.Resolved {
		s.Outcome, s.Recovery, s.Recovered = "RolledBack", "http-errors back at 0.3%", "Yes"
		s.EndedAt = s.StartedAt.Add(95 * time.Second)
	}
	return s
}
