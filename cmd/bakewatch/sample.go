package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/wording"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/policy/configmap"
)

const (
	sampleDeadline = 10 * time.Second // for one message, as when the daemon sends it
	sampleAlert    = 2 * time.Minute  // for which the test's alert fires
)

// sent is what became of one message.
type sent struct {
	receiver, what string
	id             string
	err            error
}

func newAnnounceTest() *cobra.Command {
	var kubeconfig, configMap string
	var only []string
	cmd := &cobra.Command{
		Use:   "announce-test [FILE]",
		Short: "send sample messages through each receiver, and say what each answered",
		Long: `Send the messages of a bake that never was through each receiver that the configuration names, and say what each answered.
They begin with [test]. Routes do not count, and nothing is tried twice. The configuration is that of FILE (- is standard input), or of the ConfigMap
in the cluster. The files it names, with tokens and addresses, are read here: in the cluster, run it in the daemon's pod. The exit status is 1 if any
receiver failed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := configMap
			var data []byte
			var err error
			if len(args) == 1 {
				name = args[0]
				data, err = readConfig(name, cmd.InOrStdin())
			} else {
				data, err = clusterConfig(cmd.Context(), kubeconfig, configMap)
			}
			if err != nil {
				return err
			}
			config, err := policy.Parse(name, data)
			if found, ok := errors.AsType[policy.Errors](err); ok {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), found.Error())
				return errFound
			} else if err != nil {
				return err
			}
			all, err := sendSamples(cmd.Context(), config, only)
			if err != nil {
				return err
			}
			return showSent(cmd, all)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; without it the pod's service account is used")
	fl.StringVar(&configMap, "configmap", "bakewatch/bakewatch", "namespace/name of the ConfigMap with the policy")
	fl.StringSliceVar(&only, "to", nil, "send to these receivers only (default all)")
	return cmd
}

// clusterConfig is the policy in the cluster.
func clusterConfig(ctx context.Context, kubeconfig, configMap string) ([]byte, error) {
	namespace, name, ok := strings.Cut(configMap, "/")
	if !ok || namespace == "" || name == "" {
		return nil, fmt.Errorf("--configmap %q: write it as namespace/name", configMap)
	}
	kube, err := kubeConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return nil, fmt.Errorf("make a kubernetes client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the policy from ConfigMap %s: %w", configMap, err)
	}
	data, ok := found.Data[configmap.Key]
	if !ok {
		return nil, fmt.Errorf("read the policy from ConfigMap %s: it has no key %s", configMap, configmap.Key)
	}
	return []byte(data), nil
}

// sendSamples sends through all receivers at once, and returns what became of each message, by receiver and in order.
func sendSamples(ctx context.Context, config *policy.Config, only []string) ([]sent, error) {
	type sender struct {
		name string
		send func() []sent
	}
	var senders []sender
	links := linksOf(config)
	for _, one := range outlets(config) {
		senders = append(senders, sender{one.name, func() []sent { return sendStories(ctx, one, links) }})
	}
	if config.Announce.Alertmanager != nil {
		senders = append(senders, sender{"alertmanager", func() []sent { return []sent{sendAlert(ctx, config)} }})
	}
	if len(senders) == 0 {
		return nil, errors.New("the configuration names no receiver; write one under announce")
	}
	var names []string
	for _, s := range senders {
		names = append(names, s.name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--to %s: there is no such receiver; the configuration names %s", name, strings.Join(names, ", "))
		}
	}
	results := make([][]sent, len(senders))
	var wait sync.WaitGroup
	for i, s := range senders {
		if len(only) == 0 || slices.Contains(only, s.name) {
			wait.Go(func() { results[i] = s.send() })
		}
	}
	wait.Wait()
	return slices.Concat(results...), nil
}

// sendStories sends a receiver what it usually hears, in order, until one fails.
func sendStories(ctx context.Context, o outlet, links []link) []sent {
	receiver, err := o.build()
	if err != nil {
		return []sent{{receiver: o.name, what: "set up", err: err}}
	}
	if _, ok := receiver.(*github.Deployments); ok {
		return []sent{{receiver: o.name, what: "nothing", id: "there is no commit to show"}}
	}
	var all []sent
	ids := map[string]string{} // by bake
	for _, s := range wording.Samples() {
		s = linked(s, links)
		if !announce.Hears(receiver, s, nil) {
			continue
		}
		if id := ids[s.Bake]; id != "" {
			s.Earlier = map[string]string{o.name: id}
		}
		what := string(s.Stage)
		if s.Outcome != "" {
			what += " " + s.Outcome
		}
		callCtx, cancel := context.WithTimeout(ctx, sampleDeadline)
		id, err := receiver.Tell(callCtx, s)
		cancel()
		all, ids[s.Bake] = append(all, sent{o.name, what, id, err}), id
		if err != nil {
			break
		}
	}
	return all
}

// sendAlert sends an alert that lapses by itself.
func sendAlert(ctx context.Context, config *policy.Config) sent {
	result := sent{receiver: "alertmanager", what: "alert " + bake.AlertRolledBack}
	client, err := alertmanagerOf(config)
	if err != nil {
		result.err = err
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, sampleDeadline)
	defer cancel()
	now := time.Now()
	samples := wording.Samples()
	result.id = "fires for " + sampleAlert.String()
	result.err = client.Post(ctx, []announce.Alert{{Name: bake.AlertRolledBack, Severity: announce.Critical, Story: samples[3], StartsAt: now, EndsAt: now.Add(sampleAlert)}})
	return result
}

// showSent prints one line a message.
func showSent(cmd *cobra.Command, all []sent) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	failed := false
	for _, s := range all {
		answer := strings.TrimSpace("ok  " + s.id)
		if s.err != nil {
			failed = true
			answer = "FAILED  " + s.err.Error()
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.receiver, s.what, answer)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed {
		return errFound
	}
	return nil
}
