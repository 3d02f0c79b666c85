package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var httpClient = &http.Client{Timeout: 10 * time.Second}

func fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", address, res.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

func fetchJSON(ctx context.Context, address string, into any) error {
	body, err := fetch(ctx, address)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// served is what one revision of web has served, as its pods count it.
type served struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Revision  string `json:"revision"` // the template's hash
	Image     string `json:"image"`
	Ready     bool   `json:"ready"` // of a pod
	Gone      int64  `json:"gone"`  // of a pod
	Requests  int64  `json:"requests"`
	Errors    int64  `json:"errors"`
	FirstBad  int64  `json:"firstBad"` // Unix nanoseconds, 0: none
}

func (s served) version() string { return tag(s.Image) }

// tag is the version in an image's name.
func tag(image string) string { return image[strings.LastIndex(image, ":")+1:] }

// traffic asks the playground what the pods of web have served.
func (d *demo) traffic(ctx context.Context) (revisions, pods []served, err error) {
	var s struct {
		Revisions []served `json:"revisions"`
		Pods      []served `json:"pods"`
	}
	if err := fetchJSON(ctx, d.addresses.Control+"/state", &s); err != nil {
		return nil, nil, err
	}
	other := func(s served) bool { return s.Namespace != "shop" || s.Name != "web" }
	return slices.DeleteFunc(s.Revisions, other), slices.DeleteFunc(s.Pods, other), nil
}

// servedBy is what one version has served.
func (d *demo) servedBy(ctx context.Context, v version) (served, error) {
	revisions, _, err := d.traffic(ctx)
	if err != nil {
		return served{}, err
	}
	i := slices.IndexFunc(revisions, func(s served) bool { return s.version() == v.Version })
	if i < 0 {
		return served{}, fmt.Errorf("%s has no pods", v.Version)
	}
	return revisions[i], nil
}

// sample is one value of an instant query.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

func (s sample) number() float64 {
	text, _ := s.Value[1].(string)
	f, _ := strconv.ParseFloat(text, 64)
	return f
}

// query asks Prometheus.
func (d *demo) query(ctx context.Context, expr string) ([]sample, error) {
	var answer struct {
		Data struct {
			Result []sample `json:"result"`
		} `json:"data"`
	}
	err := fetchJSON(ctx, d.addresses.Prometheus+"/api/v1/query?query="+url.QueryEscape(expr), &answer)
	return answer.Data.Result, err
}

// annotation is one of Grafana's.
type annotation struct {
	ID      int64    `json:"id"`
	Time    int64    `json:"time"`
	TimeEnd int64    `json:"timeEnd"`
	Tags    []string `json:"tags"`
	Text    string   `json:"text"`

	DashboardUID string `json:"dashboardUID"` // empty: it is the organisation's
}

// annotations are those of the organisation, or of a dashboard, with all of the tags.
func (d *demo) annotations(ctx context.Context, dashboard string, tags ...string) (found []annotation, err error) {
	q := url.Values{"type": {"annotation"}, "tags": tags}
	err = fetchJSON(ctx, d.addresses.Grafana+"/api/annotations?"+q.Encode(), &found)
	found = slices.DeleteFunc(found, func(a annotation) bool { return a.DashboardUID != dashboard })
	for _, a := range slices.Backward(found) { // the newest comes first
		d.narrateAnnotation(a)
	}
	return found, err
}

// alert is one of Alertmanager's.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Status      struct {
		State string `json:"state"`
	} `json:"status"`
}

// alerts are those that Alertmanager holds for web.
func (d *demo) alerts(ctx context.Context) (found []alert, err error) {
	q := url.Values{"filter": {`namespace="shop"`, `workload="web"`}}
	err = fetchJSON(ctx, d.addresses.Alertmanager+"/api/v2/alerts?"+q.Encode(), &found)
	for _, a := range found {
		d.narrateAlert(a)
	}
	return found, err
}

// message is what the webhook stand-in was sent: a story by Bakewatch, or alerts by Alertmanager.
type message struct {
	Path   string      `json:"path"`
	Header http.Header `json:"header"`
	JSON   struct {
		Bake     string `json:"bake"`
		Stage    string `json:"stage"`
		Outcome  string `json:"outcome"`
		Headline string `json:"headline"`
		Alerts   []struct {
			Status      string            `json:"status"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"alerts"`
	} `json:"json"`
}

func (d *demo) messages(ctx context.Context) (sent []message, err error) {
	err = fetchJSON(ctx, d.addresses.Webhook+"/_sent", &sent)
	for i, m := range sent {
		d.narrateMessage(i, m)
	}
	return sent, err
}

// metric is the value of one of the daemon's own metrics, written with its labels.
func (d *demo) metric(ctx context.Context, series string) (float64, error) {
	body, err := fetch(ctx, "http://"+d.listen+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", series)
}

type revision struct {
	Number int64    `json:"number"`
	Hash   string   `json:"hash"`
	Images []string `json:"images"`

	Configuration string `json:"configuration"`
}

// version is the revision's version of web.
func (r revision) version() string {
	if len(r.Images) == 0 {
		return "?"
	}
	return tag(r.Images[0])
}

type reason struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence"`
}

// bake is what the demo reads of a Bake.
type bake struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Ref       string           `json:"ref"`
		Revisions string           `json:"revisions"`
		From      *revision        `json:"from"`
		To        revision         `json:"to"`
		StartedAt metav1.MicroTime `json:"startedAt"`
		Changes   []string         `json:"changes"`
		ChangedBy string           `json:"changedBy"`
		InPlace   bool             `json:"inPlace"`
	} `json:"spec"`
	Status struct {
		Phase        string            `json:"phase"`
		Outcome      string            `json:"outcome"`
		Why          string            `json:"why"`
		Reasons      []reason          `json:"reasons"`
		FirstReadyAt *metav1.MicroTime `json:"firstReadyAt"`
		CompletedAt  *metav1.MicroTime `json:"completedAt"`
		EndedAt      *metav1.MicroTime `json:"endedAt"`
		Rollback     *struct {
			IntendedAt  metav1.MicroTime  `json:"intendedAt"`
			Target      revision          `json:"target"`
			PatchedAt   *metav1.MicroTime `json:"patchedAt"`
			AvailableAt *metav1.MicroTime `json:"availableAt"`
			Recovered   string            `json:"recovered"`
			Recovery    string            `json:"recovery"`
		} `json:"rollback"`
	} `json:"status"`
}

func (b bake) id() string { return b.Namespace + "/" + b.Name }

var bakesResource = schema.GroupVersionResource{Group: "bakewatch.dev", Version: "v1alpha1", Resource: "bakes"}

// bakes are all that are on record for web, by the revision they judge.
func (d *demo) bakes(ctx context.Context) ([]bake, error) {
	list, err := d.dynamic.Resource(bakesResource).Namespace("shop").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := make([]bake, len(list.Items))
	for i, item := range list.Items {
		raw, err := item.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b bake) int { return int(a.Spec.To.Number - b.Spec.To.Number) })
	for _, b := range out {
		d.narrateBake(b)
	}
	return out, nil
}

// bakeOf is the one bake of a revision.
func (d *demo) bakeOf(ctx context.Context, number int64) (bake, error) {
	all, err := d.bakes(ctx)
	if err != nil {
		return bake{}, err
	}
	all = slices.DeleteFunc(all, func(b bake) bool { return b.Spec.To.Number != number })
	if len(all) != 1 {
		return bake{}, fmt.Errorf("there are %d bakes of revision %d", len(all), number)
	}
	return all[0], nil
}
