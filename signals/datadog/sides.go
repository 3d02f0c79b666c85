package datadog

import (
	"math"
	"strings"

	"github.com/bakewatch/bakewatch/signals"
	"github.com/bakewatch/bakewatch/signals/datadog/query"
)

// side is what tells which series are of a side.
type side struct {
	// of gives the time, open at from and closed at to, in which the buckets of a series are the side's, by when they ended.
	of      func(s *series) (from, to int64, ok bool)
	what    string // what its series would be, for people
	nothing string // why there is nothing, where there can be nothing
	byPod   bool
}

const (
	ever  = math.MinInt64
	never = math.MaxInt64
)

// ofPods is a side that is told by the names of pods.
func ofPods(belongs func(pod string) bool) side {
	return side{byPod: true, of: func(s *series) (int64, int64, bool) { return ever, never, s.pod != "" && belongs(s.pod) }}
}

// sidesOf are the two sides of a question.
func sidesOf(q signals.Question) (candidate, baseline side) {
	none := func(why string) side {
		return side{nothing: why, of: func(*series) (int64, int64, bool) { return 0, 0, false }}
	}
	switch {
	case q.By == signals.ByPod && q.Whole:
		candidate = ofPods(func(pod string) bool { return signals.PodOf(pod, q.Kind, q.Workload) })
		candidate.what = "pods " + signals.PodPrefix(q.Workload) + "*"
		return candidate, none("all revisions are counted together")
	case q.By == signals.ByPod && q.Lives != nil:
		candidate, baseline = lives(q, true), lives(q, false)
		if q.Baseline == "" {
			baseline = none(noBaseline)
		}
		return candidate, baseline
	case q.By == signals.ByPod:
		named := func(prefix, rival string) side {
			if prefix == "" {
				return none(noBaseline)
			}
			s := ofPods(func(pod string) bool {
				return strings.HasPrefix(pod, prefix) && (rival == "" || len(prefix) > len(rival) || !strings.HasPrefix(pod, rival))
			})
			s.what = "pods " + prefix + "*"
			return s
		}
		return named(q.Candidate, q.Baseline), named(q.Baseline, q.Candidate)
	case q.By == signals.ByVersion && !q.Whole:
		versioned := func(version string) side {
			version = query.Tag(version)
			return side{what: "version " + version, of: func(s *series) (int64, int64, bool) { return ever, never, s.version == version }}
		}
		switch {
		case q.CandidateVersion == "":
			return none("the new pods do not say their version; give them the label tags.datadoghq.com/version"), none("the new pods do not say their version")
		case query.Tag(q.CandidateVersion) == query.Tag(q.BaselineVersion):
			why := "old and new pods call themselves version " + query.Tag(q.CandidateVersion) + " alike; change the label tags.datadoghq.com/version with each release"
			return none(why), none(why)
		case q.BaselineVersion == "":
			return versioned(q.CandidateVersion), none("the old pods do not say their version")
		}
		return versioned(q.CandidateVersion), versioned(q.BaselineVersion)
	}
	all := side{of: func(*series) (int64, int64, bool) { return ever, never, true }}
	return all, none("counted for the whole service; compared with its past")
}

const noBaseline = "there are no old pods"

// lives is a side where pods of the same name are of one side until they end, and of the other once they are born anew. The
// bucket in which that happened is the old one's.
func lives(q signals.Question, candidate bool) side {
	s := side{byPod: true, what: "pods of " + q.Workload}
	s.of = func(of *series) (int64, int64, bool) {
		born, anew := q.Lives[of.pod]
		switch {
		case of.pod == "" || !anew && !signals.PodOf(of.pod, q.Kind, q.Workload):
			return 0, 0, false
		case candidate:
			return born.Unix() + of.long, never, anew
		case anew:
			return ever, born.Unix() + of.long, true
		}
		return ever, never, true
	}
	return s
}
