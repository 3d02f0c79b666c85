package watcher

import (
	"fmt"
	"testing"
	"time"
)

func TestChurn(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		every time.Duration
		times int
		busy  bool
	}{
		{"a person, one after the other", 2 * time.Minute, 30, false},
		{"a hurried one", time.Second, churnChanges - 1, false},
		{"a program", 30 * time.Second, churnChanges, true},
	} {
		var is churn
		news := 0
		at := now
		for range c.times {
			at = at.Add(c.every)
			if is.note("shop/app", at) {
				news++
			}
		}
		if got := is.left("shop/app", at) != ""; got != c.busy || news > 1 || (news == 1) != c.busy {
			t.Errorf("%s: busy %v, told %d times", c.name, got, news)
		}
		if is.left("shop/other", at) != "" {
			t.Error("another is taken for it")
		}
		if is.left("shop/app", at.Add(churnQuiet)) != "" {
			t.Errorf("%s: it is not followed again", c.name)
		}
	}
}

func TestChurnIsBounded(t *testing.T) {
	var is churn
	now := time.Now()
	for i := range 2*maxChurning + 5 {
		is.note(fmt.Sprint("shop/", i), now)
	}
	if n := len(is.by); n > maxChurning {
		t.Errorf("%d are counted", n)
	}
}
