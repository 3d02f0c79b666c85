package rollback

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// maxReferences bounds how many objects are asked for. No pod template in use names as many.
const maxReferences = 200

// reference is an object of the namespace without which pods do not start.
type reference struct{ kind, resource, name string }

func (r reference) String() string { return r.kind + " " + r.name }

// references are what the pods of a template need, each once: what is optional is left out, and so are image pull secrets,
// which the kubelet does without if it can.
func references(spec *corev1.PodSpec) []reference {
	var out []reference
	need := func(kind, resource, name string, optional *bool) {
		r := reference{kind, resource, name}
		if name != "" && (optional == nil || !*optional) && !slices.Contains(out, r) && len(out) < maxReferences {
			out = append(out, r)
		}
	}
	configMap := func(name string, optional *bool) { need("ConfigMap", "configmaps", name, optional) }
	secret := func(name string, optional *bool) { need("Secret", "secrets", name, optional) }

	if spec.ServiceAccountName != "default" { // every namespace has that one
		need("ServiceAccount", "serviceaccounts", spec.ServiceAccountName, nil)
	}
	for _, v := range spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			configMap(v.ConfigMap.Name, v.ConfigMap.Optional)
		case v.Secret != nil:
			secret(v.Secret.SecretName, v.Secret.Optional)
		case v.PersistentVolumeClaim != nil:
			need("PersistentVolumeClaim", "persistentvolumeclaims", v.PersistentVolumeClaim.ClaimName, nil)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					configMap(s.ConfigMap.Name, s.ConfigMap.Optional)
				}
				if s.Secret != nil {
					secret(s.Secret.Name, s.Secret.Optional)
				}
			}
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				configMap(from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
			}
			if from.SecretRef != nil {
				secret(from.SecretRef.Name, from.SecretRef.Optional)
			}
		}
		for _, env := range c.Env {
			if from := env.ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
				configMap(from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Optional)
			} else if from != nil && from.SecretKeyRef != nil {
				secret(from.SecretKeyRef.Name, from.SecretKeyRef.Optional)
			}
		}
	}
	return out
}

// Missing implements bake.Undoer. Only metadata is asked for. What this account may not see is taken to be there: the right
// to see a Secret is the right to read it, and not everybody gives it.
func (r *Undoer) Missing(ctx context.Context, k bake.Key, target v1alpha1.Revision) ([]string, error) {
	w, err := r.read(ctx, k)
	if err != nil {
		return nil, err
	}
	to := w.Find(target.Hash)
	if to == nil {
		return nil, nil // which the undo itself will tell
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var missing []string
	for _, ref := range references(&to.Template.Spec) {
		var object metav1.PartialObjectMetadata
		err := r.Client.CoreV1().RESTClient().Get().Namespace(k.Namespace).Resource(ref.resource).Name(ref.name).
			SetHeader("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").Do(ctx).Into(&object)
		switch {
		case apierrors.IsForbidden(err):
		case apierrors.IsNotFound(err), err == nil && object.DeletionTimestamp != nil:
			missing = append(missing, ref.String())
		case err != nil:
			return nil, explain(err, "see whether "+ref.String()+" of "+k.Namespace+" exists")
		}
	}
	return missing, nil
}
