// Package records keeps the Bakes in the cluster: the custom resource, read and written with optimistic locking.
package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
)

// callTimeout bounds one request, pageSize how many Bakes one answer holds.
const (
	callTimeout = 10 * time.Second
	pageSize    = 500
)

// ErrNotInstalled says that the cluster does not know the Bake resource.
var ErrNotInstalled = errors.New("the Bake resource is not installed; kubectl apply -f deploy/crd/ installs it")

// Bakes reads and writes Bake objects.
type Bakes struct {
	rest       *rest.RESTClient
	namespaces []string
}

// New makes Bakes for the given namespaces; none means all.
func New(config *rest.Config, namespaces []string) (*Bakes, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the Bake resource: %w", err)
	}
	// Options of requests are encoded by this scheme too.
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	c := rest.CopyConfig(config)
	gv := v1alpha1.GroupVersion
	c.GroupVersion, c.APIPath = &gv, "/apis"
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON // custom resources have no protobuf
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("make a client for bakes: %w", err)
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	return &Bakes{rest: client, namespaces: namespaces}, nil
}

// Check asks for one Bake, to learn early whether the resource is installed and may be read.
func (r *Bakes) Check(ctx context.Context) error {
	_, err := r.page(ctx, r.namespaces[0], "", 1)
	return err
}

// List implements bake.Records.
func (r *Bakes) List(ctx context.Context, each func(*v1alpha1.Bake)) error {
	for _, ns := range r.namespaces {
		for next := ""; ; {
			list, err := r.page(ctx, ns, next, pageSize)
			if err != nil {
				return err
			}
			for i := range list.Items {
				each(&list.Items[i])
			}
			if next = list.Continue; next == "" {
				break
			}
		}
	}
	return nil
}

func (r *Bakes) page(ctx context.Context, namespace, next string, size int) (*v1alpha1.BakeList, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req := r.rest.Get().NamespaceIfScoped(namespace, namespace != "").Resource("bakes").Param("limit", fmt.Sprint(size))
	if next != "" {
		req = req.Param("continue", next)
	}
	list := &v1alpha1.BakeList{}
	if err := req.Do(ctx).Into(list); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, ErrNotInstalled
		}
		return nil, explain(err, "list bakes")
	}
	return list, nil
}

// Get implements bake.Records.
func (r *Bakes) Get(ctx context.Context, namespace, name string) (*v1alpha1.Bake, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b := &v1alpha1.Bake{}
	err := r.rest.Get().Namespace(namespace).Resource("bakes").Name(name).Do(ctx).Into(b)
	return b, explain(err, "read bake "+namespace+"/"+name)
}

// Create implements bake.Records.
func (r *Bakes) Create(ctx context.Context, b *v1alpha1.Bake) (*v1alpha1.Bake, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out := &v1alpha1.Bake{}
	err := r.rest.Post().Namespace(b.Namespace).Resource("bakes").Body(typed(b)).Do(callCtx).Into(out)
	switch {
	case apierrors.IsAlreadyExists(err):
		return r.Get(ctx, b.Namespace, b.Name)
	case apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseType("NamespaceTerminating")):
		return nil, ErrNotInstalled
	case err != nil:
		return nil, explain(err, "create bake "+b.Namespace+"/"+b.Name)
	}
	return out, nil
}

// Update implements bake.Records.
func (r *Bakes) Update(ctx context.Context, b *v1alpha1.Bake) (*v1alpha1.Bake, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out := &v1alpha1.Bake{}
	err := r.rest.Put().Namespace(b.Namespace).Resource("bakes").Name(b.Name).SubResource("status").Body(typed(b)).Do(ctx).Into(out)
	if err != nil {
		return nil, explain(err, "write bake "+b.Namespace+"/"+b.Name)
	}
	return out, nil
}

// Delete implements bake.Records.
func (r *Bakes) Delete(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return explain(r.rest.Delete().Namespace(namespace).Resource("bakes").Name(name).Do(ctx).Error(), "delete bake "+namespace+"/"+name)
}

func typed(b *v1alpha1.Bake) *v1alpha1.Bake {
	c := b.DeepCopy()
	c.APIVersion, c.Kind = v1alpha1.GroupVersion.String(), "Bake"
	return c
}

func explain(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s: %w", doing, bake.ErrConflict)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w", doing, bake.ErrNoRecord)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: not permitted; apply deploy/rbac.yaml, which grants it: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
