package bake

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/zap"

	"github.com/bakewatch/bakewatch/signals"
)

// Of each pod that was killed for want of memory it is asked once how much it used, and of a few pods only.
func TestTellUsed(t *testing.T) {
	asked := 0
	l := &Loop{Options: Options{Log: zap.NewNop(), MemoryUsed: func(_ context.Context, _, pod, _ string) (string, error) {
		asked++
		if pod == "b" {
			return "", errors.New("prometheus is away")
		}
		return "63Mi", nil
	}}}
	w := &work{}
	for range 3 {
		var pods []signals.PodState
		for _, name := range []string{"a", "b", "c", "d"} {
			pods = append(pods, signals.PodState{Name: name, Trouble: &signals.Trouble{Cause: signals.OOMKilled}})
		}
		pods = append(pods, signals.PodState{Name: "e", Trouble: &signals.Trouble{Cause: signals.CrashLoop}}, signals.PodState{Name: "f"})
		if !l.tellUsed(t.Context(), web, w, pods) || pods[0].Trouble.Used != "63Mi" || pods[1].Trouble.Used != "" || pods[3].Trouble.Used != "" || pods[4].Trouble.Used != "" {
			t.Errorf("%+v", pods)
		}
	}
	if asked != maxUsed {
		t.Errorf("asked %d times", asked)
	}
	if (&Loop{}).tellUsed(t.Context(), web, w, nil) {
		t.Error("used by nobody")
	}
}
