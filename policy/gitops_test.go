package policy

import (
	"strings"
	"testing"
)

// The less of ConfigMap and annotation applies: who may annotate a workload cannot have its keeper suspended where policy does not.
func TestStrategy(t *testing.T) {
	for _, c := range []struct {
		name, yaml, annotation string
		want                   Strategy
		problem                string
	}{
		{"by default", "", "", Notify, ""},
		{"for all", "gitops: suspend", "", Suspend, ""},
		{"for some", "workloads: [{match: {name: api-1}, gitops: suspend}]", "", Suspend, ""},
		{"for others", "workloads: [{match: {name: web}, gitops: suspend}]", "", Notify, ""},
		{"but not for these", "gitops: suspend\nworkloads: [{match: {name: api-1}, gitops: notify}]", "", Notify, ""},
		{"another rule about them", "gitops: suspend\nworkloads: [{match: {name: api-1}, mode: guard}]", "", Suspend, ""},
		{"the annotation says the same", "gitops: suspend", "suspend", Suspend, ""},
		{"the annotation asks for less", "gitops: suspend", "notify", Notify, ""},
		{"the annotation asks for more", "", "suspend", Notify, "the ConfigMap says notify for this workload"},
		{"the annotation says nothing", "gitops: suspend", "Suspend", Suspend, `must be notify`},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := api
			if c.annotation != "" {
				target = annotated("gitops", c.annotation)
			}
			cfg := parse(t, smallest+c.yaml+"\n")
			got, problems := cfg.For(target)
			if got.GitOps != c.want || (len(problems) > 0) != (c.problem != "") || c.problem != "" && !strings.Contains(problems[0].String(), c.problem) {
				t.Errorf("%s, %v", got.GitOps, problems)
			}
			if suspends := strings.Contains(c.yaml, "suspend"); cfg.Suspends() != suspends {
				t.Errorf("some may be suspended: %v", cfg.Suspends())
			}
		})
	}
}
