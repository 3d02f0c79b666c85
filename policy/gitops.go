package policy

import "strings"

// Strategy is how a regression is undone of a workload that Argo CD or Flux keeps as Git has it.
type Strategy string

// The strategies.
const (
	Notify  Strategy = "notify"  // leave it to people
	Suspend Strategy = "suspend" // have the controller leave the workload alone, and roll back
	// RevertInGit has a revert proposed in Git: in place of a rollback for what Argo CD or Flux keeps, beside it for all else.
	RevertInGit Strategy = "git"
)

var strategies = []Strategy{Notify, Suspend, RevertInGit}

// AnnotationGitOps is the strategy of one workload, and AnnotationResume a person's word that the controller which was suspended
// for the rollback of the revision of that number is to go on.
const (
	AnnotationGitOps = AnnotationPrefix + "gitops"
	AnnotationResume = AnnotationPrefix + "resume"
)

func (s Strategy) known() bool {
	for _, k := range strategies {
		if s == k {
			return true
		}
	}
	return false
}

// listedStrategies are the strategies for people: notify or suspend.
func listedStrategies() string {
	var names []string
	for _, s := range strategies {
		names = append(names, string(s))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// strategy checks a strategy as it was written.
func (k *checker) strategy(path string, s Strategy) {
	if !s.known() {
		k.errorf(path, "must be %s, not %s", listedStrategies(), quote(string(s)))
	}
}

// Suspends reports whether any workload's controller may be suspended.
func (c *Config) Suspends() bool {
	if c.GitOps == Suspend {
		return true
	}
	for _, o := range c.Workloads {
		if o.GitOps == Suspend {
			return true
		}
	}
	return false
}

// ownStrategy applies the workload's own annotation. It may only ask for less than the ConfigMap allows.
func (r *resolver) ownStrategy(a map[string]string) {
	switch v, ok := a[AnnotationGitOps]; {
	case !ok || v == string(r.gitOps):
	case !Strategy(v).known():
		r.problem(AnnotationGitOps, "must be %s, not %s", listedStrategies(), quote(v))
	case r.gitOps == Notify:
		r.problem(AnnotationGitOps, "cannot be %s: the ConfigMap says notify for this workload, and the less of both applies", v)
	default:
		r.gitOps = Strategy(v)
	}
}
