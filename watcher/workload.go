package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// revisionKey is the annotation in which the Deployment controller keeps revision numbers.
const revisionKey = "deployment.kubernetes.io/revision"

// historyKey is where the controller keeps the numbers that a ReplicaSet had before it came back.
const historyKey = "deployment.kubernetes.io/revision-history"

// Workload is a workload as it was read live, with its revisions.
type Workload struct {
	bake.Sight
	Meta     metav1.ObjectMeta
	Template corev1.PodTemplateSpec
	// Raw are the very bytes of its template: what the types of this program do not know is in them, too.
	Raw      json.RawMessage
	Versions []Version

	selector *metav1.LabelSelector
	update   string
	object   any
}

// Version is one revision of a workload, and the template it holds.
type Version struct {
	v1alpha1.Revision
	Template corev1.PodTemplateSpec
	Raw      json.RawMessage // its template's bytes, where they were read with it: of a ControllerRevision
	Made     time.Time       // when its ReplicaSet or ControllerRevision was made
	former   []string        // numbers it had before it came back, where they are kept: of a ReplicaSet
}

// Read reads a workload and its revisions.
func Read(ctx context.Context, client kubernetes.Interface, k bake.Key) (*Workload, error) {
	kind, err := kindOf(k.Kind)
	if err != nil {
		return nil, err
	}
	raw, err := client.AppsV1().RESTClient().Get().Namespace(k.Namespace).Resource(kind.resource).Name(k.Name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return nil, Explain(err, "read "+called(k))
	}
	w := &Workload{}
	object := kind.empty()
	if w.Raw, err = decode(raw, object); err != nil {
		return nil, fmt.Errorf("read %s: %w", called(k), err)
	}
	o, _ := outlineOf(object)
	w.Sight, w.Meta, w.Template, w.selector, w.update, w.object = sightOf(k, object), *o.meta, *o.template, o.selector, o.update, object
	if w.Digest, err = Digest(o.template); err != nil {
		return nil, fmt.Errorf("digest the template of %s: %w", called(k), err)
	}
	if k.Kind == bake.KindDeployment {
		w.Versions, err = w.replicaSets(ctx, client)
	} else {
		w.Versions, err = w.controllerRevisions(ctx, client)
	}
	return w, err
}

// called is a workload in messages about requests: statefulset shop/db.
func called(k bake.Key) string { return strings.ToLower(k.Kind) + " " + k.Namespace + "/" + k.Name }

// decode reads an object and the raw bytes of its pod template.
func decode(raw []byte, into any) (json.RawMessage, error) {
	var outline struct {
		Spec struct {
			Template json.RawMessage `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &outline); err != nil {
		return nil, err
	}
	return outline.Spec.Template, json.Unmarshal(raw, into)
}

// replicaSets are the revisions of a Deployment.
func (w *Workload) replicaSets(ctx context.Context, client kubernetes.Interface) ([]Version, error) {
	doing := "list the replica sets of " + called(w.Key)
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil {
		return nil, Explain(err, doing)
	}
	list, err := client.AppsV1().ReplicaSets(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, Explain(err, doing)
	}
	var out []Version
	for i := range list.Items {
		if rs := &list.Items[i]; metav1.IsControlledBy(rs, &w.Meta) {
			out = append(out, ofReplicaSet(rs))
		}
	}
	return out, nil
}

func ofReplicaSet(rs *appsv1.ReplicaSet) Version {
	v := Version{Template: rs.Spec.Template, Made: rs.CreationTimestamp.Time}
	v.Name, v.Hash = rs.Name, rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	v.Number, _ = strconv.ParseInt(rs.Annotations[revisionKey], 10, 64)
	v.Version, v.Images = version(&v.Template), images(&v.Template)
	if history := rs.Annotations[historyKey]; history != "" {
		v.former = strings.Split(history, ",")
	}
	return v
}

// controllerRevisions are the revisions of a StatefulSet or DaemonSet.
func (w *Workload) controllerRevisions(ctx context.Context, client kubernetes.Interface) ([]Version, error) {
	doing := "list the controller revisions of " + called(w.Key)
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil {
		return nil, Explain(err, doing)
	}
	list, err := client.AppsV1().ControllerRevisions(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, Explain(err, doing)
	}
	var out []Version
	for i := range list.Items {
		cr := &list.Items[i]
		if !metav1.IsControlledBy(cr, &w.Meta) {
			continue
		}
		v, err := ofControllerRevision(w.Kind, w.Name, cr)
		if err != nil {
			return nil, fmt.Errorf("read controller revision %s/%s: %w", cr.Namespace, cr.Name, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// ofControllerRevision reads a ControllerRevision of the workload of that kind and name. Its data is a patch that replaces
// the template, and nothing else.
func ofControllerRevision(kind, workload string, cr *appsv1.ControllerRevision) (Version, error) {
	v := Version{Made: cr.CreationTimestamp.Time}
	v.Name, v.Number = cr.Name, cr.Revision
	v.Hash = cr.Labels[appsv1.ControllerRevisionHashLabelKey] // as the pods of a DaemonSet carry it
	if kind == bake.KindStatefulSet || v.Hash == "" {
		v.Hash = strings.TrimPrefix(cr.Name, workload[:min(len(workload), 223)]+"-")
	}
	var data struct {
		Spec struct {
			Template map[string]json.RawMessage `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(cr.Data.Raw, &data); err != nil {
		return v, err
	}
	if data.Spec.Template == nil {
		return v, fmt.Errorf("its data holds no pod template")
	}
	delete(data.Spec.Template, "$patch")
	var err error
	if v.Raw, err = json.Marshal(data.Spec.Template); err != nil {
		return v, err
	}
	if err := json.Unmarshal(v.Raw, &v.Template); err != nil {
		return v, err
	}
	v.Version, v.Images = version(&v.Template), images(&v.Template)
	return v, nil
}

// podLabel is the label that tells of which revision a pod is.
func podLabel(kind string) string {
	if kind == bake.KindDeployment {
		return appsv1.DefaultDeploymentUniqueLabelKey
	}
	return appsv1.ControllerRevisionHashLabelKey
}

// PodLabel is the value of that label on the pods of a revision: of a StatefulSet, its whole name.
func PodLabel(kind string, r v1alpha1.Revision) string {
	if kind == bake.KindStatefulSet {
		return r.Name
	}
	return r.Hash
}

// RevisionLabel is the label that all pods of a revision have.
func RevisionLabel(kind string, r v1alpha1.Revision) (key, value string) {
	return podLabel(kind), PodLabel(kind, r)
}

// Trouble is what a Deployment's conditions say is wrong.
func (w *Workload) Trouble() string {
	d, ok := w.object.(*appsv1.Deployment)
	if !ok {
		return ""
	}
	text := ""
	for _, c := range d.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			text += "; " + c.Message
		}
	}
	return text
}

// Below reports whether a pod is below a StatefulSet's partition: made anew it would not be of the newest revision either.
func (w *Workload) Below(p Pod) bool {
	set, ok := w.object.(*appsv1.StatefulSet)
	if !ok || w.OnDelete {
		return false
	}
	start := 0
	if set.Spec.Ordinals != nil {
		start = int(set.Spec.Ordinals.Start)
	}
	return ordinal(p.Name) < start+int(partition(set))
}

// WhyKept says why the controller leaves such pods as they are.
func (w *Workload) WhyKept() string {
	if w.OnDelete {
		return "with OnDelete a pod is replaced only when somebody deletes it"
	}
	return "they are below the partition"
}

// Current is the revision that holds the workload's own template; nil while the controller has not made it.
func (w *Workload) Current() *Version {
	var found *Version
	for i := range w.Versions {
		v := &w.Versions[i]
		switch {
		case w.update != "" && w.CaughtUp:
			// The StatefulSet controller says which; it knows equal templates that are written differently.
			if v.Name == w.update {
				return v
			}
		case !SameTemplate(&v.Template, &w.Template):
		case found == nil,
			w.Kind == bake.KindDeployment && v.Made.Before(found.Made), // the controller takes the oldest where several match
			w.Kind != bake.KindDeployment && v.Number > found.Number:
			found = v
		}
	}
	return found
}

// Find is the revision of that hash; nil when there is none.
func (w *Workload) Find(hash string) *Version {
	for i := range w.Versions {
		if hash != "" && w.Versions[i].Hash == hash {
			return &w.Versions[i]
		}
	}
	return nil
}

// newest reports whether a revision has the highest number. The controller numbers a ReplicaSet or ControllerRevision anew
// some time after its template has come back.
func (w *Workload) newest(v *Version) bool {
	for i := range w.Versions {
		if w.Versions[i].Number > v.Number {
			return false
		}
	}
	return v.Number > 0
}

// good is the last known good revision: by hash, or by the number it was adopted under.
func (w *Workload) good(known bake.Known) *Version {
	if known.Good != "" {
		return w.Find(known.Good)
	}
	for i := range w.Versions {
		if known.GoodNumber > 0 && w.Versions[i].had(known.GoodNumber) {
			return &w.Versions[i]
		}
	}
	return nil
}

// had reports whether a revision has, or once had, a number.
func (v *Version) had(n int64) bool {
	return v.Number == n || slices.Contains(v.former, strconv.FormatInt(n, 10))
}

// before is the revision with the highest number below that of v.
func (w *Workload) before(v *Version) *Version {
	var best *Version
	for i := range w.Versions {
		if o := &w.Versions[i]; o.Number < v.Number && (best == nil || o.Number > best.Number) {
			best = o
		}
	}
	return best
}

// cameBack reports whether a revision was there before, and its template has come back. A ReplicaSet keeps the numbers it
// had; a ControllerRevision tells by being older than one with a lower number, and when the one known last is gone, it may
// have come back.
func (w *Workload) cameBack(v *Version, known bake.Known) bool {
	if w.Kind == bake.KindDeployment {
		return len(v.former) > 0
	}
	for i := range w.Versions {
		if o := &w.Versions[i]; o.Number < v.Number && o.Made.After(v.Made) {
			return true
		}
	}
	return known.Seen && known.Hash != "" && w.Find(known.Hash) == nil
}
