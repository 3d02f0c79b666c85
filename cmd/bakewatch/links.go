package main

import (
	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/act/announce/github"
	"github.com/bakewatch/bakewatch/act/announce/grafana"
	"github.com/bakewatch/bakewatch/act/announce/wording"
	"github.com/bakewatch/bakewatch/policy"
)

// dashboardsOf are those on which Grafana is to show bakes.
func dashboardsOf(g *policy.Grafana) []grafana.Dashboard {
	var all []grafana.Dashboard
	for _, d := range g.Dashboards {
		all = append(all, grafana.Dashboard{UID: d.UID, Panel: int64(d.PanelID), Tag: d.Tag, Shows: func(s announce.Story) bool { return d.Shows(target(s)) }})
	}
	return all
}

// repositoriesOf are those in which reviewers see how a commit fares.
func repositoriesOf(g *policy.GitHubDeployments) ([]github.Repository, error) {
	var all []github.Repository
	for _, r := range g.Repositories {
		environment, ref, err := templates(policy.Wording{Title: r.Environment, Text: r.Ref})
		if err != nil {
			return nil, err
		}
		all = append(all, github.Repository{Repository: r.Repository, Environment: environment, Ref: ref, Holds: func(s announce.Story) bool { return r.Holds(target(s)) }})
	}
	return all, nil
}

// target is the workload of a story.
func target(s announce.Story) policy.Target {
	return policy.Target{Namespace: s.Namespace, Kind: s.Kind, Name: s.Workload, Labels: s.Labels}
}

// link is one of the policy's.
type link struct {
	title   string
	address *wording.Template
}

// linksOf are the policy's links, which it has checked.
func linksOf(c *policy.Config) []link {
	var all []link
	for _, l := range c.Announce.Links {
		if address, err := wording.ParseLink(l.URL); err == nil {
			all = append(all, link{l.Title, address})
		}
	}
	return all
}

// linked is the story with links. One whose template fails on it after all is left out: the story matters more.
func linked(s announce.Story, links []link) announce.Story {
	for _, l := range links {
		if address, err := l.address.Address(s); err == nil {
			s.Links = append(s.Links, announce.Link{Title: l.title, URL: address})
		}
	}
	return s
}
