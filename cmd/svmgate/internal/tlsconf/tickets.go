package tlsconf

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"os"
	"slices"
	"strconv"
	"time"
)

// ticketEpoch is how long tickets are issued with one key. Those of the epoch before are
// still good, so that a ticket is for 12 to 24 hours; and those of the next, because
// clocks of gateways differ.
const ticketEpoch = 12 * time.Hour

// Ring reads the secrets that the gateways of a cluster share: with what comes of the
// first, tickets are issued, and with what comes of all they are accepted.
type Ring func() ([][]byte, error)

// tickets are the keys by which gateways resume each other's sessions. They are never
// sent: each gateway derives them from the ring, for a plane and an epoch.
type tickets struct {
	file string // of the ring
	read Ring

	stamp stamp // of the file when it was last read
	ring  [][]byte
	epoch int64
	fresh bool // the configurations have the keys of ring and epoch
}

// An issuer is a configuration whose tickets are shared with the same plane of others.
type issuer struct {
	plane  string
	config *tls.Config
}

// Share makes all configurations issue and accept tickets of keys that are derived from
// secrets, which read reads from a file; it is read again when it changes. So a session
// that began at one gateway is resumed at another with the same secrets, on the same
// plane. If the secrets can not be read the error is read's, and nothing is shared.
//
// Who has the secrets can read the tickets, and forge them, as a gateway can. Of TLS 1.3
// that gives away no recorded session: resuming takes a key exchange of its own, and early
// data is not spoken. Of TLS 1.2 it would; so that is not resumed from then on.
func (f *Files) Share(file string, read Ring) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &tickets{file: file, read: read, stamp: stampOf(file)}
	var err error
	if t.ring, err = read(); err != nil {
		return err
	}
	f.tickets.Store(t)
	f.refreshLocked(time.Now())
	return nil
}

// refreshLocked gives the configurations the ticket keys of a time.
func (f *Files) refreshLocked(now time.Time) {
	t := f.tickets.Load()
	if t == nil {
		return
	}
	if s := stampOf(t.file); s != t.stamp {
		t.stamp = s
		ring, err := t.read()
		if err != nil {
			f.log.Error("the changed keys of the cluster can not be read: tickets of TLS sessions are made with the old ones", "reason", err.Error())
		} else if !slices.EqualFunc(ring, t.ring, slices.Equal) {
			t.ring, t.fresh = ring, false
		}
	}
	if epoch := now.Unix() / int64(ticketEpoch/time.Second); epoch != t.epoch {
		t.epoch, t.fresh = epoch, false
	}
	if t.fresh {
		return
	}
	for _, i := range f.issuers {
		i.config.SetSessionTicketKeys(t.keys(i.plane))
	}
	t.fresh = true
}

// keys returns the ticket keys of a plane: the first issues, all accept.
func (t *tickets) keys(plane string) (keys [][32]byte) {
	for _, epoch := range []int64{t.epoch, t.epoch - 1, t.epoch + 1} {
		for _, secret := range t.ring {
			keys = append(keys, ticketKey(secret, plane, epoch))
		}
	}
	return keys
}

func ticketKey(secret []byte, plane string, epoch int64) [32]byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "svmgate tls tickets 1/"+plane+"/"+strconv.FormatInt(epoch, 10), 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return [32]byte(key)
}

// A stamp tells two states of a file apart.
type stamp struct {
	modified time.Time
	size     int64
	missing  bool
}

func stampOf(path string) (s stamp) {
	info, err := os.Stat(path)
	if err != nil {
		s.missing = true
		return s
	}
	s.modified, s.size = info.ModTime(), info.Size()
	return s
}
