package watcher

import (
	"testing"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

func TestNumbered(t *testing.T) {
	of := func(name string, number int64, former ...string) Version {
		return Version{Revision: v1alpha1.Revision{Name: name, Number: number}, former: former}
	}
	w := &Workload{Versions: []Version{of("a", 5, "1", "3"), of("b", 2), of("c", 4), of("d", 6, "2")}}
	for number, want := range map[int64]string{1: "a", 2: "b", 3: "a", 4: "c", 5: "a", 6: "d", 7: "", 0: "", -1: ""} {
		got := ""
		if v := w.Numbered(number); v != nil {
			got = v.Name
		}
		if got != want {
			t.Errorf("%d is %q, want %q", number, got, want)
		}
	}
}
