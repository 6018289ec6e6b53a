package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// corefile is CoreDNS with two zones: one with a text of the size for each VM, one with
// an address for each.
const corefile = `text.peers.test:%[1]d {
	bind 127.0.0.1
	file %[2]s {
		reload 0
	}
}
hosts.peers.test:%[1]d {
	bind 127.0.0.1
	hosts %[3]s {
		no_reverse
		reload 0
	}
}
`

// Types of DNS records.
const (
	typeA   = 1
	typeTXT = 16
)

func (l *lab) askCoreDNS(ctx context.Context) error {
	program, err := l.goProgram(ctx, corednsModule, corednsVersion)
	if err != nil {
		return err
	}
	addr, err := freePort()
	if err != nil {
		return err
	}
	zone, hosts, conf := filepath.Join(l.dir, "zone"), filepath.Join(l.dir, "hosts"), filepath.Join(l.dir, "Corefile")
	if err := l.writeZones(zone, hosts); err != nil {
		return err
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, corefile, addr.Port(), zone, hosts), 0o600); err != nil {
		return err
	}
	text := question{ask: l.world.lookup("text", typeTXT), answered: dnsAnswer(l.size), datagrams: true}
	address := question{ask: l.world.lookup("hosts", typeA), answered: dnsAnswer(4), datagrams: true}
	p, err := l.run(ctx, addr, func() error {
		return errors.Join(l.once(addr.String(), text), l.once(addr.String(), address))
	}, program, "-conf", conf)
	if err != nil {
		return err
	}
	l.ask(plain, "CoreDNS, file, TXT over UDP", corednsVersion, p, plainConns, l.size, text)
	l.ask(plain, "CoreDNS, hosts, A over UDP", corednsVersion, p, plainConns, 4, address)
	return nil
}

// writeZones writes the records of all VMs.
func (l *lab) writeZones(zone, hosts string) error {
	zoneFile, err := os.Create(zone)
	if err != nil {
		return err
	}
	defer zoneFile.Close()
	hostsFile, err := os.Create(hosts)
	if err != nil {
		return err
	}
	defer hostsFile.Close()
	z, h := bufio.NewWriterSize(zoneFile, 1<<20), bufio.NewWriterSize(hostsFile, 1<<20)
	fmt.Fprintf(z, "$ORIGIN text.peers.test.\n$TTL 300\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n")
	const longest = 255 // of a string in a TXT record
	value := ""
	for left := l.size; left > 0; left -= longest {
		value += fmt.Sprintf(" %0*d", min(left, longest), 0)
	}
	var id []byte
	for i := range l.world.bios {
		id = appendID(id[:0], &l.world.bios[i])
		fmt.Fprintf(z, "%s TXT%s\n", id, value)
		fmt.Fprintf(h, "10.9.%d.%d %s.hosts.peers.test\n", i/250%250, i%250+1, id)
	}
	return errors.Join(z.Flush(), h.Flush())
}

// lookup returns a question for a VM's record.
func (w *world) lookup(zone string, kind byte) func([]byte, int) []byte {
	// One question; recursion is wished for, as by any stub; and an OPT record that
	// says how large an answer may be over UDP: 1,232 bytes, as is usual.
	head := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 36}
	tail := append([]byte{byte(len(zone))}, zone...)
	tail = append(tail, "\x05peers\x04test\x00"...)
	tail = append(tail, 0, kind, 0, 1, 0, 0, 41, 1232>>8, 1232&0xff, 0, 0, 0, 0, 0, 0)
	return func(buf []byte, agent int) []byte {
		return append(appendID(append(buf, head...), &w.bios[agent]), tail...)
	}
}

// dnsAnswer checks a datagram: an answer without an error, with a record, and of more
// bytes than that has.
func dnsAnswer(size int) func([]byte) (int, error) {
	return func(buf []byte) (int, error) {
		const header = 12
		switch {
		case len(buf) < header+size || buf[2]&0x80 == 0:
			return 0, errors.New("no answer from DNS")
		case buf[2]&0x02 != 0 || buf[3]&0x0f != 0:
			return 0, fmt.Errorf("an answer from DNS with code %d, truncated: %t", buf[3]&0x0f, buf[2]&0x02 != 0)
		case binary.BigEndian.Uint16(buf[6:]) == 0:
			return 0, errors.New("an answer from DNS without a record")
		}
		return len(buf), nil
	}
}

// once asks one question over UDP.
func (l *lab) once(addr string, q question) error {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(q.ask(nil, 0)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	_, err = q.answered(buf[:n])
	return err
}
