package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// status is what the agent wants the API server to show for one pod. Changes are written by a goroutine of its own,
// latest first and until they succeed, so that a pod's life goes on while the API server is away.
type status struct {
	client          kubernetes.Interface
	namespace, name string
	uid             types.UID
	generation      int64

	mu    sync.Mutex
	want  corev1.PodStatus
	dirty chan struct{}
}

func newStatus(client kubernetes.Interface, n node, obj *corev1.Pod) *status {
	s := &status{client: client, namespace: obj.Namespace, name: obj.Name, uid: obj.UID, generation: obj.Generation, dirty: make(chan struct{}, 1)}
	start := metav1.Now()
	s.want = corev1.PodStatus{
		Phase: corev1.PodPending, HostIP: n.ip, HostIPs: []corev1.HostIP{{IP: n.ip}}, StartTime: &start, ObservedGeneration: obj.Generation,
	}
	for _, c := range obj.Spec.InitContainers {
		cs := containerStatus(obj, c)
		cs.Ready, cs.State.Terminated = true, &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: start, FinishedAt: start, ContainerID: cs.ContainerID}
		s.want.InitContainerStatuses = append(s.want.InitContainerStatuses, cs)
	}
	for _, c := range obj.Spec.Containers {
		cs := containerStatus(obj, c)
		cs.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		cs.ImageID, cs.ContainerID = "", ""
		s.want.ContainerStatuses = append(s.want.ContainerStatuses, cs)
	}
	s.condition(corev1.PodReadyToStartContainers, corev1.ConditionFalse, "", "")
	s.condition(corev1.PodInitialized, corev1.ConditionTrue, "", "")
	s.ready(false)
	return s
}

func containerStatus(obj *corev1.Pod, c corev1.Container) corev1.ContainerStatus {
	no := false
	cs := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Started: &no}
	// Where a pod ran before a restart of the agent, go on counting from what its status says.
	for _, old := range append(obj.Status.ContainerStatuses, obj.Status.InitContainerStatuses...) {
		if old.Name == c.Name {
			cs.RestartCount, cs.LastTerminationState = old.RestartCount, old.LastTerminationState
		}
	}
	identify(&cs, obj.UID)
	return cs
}

// identify gives the container an image digest, the same for the same image, and an id that no other run has.
func identify(cs *corev1.ContainerStatus, uid types.UID) {
	cs.ImageID = fmt.Sprintf("playground.invalid/%s@sha256:%x", cs.Name, sha256.Sum256([]byte(cs.Image)))
	cs.ContainerID = fmt.Sprintf("playground://%x", sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", uid, cs.Name, cs.RestartCount)))
}

// change edits the wanted status under the lock and has it written.
func (s *status) change(edit func(*corev1.PodStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(&s.want)
	s.poke()
}

func (s *status) poke() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

func (s *status) condition(t corev1.PodConditionType, value corev1.ConditionStatus, reason, message string) {
	for i := range s.want.Conditions {
		c := &s.want.Conditions[i]
		if c.Type == t {
			if c.Status != value {
				c.LastTransitionTime = metav1.Now()
			}
			c.Status, c.Reason, c.Message = value, reason, message
			return
		}
	}
	s.want.Conditions = append(s.want.Conditions, corev1.PodCondition{Type: t, Status: value, Reason: reason, Message: message,
		LastTransitionTime: metav1.Now(), ObservedGeneration: s.generation})
}

// ready sets the two conditions that depend on the containers; the caller holds the lock.
func (s *status) ready(yes bool) {
	value, reason, message := corev1.ConditionTrue, "", ""
	if !yes {
		names := []string{}
		for _, cs := range s.want.ContainerStatuses {
			if !cs.Ready {
				names = append(names, cs.Name)
			}
		}
		value, reason, message = corev1.ConditionFalse, "ContainersNotReady", fmt.Sprintf("containers with unready status: %v", names)
	}
	s.condition(corev1.PodReady, value, reason, message)
	s.condition(corev1.ContainersReady, value, reason, message)
}

func (s *status) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return readiness(s.want.Conditions) == corev1.ConditionTrue
}

func readiness(conditions []corev1.PodCondition) corev1.ConditionStatus {
	for _, c := range conditions {
		if c.Type == corev1.PodReady {
			return c.Status
		}
	}
	return corev1.ConditionFalse
}

// repair writes the status again if the API server shows a readiness or phase that is not the pod's: the
// node-lifecycle-controller marks pods unready when a heartbeat comes late. It waits, as the newer of the two may be
// the one that is on its way.
func (s *status) repair(obj *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if readiness(obj.Status.Conditions) != readiness(s.want.Conditions) || obj.Status.Phase != s.want.Phase {
		time.AfterFunc(time.Second, s.poke)
	}
}

// write sends the wanted status whenever it has changed, until the context ends.
func (s *status) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.dirty:
		}
		for wait := 200 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
			err := s.send(ctx)
			if err == nil {
				break
			}
			if apierrors.IsNotFound(err) || !sleep(ctx, wait) {
				return
			}
		}
	}
}

func (s *status) send(ctx context.Context) error {
	body, err := s.patch()
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.client.CoreV1().Pods(s.namespace).Patch(call, s.name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	if apierrors.IsConflict(err) { // the name now belongs to another pod
		return apierrors.NewNotFound(corev1.Resource("pods"), s.name)
	}
	return err
}

// patch is the wanted status as a strategic merge patch. Conditions of others stay as they are; addresses are merged
// by default, and are to be replaced: a pod that gets another address after a restart would end with two.
func (s *status) patch() ([]byte, error) {
	s.mu.Lock()
	raw, err := json.Marshal(s.want)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	for _, list := range []string{"podIPs", "hostIPs"} {
		if items, ok := fields[list].([]any); ok {
			fields[list] = append([]any{map[string]any{"$patch": "replace"}}, items...)
		}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": s.uid}, "status": fields})
}
