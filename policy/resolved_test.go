package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bakewatch/bakewatch/decide"
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

// A record of a version that knew no margin and no layers has the defaults.
func TestResolvedOfAnOlderVersion(t *testing.T) {
	const times = `"window":"15m0s","interval":"15s","verify":"2m0s","deadline":"10m0s"`
	var old, set Resolved
	if err := json.Unmarshal([]byte(`{"watched":true,"mode":"guard",`+times+`,"falseAlarm":0.001,"signals":[]}`), &old); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(old.Guards, defaultGuards().resolved()) {
		t.Errorf("an old record's guards are read as %+v", old.Guards)
	}
	if old.Margin != decide.DefaultMargin || old.Layers != (Layers{Threshold: true, Evidence: true, Blame: true}) || old.PassEarly {
		t.Errorf("an old record is read as %+v", old)
	}
	if err := json.Unmarshal([]byte(`{`+times+`,"margin":3,"layers":{"threshold":true,"evidence":false,"blame":false}}`), &set); err != nil {
		t.Fatal(err)
	}
	if set.Margin != 3 || set.Layers != (Layers{Threshold: true}) {
		t.Errorf("what is recorded is read as %+v", set)
	}
}

func TestResolvedRefusesBadTimes(t *testing.T) {
	var r Resolved
	if err := json.Unmarshal([]byte(`{"window":"soon","interval":"1s","verify":"1s","deadline":"1s"}`), &r); err == nil {
		t.Error("a window of \"soon\" was read")
	}
}
