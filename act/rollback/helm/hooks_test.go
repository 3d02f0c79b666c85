package helm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
	v1 "helm.sh/helm/v4/pkg/release/v1"

	"github.com/bakewatch/bakewatch/bake"
)

// A hook that fails ends the rollback: nobody knows what running it again does. Nothing is left pending. The API server of these
// tests has no OpenAPI document, without which Helm runs no hook.
func TestHooks(t *testing.T) {
	hook := &v1.Hook{Name: "check", Kind: "ConfigMap", Path: "shop/templates/check.yaml", Manifest: configMap("check", "1"), Events: []v1.HookEvent{v1.HookPreRollback}}
	after := &v1.Hook{Name: "after", Kind: "ConfigMap", Path: "shop/templates/after.yaml", Manifest: configMap("after", "1"), Events: []v1.HookEvent{v1.HookPostRollback}}
	stage := func(t *testing.T, hooks ...*v1.Hook) *stage {
		s := newStage(t)
		s.upgrade(deployment("web", "app:a"), common.StatusDeployed, hooks...)
		s.upgrade(deployment("web", "app:b"), common.StatusDeployed)
		return s
	}
	s := stage(t, hook)
	if err := s.rollBack("app:b", "app:a", twoToOne); !errors.Is(err, bake.ErrRelease) || !strings.Contains(err.Error(), "a hook before it failed") {
		t.Errorf("a hook before it that fails: %v", err)
	}
	if got := s.history(); got[2] != "3 failed" || s.image("web") != "app:b" {
		t.Errorf("history %q, web has %s", got, s.image("web"))
	}
	skipping := twoToOne
	skipping.SkipHooks = true
	s = stage(t, hook)
	if err := s.rollBack("app:b", "app:a", skipping); err != nil || s.image("web") != "app:a" {
		t.Errorf("skipped: %v, web has %s", err, s.image("web"))
	}
	s = stage(t, after)
	if err := s.rollBack("app:b", "app:a", twoToOne); err != nil || s.image("web") != "app:a" || s.history()[2] != "3 failed" {
		t.Errorf("a hook after it that fails: %v, web has %s, history %q", err, s.image("web"), s.history())
	}
}

// What was begun and is not gone on with does not stay pending, and what is somebody else's is left alone.
func TestLetGo(t *testing.T) {
	s := newStage(t, deployment("web", "app:a"), deployment("web", "app:b"))
	if err := s.r.LetGo(s.ctx(), twoToOne, bakeID); err != nil {
		t.Error(err)
	}
	s.upgrade(deployment("web", "app:b"), common.StatusPendingRollback)
	if err := s.r.LetGo(s.ctx(), twoToOne, bakeID); err != nil || s.history()[2] != "3 pending-rollback" {
		t.Errorf("somebody else's: %v, %q", err, s.history())
	}
	open := s.open()
	found, _ := open.secrets.Get(key("shop", 3))
	rel := found.(*v1.Release)
	rel.Info.Description = fmt.Sprintf("Rollback to 1 by Bakewatch, %s, try 1", marker(bakeID))
	if err := open.secrets.Update(key("shop", 3), rel); err != nil {
		t.Fatal(err)
	}
	if err := s.r.LetGo(s.ctx(), twoToOne, bakeID); err != nil || s.history()[2] != "3 failed" {
		t.Errorf("ours: %v, %q", err, s.history())
	}
}
