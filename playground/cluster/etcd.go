package cluster

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/bakewatch/bakewatch/playground/ports"
)

const etcdQuota = 8 << 30

func (c *Cluster) startEtcd(ctx context.Context) (err error) {
	// The ports are nobody's business but the API server's, so any free ones do; try again if one is taken just then.
	for range 3 {
		if err = c.tryEtcd(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%w; if its data in %s is damaged, start with --fresh", err, c.path("etcd"))
}

func (c *Cluster) tryEtcd(ctx context.Context) error {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.QuotaBackendBytes = c.path("etcd"), etcdQuota
	cfg.LogLevel, cfg.LogOutputs = "error", []string{c.path("etcd.log")}
	// The data has to survive the death of this process, which it does without fsync, not that of the machine.
	cfg.UnsafeNoFsync = true
	client, err := freeURL()
	if err != nil {
		return err
	}
	peer, err := freeURL()
	if err != nil {
		return err
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.Name + "=" + peer.String()
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	select {
	case <-e.Server.ReadyNotify():
		c.etcd, c.etcdURL = e, client.String()
		return nil
	case err = <-e.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	return err
}

func freeURL() (url.URL, error) {
	port, err := ports.Free()
	return url.URL{Scheme: "http", Host: net.JoinHostPort(ports.Host, strconv.Itoa(port))}, err
}
