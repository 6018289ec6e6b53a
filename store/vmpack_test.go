package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// anyEntry generates the records of a VM as they are, and as a newer release, an
// older one or somebody hostile might write them. The tenants have their index in
// d.
func anyEntry(d *dictionary, id BIOSID) *rapid.Generator[vmEntry] {
	return rapid.Custom(func(t *rapid.T) vmEntry {
		row, place := anyVMRow.Draw(t, "registration"), anyPlacementRow.Draw(t, "placement")
		if row.Tenant[0]%4 == 0 {
			row.Tenant = TenantID{}
		}
		if _, ok := d.tenantIndex[row.Tenant]; !ok {
			d.addTenant(row.Tenant)
		}
		if rapid.Bool().Draw(t, "recent") {
			row.Created = milliTime(row.Since.Millis() + 5)
		}
		e := vmEntry{
			registration: Record{Key{KindVM, id}, anyVersion.Draw(t, "registered"), row.encode()},
			placement:    Record{Key{KindPlacement, id}, anyVersion.Draw(t, "placed"), place.encode()},
		}
		if rapid.Bool().Draw(t, "by one writer") {
			e.placement.Version = Version{e.registration.Version.Clock + 1, e.registration.Version.Node}
		}
		for _, r := range []*Record{&e.registration, &e.placement} {
			deform(t, r)
		}
		return e
	})
}

func deform(t *rapid.T, r *Record) {
	switch rapid.IntRange(0, 9).Draw(t, "form") {
	case 0:
		r.Version, r.Value = Version{}, nil
	case 1:
		r.Value = nil
	case 2:
		r.Value = append(r.Value, "newer"...)
	case 3:
		r.Value = r.Value[:rapid.IntRange(1, len(r.Value)).Draw(t, "cut")]
	case 4:
		r.Value = rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "bytes")
	case 5: // a number that is longer than it need be
		r.Value = append([]byte{valueFormat, 0x80, 0}, r.Value[1:]...)
	}
}

// lossless checks that what comes out of an entry is what went in.
func lossless(t failer, d *dictionary, id BIOSID, e vmEntry) {
	t.Helper()
	body := bytes.Clone(d.pack(&e))
	got, err := d.unpack(id, body)
	if diff := cmp.Diff(e, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(vmEntry{})); diff != "" || err != nil {
		t.Fatalf("entry %x: %v (-put +got)\n%s", body, err, diff)
	}
	whole := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	cut, rest, ok := cutEntry(append(whole, "next"...))
	if !ok || !bytes.Equal(cut, body) || string(rest) != "next" || entrySize(whole) != len(whole) {
		t.Fatalf("entry %x does not say where it ends", whole)
	}
}

func TestEntriesKeepEveryByte(t *testing.T) {
	id := BIOSID{7}
	d := newDictionary()
	rapid.Check(t, func(t *rapid.T) {
		lossless(t, d, id, anyEntry(d, id).Draw(t, "entry"))
	})
	if len(d.paths) < 3 || len(d.texts) < 2 || len(d.nodes) < 3 {
		t.Errorf("%d paths, %d texts, %d nodes: hardly anything was packed", len(d.paths), len(d.texts), len(d.nodes))
	}
}

// An entry with another placement is the one that both records make.
func TestEntriesTakeAnotherPlacement(t *testing.T) {
	id := BIOSID{7}
	d := newDictionary()
	rapid.Check(t, func(t *rapid.T) {
		e, other := anyEntry(d, id).Draw(t, "entry"), anyEntry(d, id).Draw(t, "other")
		if other.placement.Version.IsZero() {
			return // nobody writes that
		}
		got, err := d.repack(bytes.Clone(d.pack(&e)), &other.placement)
		got = bytes.Clone(got)
		e.placement = other.placement
		facts, _ := d.factsOf(&d.last)
		if want := d.pack(&e); !bytes.Equal(got, want) || err != nil {
			t.Fatalf("entry %x, %v; want %x", got, err, want)
		}
		if want, _ := d.factsOf(&d.last); facts != want {
			t.Fatalf("facts %x; want %x", facts, want)
		}
	})
}

// A dictionary that has no room for a node, a text, a name or a path costs space
// and nothing else.
func TestEntriesKeepWhatADictionaryHasNoRoomFor(t *testing.T) {
	id := BIOSID{7}
	row := vmRow{Seen: Version{3, 77}, Since: Version{5, 78}, Name: "vm", UserData: "u", Created: milliTime(9)}
	place := placementRow{Path: Path{"h", "c", "z"}, OS: OSServer, Kind: AgentLinux, Version: "12.0.1"}
	e := vmEntry{
		registration: Record{Key{KindVM, id}, Version{6, 79}, row.encode()},
		placement:    Record{Key{KindPlacement, id}, Version{7, 80}, place.encode()},
	}
	for name, fill := range map[string]func(*dictionary){
		"nodes":   func(d *dictionary) { d.nodes = make([]uint64, maxNodes+1) },
		"texts":   func(d *dictionary) { d.texts = make([]string, MaxVersions+1) },
		"names":   func(d *dictionary) { d.most = 2 },
		"paths":   func(d *dictionary) { d.paths = make([]PathSymbols, MaxPaths+1) },
		"nothing": func(*dictionary) {},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDictionary()
			fill(d)
			nodes, texts := len(d.nodes), len(d.texts)
			lossless(t, d, id, e)
			if len(d.nodes) > maxNodes+1 || len(d.texts) > MaxVersions+1 {
				t.Errorf("the dictionary has %d nodes and %d texts", len(d.nodes), len(d.texts))
			}
			if grown := len(d.nodes) > nodes; grown != (name != "nodes") {
				t.Errorf("nodes were numbered: %v", grown)
			}
			if grown := len(d.texts) > texts; grown != (name == "nodes" || name == "nothing") {
				t.Errorf("texts were numbered: %v", grown)
			}
		})
	}
}

// What a question sees of an entry is what its rows say.
func TestFactsOfAnEntryAreThoseOfItsRows(t *testing.T) {
	id := BIOSID{7}
	d := newDictionary()
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry(d, id).Draw(t, "entry")
		row, err := decodeVM(e.registration.Value)
		if _, ok := d.tenantIndex[row.Tenant]; err == nil && !ok {
			d.addTenant(row.Tenant)
		}
		place, placeErr := decodePlacement(e.placement.Value)
		if placeErr == nil { // as commit does
			d.pathIndex(place.Path)
			d.versionIndex(place.Version)
		} else {
			place = placementRow{}
		}
		got, factsErr := d.facts(d.pack(&e))
		if last, err := d.factsOf(&d.last); last != got || (err == nil) != (factsErr == nil) {
			t.Fatalf("packing tells facts %x, %v; reading what was packed %x, %v", last, err, got, factsErr)
		}
		switch {
		case err != nil:
			if got != factsClaimed || factsErr != nil {
				t.Fatalf("a VM that is not registered has facts %x, %v", got, factsErr)
			}
		case placeErr != nil && !e.placement.Deleted():
			if factsErr == nil {
				t.Fatalf("a placement that can not be read has facts %x", got)
			}
		default:
			path, _ := d.knownPath(place.Path)
			version, _ := d.versionIndex(place.Version)
			want := packFacts(uint32(d.tenantIndex[row.Tenant]), path, version, place.OS, place.Kind)
			if got != want || factsErr != nil {
				t.Fatalf("facts %x, %v; want %x", got, factsErr, want)
			}
		}
	})
}

// An entry that refers to what the dictionary does not have is refused, as is one
// of a time or a word that nobody writes.
func TestEntriesOutsideTheirDictionaryAreRefused(t *testing.T) {
	d := sampleDictionary()
	body := func(node, tenant, path, word uint64, created int64) []byte {
		b := append([]byte{byte(packed) | byte(packed)<<2}, make([]byte, 8)...)
		b = binary.AppendUvarint(b, node)
		b = append(b, 0) // Since
		b = binary.AppendUvarint(b, tenant)
		b = append(b, 0) // name
		b = binary.AppendVarint(b, created)
		b = append(b, 0, 1) // version of the placement
		return binary.AppendUvarint(binary.AppendUvarint(b, path), word)
	}
	tests := []struct {
		name string
		body []byte
		ok   bool
	}{
		{"the last of everything", body(3, 3, 3, 3<<4|2<<2|2, maxMillis), true},
		{"node", body(4, 3, 3, 0, 0), false},
		{"tenant", body(3, 4, 3, 0, 0), false},
		{"path", body(3, 3, 4, 0, 0), false},
		{"version", body(3, 3, 3, 4<<4, 0), false},
		{"guest OS", body(3, 3, 3, 3<<2, 0), false},
		{"agent kind", body(3, 3, 3, 3, 0), false},
		{"late", body(3, 3, 3, 0, maxMillis+1), false},
		{"early", body(3, 3, 3, 0, minMillis-1), false},
		{"a byte more", append(body(3, 3, 3, 0, 0), 0), false},
	}
	for _, tt := range tests {
		_, err := d.unpack(BIOSID{1}, tt.body)
		if _, facts := d.facts(tt.body); (err == nil) != tt.ok || (facts == nil) != tt.ok {
			t.Errorf("%s: %v and %v", tt.name, err, facts)
		}
	}
}

// A VM with a name of 12 bytes, registered and placed by one Update, takes at
// most 56 bytes in its arena, and 20 once it is gone.
func TestEntriesAreSmall(t *testing.T) {
	table := open(t, Config{})
	for n := range 5000 {
		table.symbols.pathIndex(Path{Host: fmt.Sprint("esx-", n), Cluster: "c", Zone: "dc"})
	}
	for range 2000 {
		table.symbols.addTenant(NewTenantID())
	}
	view := *table.view.Load()
	view.tenants = make([]*Tenant, len(table.symbols.tenants))
	table.view.Store(&view)
	acme := table.tenant(t, "acme")
	vm := VM{
		BIOS: BIOSID{1}, Tenant: acme, Name: "web-00000001", OS: OSServer, Kind: AgentLinux, Version: "12.0.0.455",
		Path: Path{Host: "esx-4999", Cluster: "c", Zone: "dc"},
	}
	table.must(t, func(tx *Tx) error { _, err := tx.PutVM(vm); return err })
	slot, _ := table.vms.find(&vm.BIOS)
	if n := 1 + len(table.vms.packed(slot)); n > 56 {
		t.Errorf("a VM takes %d bytes, want at most 56", n)
	}
	table.deleteVM(t, vm.BIOS)
	if n := 1 + len(table.vms.packed(slot)); n > 20 {
		t.Errorf("a VM that is gone takes %d bytes, want at most 20", n)
	}
}

// sampleDictionary numbers a little of everything.
func sampleDictionary() *dictionary {
	d := newDictionary()
	for i := range 3 {
		d.addTenant(TenantID{byte(i + 1)})
		d.pathIndex(Path{Host: fmt.Sprint("host-", i), Cluster: "c", Zone: "z"})
		d.textIndex(fmt.Sprint("12.", i, ".455"))
		d.nodeIndex(uint64(i) << 40)
	}
	return d
}

// sampleEntry is the nth of some entries of every form.
func sampleEntry(n int, id BIOSID) vmEntry {
	row := vmRow{
		Since: Version{worldEpoch + 6, 0}, Tenant: TenantID{byte(n%3 + 1)}, ID: VMID{1}, Name: "web-00000001",
		Created: milliTime(int64(worldEpoch >> 16)),
	}
	place := placementRow{Path: Path{"host-1", "c", "z"}, OS: OSServer, Kind: AgentLinux, Version: "12.0.455"}
	e := vmEntry{
		registration: Record{Key{KindVM, id}, Version{worldEpoch + 7, 0}, row.encode()},
		placement:    Record{Key{KindPlacement, id}, Version{worldEpoch + 8, 0}, place.encode()},
	}
	switch n % 5 {
	case 1:
		e.registration.Value, e.placement.Value = nil, nil
	case 2:
		e.registration.Value = append(e.registration.Value, "newer"...)
	case 3:
		e.placement.Value = append(e.placement.Value, "newer"...)
	case 4:
		row.Seen, row.Since.Node, row.ID, row.UserData = Version{worldEpoch, 9}, 1<<40, VMID{}, "u"
		e.registration.Value, e.placement = row.encode(), Record{Key: e.placement.Key}
	}
	return e
}

// FuzzEntry reads entries from anywhere: what can be read is written and read
// again as the same, and facts are within the dictionary.
func FuzzEntry(f *testing.F) {
	for n := range 5 {
		e := sampleEntry(n, BIOSID{1})
		f.Add(bytes.Clone(sampleDictionary().pack(&e)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := sampleDictionary()
		body = body[:min(len(body), 1<<12)]
		if facts, err := d.facts(body); err == nil {
			s := Slot{facts: facts}
			if s.Tenant() >= len(d.tenants) || s.Path() >= len(d.paths) || s.Version() >= len(d.versions) {
				t.Errorf("entry %x has facts %x", body, facts)
			}
		}
		if e, err := d.unpack(BIOSID{1}, body); err == nil {
			lossless(t, d, BIOSID{1}, e)
		}
	})
}
