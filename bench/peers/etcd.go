package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// askEtcd starts etcd, alone, with a value for each VM. Nothing is written while it is
// asked, so how durable writes are does not matter, and loading takes less time.
func (l *lab) askEtcd(ctx context.Context) error {
	program, err := l.goProgram(ctx, etcdModule, etcdVersion)
	if err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	client, peer := "http://"+ports[0].String(), "http://"+ports[1].String()
	p, err := l.run(ctx, ports[0], func() error {
		res, err := http.Get(client + "/health")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}, program, "--data-dir", filepath.Join(l.dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--unsafe-no-fsync", "--quota-backend-bytes", strconv.Itoa(8<<30), "--max-txn-ops", strconv.Itoa(etcdBatch),
		"--max-request-bytes", strconv.Itoa(8<<20), "--log-level", "error")
	if err != nil {
		return err
	}
	if err := l.fillEtcd(ctx, ports[0]); err != nil {
		return err
	}
	if err := l.askGRPC(p); err != nil {
		return err
	}
	l.ask(plain, "etcd, JSON gateway, serializable", etcdVersion, p, plainConns, l.size, question{
		ask: l.world.etcdRange, answered: httpAnswer(func(body []byte) bool { return len(body) > l.size*4/3 }),
	})
	return nil
}

// etcdBatch is how many keys are written at once.
const etcdBatch = 1000

func (l *lab) fillEtcd(ctx context.Context, addr netip.AddrPort) error {
	fmt.Fprintf(l.progress, "loading etcd\n")
	c, err := dialGRPC(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	kv, value := etcdserverpb.NewKVClient(c), constantBody(l.size)
	for from := 0; from < l.world.VMs; from += etcdBatch {
		txn := new(etcdserverpb.TxnRequest)
		for i := from; i < min(from+etcdBatch, l.world.VMs); i++ {
			put := &etcdserverpb.PutRequest{Key: appendID(nil, &l.world.bios[i]), Value: value}
			txn.Success = append(txn.Success, &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: put}})
		}
		within, cancel := context.WithTimeout(ctx, time.Minute)
		_, err := kv.Txn(within, txn)
		cancel()
		if err != nil {
			return fmt.Errorf("load etcd: %w", err)
		}
	}
	return nil
}

func dialGRPC(addr netip.AddrPort) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// askGRPC adds the row of etcd's own protocol, over as many connections as the others
// have, by the client that etcd's own client is made of.
func (l *lab) askGRPC(p *process) error {
	var clients []*grpc.ClientConn
	closeAll := func() {
		for _, c := range clients {
			_ = c.Close() // nothing is under way
		}
	}
	var callers []func() error
	for n := range plainConns {
		c, err := dialGRPC(p.addr)
		if err != nil {
			closeAll()
			return err
		}
		clients = append(clients, c)
		callers = append(callers, l.etcdCaller(etcdserverpb.NewKVClient(c), uint64(n)))
	}
	l.rows = append(l.rows, &row{
		group: plain, name: "etcd, gRPC, serializable", version: etcdVersion, server: p, bytes: l.size,
		slice: together(callers), close: closeAll,
	})
	return nil
}

// etcdCaller returns a function that asks for the value of a random VM.
func (l *lab) etcdCaller(kv etcdserverpb.KVClient, seed uint64) func() error {
	next := l.world.random(seed)
	return func() error {
		req := &etcdserverpb.RangeRequest{Key: appendID(nil, &l.world.bios[next()]), Serializable: true}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		res, err := kv.Range(ctx, req)
		if err == nil && (len(res.Kvs) != 1 || len(res.Kvs[0].Value) != l.size) {
			err = errors.New("etcd has no such value")
		}
		return err
	}
}

// etcdRange appends the question over HTTP and JSON.
func (w *world) etcdRange(buf []byte, agent int) []byte {
	var id [36]byte
	key := base64.StdEncoding.EncodeToString(appendID(id[:0], &w.bios[agent]))
	const head, foot = `{"key":"`, `","serializable":true}`
	buf = append(buf, "POST /v3/kv/range HTTP/1.1\r\nHost: gateway.example:2379\r\nContent-Type: application/json\r\nContent-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(head)+len(key)+len(foot)), 10)
	buf = append(buf, "\r\n\r\n"+head...)
	return append(append(buf, key...), foot...)
}
