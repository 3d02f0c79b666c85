// Package v1alpha1 is the Bake custom resource, bakes.bakewatch.dev: the record of one supervised rollout.
// +kubebuilder:object:generate=true
// +groupName=bakewatch.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "bakewatch.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Bake{}, &BakeList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
