package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A KeyChange is what is to be done about encryption keys.
type KeyChange string

// Changes of keys. To replace one: add the new one everywhere, use it everywhere,
// remove the old one everywhere.
const (
	ListKeys  KeyChange = "list"
	AddKey    KeyChange = "add"    // decrypt with it, too
	UseKey    KeyChange = "use"    // encrypt with it
	RemoveKey KeyChange = "remove" // not the one in use
)

// A KeyAnswer is what a member says of a change of keys.
type KeyAnswer struct {
	Node string   `json:"node"`
	Keys []string `json:"keys"` // short digests, the one in use first: enough to tell them apart
	Err  string   `json:"error,omitempty"`
}

const (
	maxKeys = 8 // that a node holds: every packet may be tried with each

	// keysReserved is how long a member lets nobody else change keys: from the
	// question whether a change would do harm until the change.
	keysReserved = 3 * askAllWait
)

var errNotEncrypted = errors.New("cluster: traffic is not encrypted; restart every node with a key, then keys can be changed")

// keys are those that traffic is encrypted with.
type keys struct {
	ring *memberlist.Keyring // nil if traffic is not encrypted
	save func([][]byte) error

	mu     sync.Mutex
	by     string    // who is about to change keys
	permit uint64    // what it was given for that
	until  time.Time // when that is not believed any more
}

func (k *keys) init(all [][]byte, save func([][]byte) error) error {
	k.save = save
	if len(all) == 0 {
		return nil
	}
	if len(all) > maxKeys {
		return fmt.Errorf("cluster: %d Keys, and a node holds %d at most", len(all), maxKeys)
	}
	own := make([][]byte, len(all)) // the ring keeps what it is given
	for i := range all {
		if own[i] = slices.Clone(all[i]); memberlist.ValidateKey(own[i]) != nil {
			return fmt.Errorf("cluster: Keys[%d] has %d bytes, and must have 16, 24 or 32", i, len(own[i]))
		}
	}
	ring, err := memberlist.NewKeyring(own, own[0])
	k.ring = ring
	return err
}

// A keyStep is a part of a change: first all members are asked what they hold, and
// to let nobody else change anything meanwhile; then to change, or that it is off.
// For that each gives a permit that nobody can know before: encryption does not keep
// strangers from sending again what they heard earlier.
type keyStep uint8

const (
	listStep keyStep = 1 + iota
	reserveStep
	changeStep
	releaseStep
)

// A keyAsk is the body of an askKeys.
type keyAsk struct {
	step   keyStep
	permit uint64
	change KeyChange
	key    []byte
}

func (q keyAsk) encode() []byte {
	buf := binary.BigEndian.AppendUint64([]byte{byte(q.step)}, q.permit)
	return appendBytes(appendBytes(buf, q.change), q.key)
}

func decodeKeyAsk(body []byte) (keyAsk, error) {
	r := reader{rest: body}
	q := keyAsk{step: keyStep(r.byte()), permit: r.uint64(), change: KeyChange(r.bytes(maxName)), key: r.bytes(32)}
	return q, r.end()
}

// ChangeKeys makes a change on every known member, this one included, and returns
// what each says of it, by name. A change is refused everywhere, before anything is
// done, if it could part the cluster: using a key that a known member does not have,
// removing one that a member uses. A member that does not answer may be such a one.
func (n *Node) ChangeKeys(ctx context.Context, change KeyChange, key []byte) ([]KeyAnswer, error) {
	switch {
	case n.keys.ring == nil:
		return nil, errNotEncrypted
	case change == ListKeys:
		answers, _ := n.askKeys(ctx, keyAsk{step: listStep}, nil)
		return answers, nil
	case change != AddKey && change != UseKey && change != RemoveKey:
		return nil, fmt.Errorf("cluster: no such change of keys as %q: use list, add, use or remove", change)
	case memberlist.ValidateKey(key) != nil:
		return nil, fmt.Errorf("cluster: a key has 16, 24 or 32 bytes, not %d", len(key))
	}
	answers, permits := n.askKeys(ctx, keyAsk{step: reserveStep}, nil)
	if err := refuseKeys(change, keyName(key), answers); err != nil {
		n.askKeys(ctx, keyAsk{step: releaseStep}, permits)
		return answers, err
	}
	answers, _ = n.askKeys(ctx, keyAsk{step: changeStep, change: change, key: key}, permits)
	return answers, nil
}

// refuseKeys returns an error if a change could part the cluster, as far as its
// members say.
func refuseKeys(change KeyChange, key string, answers []KeyAnswer) error {
	for _, a := range answers {
		var why string
		switch {
		case a.Err != "" && change == AddKey:
			continue // it gets the key when it is back: nobody can use it before
		case a.Err != "":
			why = a.Err
		case change == UseKey && !slices.Contains(a.Keys, key):
			why = "it does not have the key; add it first"
		case change == RemoveKey && len(a.Keys) > 0 && a.Keys[0] == key:
			why = "it uses the key; use another first"
		default:
			continue
		}
		return fmt.Errorf("cluster: refused to %s key %s, because of member %s: %s", change, key, a.Node, why)
	}
	return nil
}

// askKeys asks every known member, with the permit that it gave, and returns the
// permits that they give.
func (n *Node) askKeys(ctx context.Context, q keyAsk, before map[string]uint64) (answers []KeyAnswer, permits map[string]uint64) {
	all := n.askAll(ctx, askKeys, func(name string) []byte {
		own := q
		own.permit = before[name]
		return own.encode()
	})
	permits = make(map[string]uint64)
	for _, s := range all {
		a := KeyAnswer{Node: s.name, Keys: []string{}}
		r := reader{rest: s.body}
		if s.err == nil {
			permits[s.name] = r.uint64()
			for len(r.rest) > 0 {
				a.Keys = append(a.Keys, hex.EncodeToString(r.take(keyNameSize)))
			}
			s.err = r.end()
		}
		if s.err != nil {
			a.Err = s.err.Error()
		}
		answers = append(answers, a)
	}
	return answers, permits
}

const keyNameSize = 8

// keyName tells keys apart. Keys are random: no digest of one helps to find it.
func keyName(key []byte) string {
	sum := sha256.Sum256(append([]byte("cluster key\x00"), key...))
	return hex.EncodeToString(sum[:keyNameSize])
}

// answerKeys answers askKeys with the names of the keys this node then holds.
func (n *Node) answerKeys(peer string, body []byte) ([]byte, error) {
	q, err := decodeKeyAsk(body)
	if err != nil {
		return nil, err
	}
	k := &n.keys
	if k.ring == nil {
		return nil, errNotEncrypted
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	permit, err := k.takeLocked(peer, q)
	if err != nil {
		return nil, err
	}
	if q.step == changeStep {
		n.log.Info("encryption keys changed", "change", q.change, "key", keyName(q.key), "by", peer)
	}
	buf := binary.BigEndian.AppendUint64(nil, permit)
	for _, key := range k.ring.GetKeys() {
		buf, err = hex.AppendDecode(buf, []byte(keyName(key)))
	}
	return buf, err
}

// takeLocked takes a step, and returns the permit for the next.
func (k *keys) takeLocked(peer string, q keyAsk) (permit uint64, err error) {
	reserved := k.by != "" && time.Now().Before(k.until)
	permitted := reserved && k.by == peer && k.permit == q.permit
	switch {
	case q.step == listStep:
		return 0, nil
	case q.step == reserveStep && reserved && k.by != peer:
		return 0, fmt.Errorf("%s is about to change keys; try again in %v", k.by, keysReserved)
	case q.step == reserveStep:
		var random [8]byte
		_, _ = rand.Read(random[:])
		k.by, k.permit, k.until = peer, binary.BigEndian.Uint64(random[:]), time.Now().Add(keysReserved)
		return k.permit, nil
	case q.step == changeStep && !permitted:
		return 0, errors.New("the change came too late; try again")
	case q.step == changeStep:
		k.by = ""
		return 0, k.changeLocked(q.change, q.key)
	case q.step == releaseStep && permitted:
		k.by = ""
		return 0, nil
	case q.step == releaseStep:
		return 0, nil
	}
	return 0, errMalformed
}

// changeLocked makes a change that lasts, or none.
func (k *keys) changeLocked(change KeyChange, key []byte) error {
	if memberlist.ValidateKey(key) != nil {
		return errMalformed
	}
	key = slices.Clone(key)
	is := func(other []byte) bool { return bytes.Equal(other, key) }
	held := k.ring.GetKeys()
	at := slices.IndexFunc(held, is)
	next := slices.DeleteFunc(slices.Clone(held), is)
	switch {
	case change == AddKey && at < 0 && len(held) >= maxKeys:
		return fmt.Errorf("there are %d keys already; remove one first", maxKeys)
	case change == AddKey && at < 0:
		return k.setLocked(append(next, key), func() error { return k.ring.AddKey(key) })
	case change == UseKey && at < 0:
		return errors.New("the key is not here; add it first")
	case change == UseKey && at > 0:
		return k.setLocked(slices.Insert(next, 0, key), func() error { return k.ring.UseKey(key) })
	case change == RemoveKey && at == 0:
		return errors.New("the key is in use; use another first")
	case change == RemoveKey && at > 0:
		return k.setLocked(next, func() error { return k.drop(held[at:]) })
	}
	return nil // as it is already
}

// setLocked saves what keys there will be, then makes it so.
func (k *keys) setLocked(next [][]byte, do func() error) error {
	if k.save != nil {
		if err := k.save(next); err != nil {
			return fmt.Errorf("nothing was changed, because the keys could not be saved: %w", err)
		}
	}
	return do()
}

// drop removes the first of the ring's last keys. The ring moves what is behind a
// key it removes, in a slice that whoever decrypts is just reading: so what is
// behind goes first, and comes back.
func (k *keys) drop(last [][]byte) error {
	last = slices.Clone(last)
	for _, key := range slices.Backward(last) {
		if err := k.ring.RemoveKey(key); err != nil {
			return err
		}
	}
	for _, key := range last[1:] {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}
