package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// --dry-run is spelled as kubectl spells it, and as it was.
func TestDryRun(t *testing.T) {
	for _, x := range []struct {
		args           []string
		dryRun, unsent bool
		bad            bool
	}{
		{nil, false, false, false},
		{[]string{"--dry-run"}, true, false, false},
		{[]string{"--dry-run=server"}, true, false, false},
		{[]string{"--dry-run=client"}, true, true, false},
		{[]string{"--dry-run=none"}, false, false, false},
		{[]string{"--dry-run=true"}, true, false, false},
		{[]string{"--dry-run=false"}, false, false, false},
		{[]string{"--dry-run=client", "--dry-run=server"}, true, false, false},
		{[]string{"--dry-run=maybe"}, false, false, true},
	} {
		var c care
		cmd := &cobra.Command{}
		c.flags(cmd)
		if err := cmd.ParseFlags(x.args); (err != nil) != x.bad || c.dryRun != x.dryRun || c.unsent != x.unsent {
			t.Errorf("%v: %+v, %v", x.args, c, err)
		}
	}
}

func TestArguments(t *testing.T) {
	for name, want := range map[string][]string{
		"/usr/bin/bakewatch": {"undo", ""}, "kubectl-bakewatch": {"undo", ""}, "/bin/kubectl_complete-bakewatch": {"__complete", "undo", ""},
	} {
		if got := arguments([]string{name, "undo", ""}); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
