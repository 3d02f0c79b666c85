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

// File and workflow an annotation may name; the repository, which the token is for, only the ConfigMap.
func TestGitPlace(t *testing.T) {
	const git = "gitops: git\ngit: {repository: acme/deploy, tokenFile: /secrets/git, path: all.yaml}\n"
	for _, c := range []struct {
		name, yaml string
		target     Target
		want       GitPlace
		problem    string
	}{
		{"nowhere", "", api, GitPlace{}, ""},
		{"for all", git, api, GitPlace{Repository: "acme/deploy", Path: "all.yaml"}, ""},
		{"for some", git + "workloads: [{match: {name: api-1}, git: {repository: acme/pay, branch: live, workflow: deploy.yml}}]\n", api, GitPlace{Repository: "acme/pay", Branch: "live", Path: "all.yaml", Workflow: "deploy.yml"}, ""},
		{"by annotation", git, annotated("git-path", "pay/api.yaml", "git-workflow", "pay.yaml"), GitPlace{Repository: "acme/deploy", Path: "pay/api.yaml", Workflow: "pay.yaml"}, ""},
		{"a repository by annotation", git, annotated("git-repository", "evil/deploy"), GitPlace{Repository: "acme/deploy", Path: "all.yaml"}, ""},
		{"a path that leaves it", git, annotated("git-path", "../../etc/passwd"), GitPlace{Repository: "acme/deploy", Path: "all.yaml"}, "must be the path of a file"},
		{"no workflow's name", git, annotated("git-workflow", "1/../../x"), GitPlace{Repository: "acme/deploy", Path: "all.yaml"}, "must be the file name of a workflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := parse(t, smallest+c.yaml).For(c.target)
			if got.Git != c.want || (len(problems) > 0) != (c.problem != "") || c.problem != "" && !strings.Contains(problems[0].String(), c.problem) {
				t.Errorf("%+v, %v", got.Git, problems)
			}
		})
	}
}
