package behavior

import "testing"

func TestFailPaths(t *testing.T) {
	b, err := Parse(map[string]string{Prefix + FailPaths: "/checkout, /api/"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/checkout": true, "/checkout/2": false, "/api/": true, "/api/v1": true, "/api": false, "/": false} {
		if b.Fails(path) != want {
			t.Errorf("fails on %s: %v, want %v", path, !want, want)
		}
	}
	for _, bad := range []string{"", "checkout", "/a,,/b"} {
		if _, err := Parse(map[string]string{Prefix + FailPaths: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
