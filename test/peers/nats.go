package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStream is three servers with one stream on all of them.
type jetStream struct {
	processes
	clients []string // addresses
}

// startNATS starts the servers and makes the stream.
func startNATS(ctx context.Context, dir string) (system, error) {
	ports, err := reserve(dir, 6)
	if err != nil {
		return nil, err
	}
	j := &jetStream{}
	for i := range 3 {
		j.clients = append(j.clients, "nats://127.0.0.1:"+ports[2*i])
		if err := j.start("nats", strconv.Itoa(i), dir); err != nil {
			return nil, err
		}
	}
	return j, await(ctx, func() error { return j.makeStream(ctx) })
}

func (j *jetStream) makeStream(ctx context.Context) error {
	c, err := nats.Connect(j.clients[0])
	if err != nil {
		return err
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:     "R",
		Subjects: []string{"r.*"},
		Storage:  jetstream.FileStorage,
		Replicas: 3,
	})
	return err
}

// connect opens a connection to one server.
func (j *jetStream) connect(_ context.Context, number int) (func(context.Context, []byte) error, func(), error) {
	c, err := nats.Connect(j.clients[number%3])
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	subject := fmt.Sprintf("r.%d", number)
	store := func(ctx context.Context, body []byte) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := js.Publish(ctx, subject, body)
		return err
	}
	return store, c.Close, nil
}

// serveNATS is one server.
func serveNATS(number, dir string) error {
	ports, err := reserved(dir)
	if err != nil {
		return err
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	port := func(k int) int { n, _ := strconv.Atoi(ports[k]); return n }
	var routes []*url.URL
	for k := range 3 {
		if k != i {
			routes = append(routes, &url.URL{Scheme: "nats", Host: "127.0.0.1:" + ports[2*k+1]})
		}
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "m" + number,
		Host:       "127.0.0.1",
		Port:       port(2 * i),
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   filepath.Join(dir, number),
		SyncAlways: true,
		Cluster:    server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port(2*i + 1)},
		Routes:     routes,
	})
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}
