// Package configmap feeds the policy from a ConfigMap in the cluster, and says on that ConfigMap when an edit was bad.
package configmap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/policy"
)

// Key is the ConfigMap's key that holds the policy.
const Key = "bakewatch.yaml"

// Source reads one ConfigMap.
type Source struct {
	Client          kubernetes.Interface
	Namespace, Name string
	Live            *policy.Live
	Report          func(error) // told of every new trouble, and with nil when it is over
}

// every is how often the ConfigMap is looked at. One small read needs no watch, sees an edit within seconds, and finds
// its way back by itself after any outage.
const every = 3 * time.Second

// Run reads the ConfigMap until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var version, trouble string
	for {
		v, err := s.read(ctx, version)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if v != "" {
			version = v
		}
		if text := message(err); text != trouble {
			trouble = text
			s.Report(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// read offers the ConfigMap's content if it is another version than the one given. The version it returns is empty when
// nothing could be read; then it is to be tried again.
func (s *Source) read(ctx context.Context, known string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cm, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
	where := fmt.Sprintf("ConfigMap %s/%s", s.Namespace, s.Name)
	switch {
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("%s does not exist; kubectl apply -f deploy/configmap.yaml makes one", where)
	case apierrors.IsForbidden(err):
		err = fmt.Errorf("%s may not be read; apply deploy/rbac.yaml, which grants it: %w", where, err)
	case err != nil:
		err = fmt.Errorf("read %s: %w", where, err)
	}
	if err != nil {
		s.Live.Missing(where, err)
		return "", err
	}
	if cm.ResourceVersion == known {
		return known, s.Live.Status().Err
	}
	data, ok := cm.Data[Key]
	if !ok {
		err := fmt.Errorf("%s has no key %s; its policy belongs there", where, Key)
		s.Live.Missing(where, err)
		return cm.ResourceVersion, err
	}
	if _, err := s.Live.Offer(Key, []byte(data)); err != nil {
		bad := fmt.Errorf("%s was not taken, the last good one stays in force: %w", where, err)
		// The Event is for whoever made the edit. That it cannot be written does not change what is in force.
		return cm.ResourceVersion, errors.Join(bad, s.event(ctx, cm, data, bad))
	}
	return cm.ResourceVersion, nil
}

// event puts a Warning on the ConfigMap. Its name is made from the content, so that one bad edit gives one Event.
func (s *Source) event(ctx context.Context, cm *corev1.ConfigMap, data string, bad error) error {
	text := strings.ToValidUTF8(bad.Error(), "?")
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + " …"
	}
	now := metav1.Now()
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: cm.Namespace, Name: fmt.Sprintf("%s.%x", cm.Name, sha256.Sum256([]byte(data)))[:min(len(cm.Name)+17, 250)]},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "ConfigMap", Namespace: cm.Namespace, Name: cm.Name, UID: cm.UID, ResourceVersion: cm.ResourceVersion,
		},
		Type: corev1.EventTypeWarning, Reason: "BadPolicy", Message: text,
		Source: corev1.EventSource{Component: "bakewatch"}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	_, err := s.Client.CoreV1().Events(cm.Namespace).Create(ctx, e, metav1.CreateOptions{FieldManager: "bakewatch"})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("put an event on ConfigMap %s/%s: %w", cm.Namespace, cm.Name, err)
	}
	return nil
}
