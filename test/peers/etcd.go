package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// etcd is three members with certificates that they make themselves.
type etcd struct {
	processes
	clients []string // addresses
}

// portsFile holds the ports of all servers of a system.
const portsFile = "ports"

// reserve finds free ports and writes them into a directory.
func reserve(dir string, n int) (ports []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, os.WriteFile(filepath.Join(dir, portsFile), []byte(strings.Join(ports, " ")), 0o600)
}

// reserved reads the ports.
func reserved(dir string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, portsFile))
	return strings.Fields(string(b)), err
}

// startEtcd starts the members and waits until they take a record.
func startEtcd(ctx context.Context, dir string) (system, error) {
	ports, err := reserve(dir, 6)
	if err != nil {
		return nil, err
	}
	e := &etcd{}
	for i := range 3 {
		e.clients = append(e.clients, "https://127.0.0.1:"+ports[2*i])
		if err := e.start("etcd", strconv.Itoa(i), dir); err != nil {
			return nil, err
		}
	}
	store, done, err := e.connect(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	return e, await(ctx, func() error { return store(ctx, record(0, 0)) })
}

// await tries again until it works or the time is over.
func await(ctx context.Context, try func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the system does not start: %w", err)
		}
	}
}

// connect opens a connection to one member.
func (e *etcd) connect(_ context.Context, number int) (func(context.Context, []byte) error, func(), error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{e.clients[number%3]},
		DialTimeout: 10 * time.Second,
		TLS:         &tls.Config{InsecureSkipVerify: true}, // the members sign for themselves
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return nil, nil, err
	}
	n := 0
	store := func(ctx context.Context, body []byte) error {
		n++
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := c.Put(ctx, fmt.Sprintf("/%d/%d/%d", number, time.Now().UnixNano(), n), string(body))
		return err
	}
	return store, func() { _ = c.Close() }, nil
}

// serveEtcd is one member.
func serveEtcd(number, dir string) error {
	ports, err := reserved(dir)
	if err != nil {
		return err
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Name, c.Dir, c.LogLevel = "m"+number, filepath.Join(dir, number), "error"
	c.ClientAutoTLS, c.PeerAutoTLS = true, true
	c.SelfSignedCertValidity = 1
	c.QuotaBackendBytes = 8 << 30
	at := func(k int) url.URL { return url.URL{Scheme: "https", Host: "127.0.0.1:" + ports[k]} }
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{at(2 * i)}, []url.URL{at(2 * i)}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{at(2*i + 1)}, []url.URL{at(2*i + 1)}
	var members []string
	for k := range 3 {
		members = append(members, fmt.Sprintf("m%d=https://127.0.0.1:%s", k, ports[2*k+1]))
	}
	c.InitialCluster = strings.Join(members, ",")
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	return <-e.Err()
}
