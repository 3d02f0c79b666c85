package watcher

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// OwnsTemplate reports whether a field manager owns anything of the pod template.
func OwnsTemplate(f *metav1.FieldsV1) bool {
	var set fieldpath.Set
	if err := set.FromJSON(f.GetRawReader()); err != nil {
		return false
	}
	owns := false
	set.Iterate(func(p fieldpath.Path) {
		if len(p) >= 2 && p[0].FieldName != nil && *p[0].FieldName == "spec" && p[1].FieldName != nil && *p[1].FieldName == "template" {
			owns = true
		}
	})
	return owns
}
