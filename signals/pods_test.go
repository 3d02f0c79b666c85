package signals

import (
	"strings"
	"testing"
)

func TestPodNames(t *testing.T) {
	long := "release-of-spring-" + strings.Repeat("x", 34) // 52 characters: six of the hash's ten are left
	for _, c := range []struct {
		pod, kind, workload string
		of                  bool
		owner               string
	}{
		{"web-7d9f6c5b4-x2k8p", "Deployment", "web", true, "web"},
		{"web-7d9f6c5b4-abcde", "Deployment", "web", true, "web"},
		{"web-api-7d9f6c5b4-abcde", "Deployment", "web", false, "web-api"},
		{"web-api-7d9f6c5b4-abcde", "Deployment", "web-api", true, "web-api"},
		{"web2-7d9f6c5b4-abcde", "Deployment", "web", false, "web2"},
		{"web-7d9f6c5b4-abcde", "Deployment", "we", false, "web"},
		{"web-8-abcde", "Deployment", "web", true, "web"},
		{"web-7d9f6c5b4xyz-abcde", "Deployment", "web", false, "web-7d9f6c5b4xyz"}, // too long for a hash
		{"web-7d9f6c5b4-abcdef", "Deployment", "web", false, ""},
		{"web-7d9f6c5b4-abcde-x", "Deployment", "web", false, ""},
		{"web-7d9f6c5b4", "Deployment", "web", false, ""},
		{"web-7D9F-abcde", "Deployment", "web", false, "web-7D9F"},
		{"web-7d.9-abcde", "Deployment", "web", false, "web-7d.9"},
		{"web", "Deployment", "web", false, ""},
		{"", "Deployment", "web", false, ""},
		{"web-proxy-x2k8p", "Deployment", "web", false, "web-proxy"}, // a DaemonSet's
		{"web-proxy-x2k8p", "DaemonSet", "web-proxy", true, "web-proxy"},
		{"web-7d9f6c5b4-x2k8p", "DaemonSet", "web", false, "web"},
		{"db-0", "StatefulSet", "db", true, "db"},
		{"db-10", "StatefulSet", "db", true, "db"},
		{"db-cache-0", "StatefulSet", "db", false, "db-cache"},
		{"db-x2k8p", "StatefulSet", "db", false, "db"},
		{"web-7d9f6c5b4-x2k8p", "CronJob", "web", false, "web"},
		{long + "-7d9f6x2k8p", "Deployment", long, true, ""},
		{long + "-7d9f6cx2k8", "Deployment", long + "-7", false, ""},
		{strings.Repeat("x", 57) + "-x2k8p", "Deployment", strings.Repeat("x", 57), false, strings.Repeat("x", 57)},
	} {
		if got := PodOf(c.pod, c.kind, c.workload); got != c.of {
			t.Errorf("%s is of %s %s: %v", c.pod, c.kind, c.workload, got)
		}
		if got := WorkloadOf(c.pod); got != c.owner {
			t.Errorf("%s is of %q, want %q", c.pod, got, c.owner)
		}
	}
}
