package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/store"
)

// A world is the table that all are asked about, with a token for each tenant, and
// who asks.
type world struct {
	bench.World
	bios   []store.BIOSID
	tokens []string
}

func newWorld(vms, tenants, svms int) *world {
	w := &world{
		World:  bench.World{Seed: 1, Tenants: tenants, SVMs: svms, VMs: vms},
		bios:   make([]store.BIOSID, vms),
		tokens: make([]string, tenants),
	}
	for i := range w.bios {
		w.bios[i] = w.BIOS(i)
	}
	for i := range w.tokens {
		sum := sha256.Sum256(strconv.AppendInt([]byte("token of tenant "), int64(i), 10))
		w.tokens[i] = base64.RawURLEncoding.EncodeToString(sum[:]) // as long as a real one
	}
	return w
}

// write makes a gateway's data directory with the world in it.
func (w *world) write(dir string) (err error) {
	journal, err := store.OpenDir(dir)
	if err != nil {
		return err
	}
	table, err := store.Open(store.Config{Node: node, Journal: journal})
	if err != nil {
		return err
	}
	defer func() {
		if e := table.Close(); err == nil {
			err = e
		}
	}()
	if err := w.Load(table); err != nil {
		return err
	}
	return table.Update(func(tx *store.Tx) error {
		for i, token := range w.tokens {
			if _, err := tx.SetToken(store.Token{Tenant: w.Tenant(i).ID, Current: tokenSum(token)}); err != nil {
				return fmt.Errorf("token of tenant %d: %w", i, err)
			}
		}
		return nil
	})
}

// tokenSum is what a gateway keeps of a token.
func tokenSum(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// copyTo makes a second directory like the first.
func copyTo(to, from string) error { return os.CopyFS(to, os.DirFS(from)) }

// limit is how many SVMs an agent asks for: as many as make an answer of about 500
// bytes.
const limit = 5

// get appends the question of an agent over HTTP. All servers get the same bytes.
func (w *world) get(buf []byte, agent int) []byte {
	buf = append(buf, "GET /v1/agents/"...)
	buf = appendID(buf, &w.bios[agent])
	buf = append(buf, "/svm?version=12.0&os=server&limit="...)
	buf = strconv.AppendInt(buf, limit, 10)
	buf = append(buf, " HTTP/1.1\r\nHost: gateway.example:7270\r\nAuthorization: Bearer "...)
	buf = append(buf, w.tokens[agent%len(w.tokens)]...)
	return append(buf, "\r\n\r\n"...)
}

// appendID appends a BIOS ID as it is mostly written.
func appendID(buf []byte, id *store.BIOSID) []byte {
	buf = hex.AppendEncode(buf, id[:4])
	for _, from := range [...]int{4, 6, 8} {
		buf = hex.AppendEncode(append(buf, '-'), id[from:from+2])
	}
	return hex.AppendEncode(append(buf, '-'), id[10:])
}

var assigned = []byte(`{"result":"assigned"`)

// isAssigned reports whether the body is a gateway's answer with SVMs in it.
func isAssigned(body []byte) bool {
	return bytes.HasPrefix(body, assigned) && bytes.Count(body, []byte(`"address"`)) == limit
}

// isSize returns a check of bodies for nothing but their size.
func isSize(size int) func([]byte) bool {
	return func(body []byte) bool { return len(body) == size }
}
