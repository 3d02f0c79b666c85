package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResolvedIsReadBackAsWritten(t *testing.T) {
	c := Default()
	want, _ := c.For(Target{Kind: "Deployment", Namespace: "shop", Name: "web"})
	want.Window = 90 * time.Second
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var asMap map[string]any
	if err := json.Unmarshal(raw, &asMap); err != nil {
		t.Fatal(err)
	}
	if asMap["window"] != "1m30s" {
		t.Errorf("window is written as %v, want 1m30s", asMap["window"])
	}
	var got Resolved
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestResolvedRefusesBadTimes(t *testing.T) {
	var r Resolved
	if err := json.Unmarshal([]byte(`{"window":"soon","interval":"1s","verify":"1s","deadline":"1s"}`), &r); err == nil {
		t.Error("a window of \"soon\" was read")
	}
}
