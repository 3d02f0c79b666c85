package shoutrrr

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A service that never answers does not stop its receiver for good; and what hangs is bounded all the same.
func TestCallsThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Options{URLFile: "/none"})
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		n := 0
		begin := func() error {
			n++
			_, err := r.begin(fmt.Sprint(n), func() error { <-release; return nil })
			return err
		}
		for round := range maxOpen / maxCalls {
			for i := range maxCalls {
				if err := begin(); err != nil {
					t.Fatalf("round %d, call %d: %v", round, i, err)
				}
			}
			if begin() == nil {
				t.Fatalf("round %d: more than %d calls are under way", round, maxCalls)
			}
			time.Sleep(hangs + time.Second)
		}
		if begin() == nil {
			t.Errorf("%d calls hang, and more", maxOpen)
		}
		close(release)
		synctest.Wait()
		if err := begin(); err != nil {
			t.Errorf("after all have ended: %v", err)
		}
		synctest.Wait()
		if r.open != 0 {
			t.Errorf("after all have ended %d are open", r.open)
		}
	})
}
