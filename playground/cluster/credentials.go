package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// tokens are the secrets of the three who must be known before any service account is.
type tokens struct{ admin, controllers, scheduler string }

// credentials makes the key that signs service account tokens and the static tokens, or reads those of an earlier
// start: kubeconfigs and tokens that were handed out go on working.
func (c *Cluster) credentials() error {
	if _, err := os.Stat(c.saKey()); errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return err
		}
		if err := WriteFile(c.saKey(), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})); err != nil {
			return err
		}
	}
	if raw, err := os.ReadFile(c.tokenFile()); err == nil {
		found := map[string]string{}
		for line := range strings.Lines(string(raw)) {
			if fields := strings.Split(line, ","); len(fields) >= 2 {
				found[fields[1]] = fields[0]
			}
		}
		c.tokens = tokens{found[adminUser], found[controllersUser], found[schedulerUser]}
	}
	if c.tokens.admin != "" && c.tokens.controllers != "" && c.tokens.scheduler != "" {
		return nil
	}
	c.tokens = tokens{rand.Text(), rand.Text(), rand.Text()}
	return WriteFile(c.tokenFile(), fmt.Appendf(nil, "%s,%s,admin,\"system:masters\"\n%s,%s,controllers\n%s,%s,scheduler\n",
		c.tokens.admin, adminUser, c.tokens.controllers, controllersUser, c.tokens.scheduler, schedulerUser))
}

const (
	adminUser       = "admin"
	controllersUser = "system:kube-controller-manager"
	schedulerUser   = "system:kube-scheduler"
)

func (c *Cluster) saKey() string     { return c.path("pki", "sa.key") }
func (c *Cluster) tokenFile() string { return c.path("pki", "tokens.csv") }

// CAFile is the certificate by which clients know the API server. It signed itself, so it is its own authority.
func (c *Cluster) CAFile() string { return c.path("pki", "apiserver.crt") }

// URL is the API server's address.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.opts.Port) }

// WriteKubeconfig writes the administrator's kubeconfig. It holds the authority's certificate, so the file can be
// copied anywhere on this machine.
func (c *Cluster) WriteKubeconfig(path string) error { return c.writeKubeconfig(path, c.tokens.admin) }

func (c *Cluster) writeKubeconfig(path, token string) error {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return err
	}
	const name = "playground"
	k := api.NewConfig()
	k.Clusters[name] = &api.Cluster{Server: c.URL(), CertificateAuthorityData: ca}
	k.AuthInfos[name] = &api.AuthInfo{Token: token}
	k.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	k.CurrentContext = name
	raw, err := clientcmd.Write(*k)
	if err != nil {
		return err
	}
	return WriteFile(path, raw)
}

// WriteFile replaces a file at once, readable for its owner only: nobody ever reads half of it.
func WriteFile(path string, content []byte) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
