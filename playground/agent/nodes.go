package agent

import (
	"context"
	"encoding/json"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

type node struct{ name, ip, zone string }

var zones = []string{"zone-a", "zone-b", "zone-c"}

const (
	heartbeatEvery = 10 * time.Second
	leaseSeconds   = int32(40)
)

func (a *Agent) nodeStatus(n node) corev1.NodeStatus {
	now := metav1.Now()
	// Far more than any story needs: the scheduler must never be the reason why a pod does not start.
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10000"), corev1.ResourceMemory: resource.MustParse("100Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Ti"), corev1.ResourcePods: resource.MustParse("20000"),
	}
	condition := func(t corev1.NodeConditionType, s corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: t, Status: s, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.ip}, {Type: corev1.NodeHostName, Address: n.name}},
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: KubeletPort}},
		NodeInfo: corev1.NodeSystemInfo{KubeletVersion: a.opts.Version, OSImage: "bakewatch playground", OperatingSystem: "linux",
			Architecture: "amd64", ContainerRuntimeVersion: "playground://1", KernelVersion: "none"},
	}
}

// register creates a node, or brings one from an earlier start back to life.
func (a *Agent) register(ctx context.Context, n node) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	nodes := a.opts.Client.CoreV1().Nodes()
	obj := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{
			corev1.LabelHostname: n.name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64", corev1.LabelTopologyZone: n.zone,
		}},
		Status: a.nodeStatus(n),
	}
	_, err := nodes.Create(ctx, obj, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	// An update, not a patch: a node's addresses would be merged by a patch, and the pod prefix may have changed.
	old, err := nodes.Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	old.Status = obj.Status
	_, err = nodes.UpdateStatus(ctx, old, metav1.UpdateOptions{})
	return err
}

// heartbeat renews the node's lease, without which the node would soon be taken for dead and its pods for unready.
func (a *Agent) heartbeat(ctx context.Context, n node) {
	leases := a.opts.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for {
		err := func() error {
			call, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			now := metav1.NowMicro()
			patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now}})
			if err != nil {
				return err
			}
			_, err = leases.Patch(call, n.name, types.MergePatchType, patch, metav1.PatchOptions{})
			if apierrors.IsNotFound(err) {
				seconds := leaseSeconds
				_, err = leases.Create(call, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n.name},
					Spec: coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now}}, metav1.CreateOptions{})
			}
			return err
		}()
		wait := heartbeatEvery
		if err != nil {
			wait = time.Second // the API server is away or the namespace not made yet: be there soon after it is back
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

func deleteNow(uid types.UID) metav1.DeleteOptions {
	zero := int64(0)
	return metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &uid}}
}
