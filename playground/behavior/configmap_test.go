package behavior

import "testing"

func TestConfigured(t *testing.T) {
	b, err := Parse(map[string]string{Prefix + ErrorRate: "0.5", Prefix + RPS: "7"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Configured(map[string]string{"playground.error-rate": "0.1\n", "color": "blue"})
	if err != nil || got.ErrorRate != 0.1 || got.RPS != 7 || b.ErrorRate != 0.5 {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []map[string]string{{"playground.error-rate": "much"}, {"playground.errorrate": "0.1"}} {
		if got, err := b.Configured(bad); err == nil {
			t.Errorf("%v gives %+v", bad, got)
		}
	}
}
