package store

import (
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// The hash of a BIOS ID is XXH64, which gateways and their lists rely on.
func TestHashBIOSIsXXH64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 10_000 {
		var id BIOSID
		for i := range id {
			id[i] = byte(r.Uint32() >> (n % 25))
		}
		if got, want := hashBIOS(&id), xxhash.Sum64(id[:]); got != want {
			t.Fatalf("the hash of %v is %#x, want %#x", id, got, want)
		}
	}
}

// A slot tells the hash of its VM, whether there is one or not.
func TestSlotTellsTheHash(t *testing.T) {
	table, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	known, stranger := BIOSID{1}, BIOSID{2}
	err = table.Update(func(tx *Tx) error {
		_, err := tx.PutVM(VM{BIOS: known})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []BIOSID{known, stranger} {
		slot, ok := table.Lookup(&id)
		if want := xxhash.Sum64(id[:]); slot.Hash() != want || ok != (id == known) {
			t.Errorf("%v: found %v, hash %#x; want %v, %#x", id, ok, slot.Hash(), id == known, want)
		}
	}
}
