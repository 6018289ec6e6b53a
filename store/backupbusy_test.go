package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// manyVMs is a change of the VMs below n; those of a few thousand do not fit into
// one piece of a backup.
func manyVMs(n int, name string) func(*Tx) error {
	text := strings.Repeat("x", 400)
	return func(tx *Tx) error {
		var err error
		for i := range n {
			err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(i), ID: VMID{1}, Name: name, UserData: text})))
		}
		return err
	}
}

// A backup goes on as long as less and less changes while it is taken, and gives
// up when it would never end.
func TestBackupOfATableThatChangesMuch(t *testing.T) {
	const vms = 5000
	for _, tt := range []struct {
		name string
		less int // VMs that change with every piece
		want string
	}{
		{"less and less", 50, ""},
		{"always as much", 0, "changes faster than the backup is taken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := open(t, Config{})
			x.must(t, manyVMs(vms, "0"))
			var b bytes.Buffer
			pieces := 0
			err := x.Backup(t.Context(), writerFunc(func(p []byte) (int, error) {
				if pieces++; pieces > 100 {
					return 0, errors.New("it does not end")
				}
				x.must(t, manyVMs(max(0, vms-tt.less*pieces), fmt.Sprint(pieces)))
				return b.Write(p)
			}))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("after %d pieces Backup = %v, want an error with %q", pieces, err, tt.want)
				}
				return
			}
			if err != nil || pieces < 15 {
				t.Errorf("Backup in %d pieces = %v, want nil, and so many that it took more than 8 rounds", pieces, err)
			}
		})
	}
}

// What has changed is read in small parts, so that writers need not wait for all
// of it: between two parts they can change what was not read yet.
func TestBackupReadsChangesInParts(t *testing.T) {
	const vms = 3 * changedChunk
	x := open(t, Config{})
	x.must(t, manyVMs(vms, "0"))
	var b bytes.Buffer
	pieces := 0
	err := x.Backup(t.Context(), writerFunc(func(p []byte) (int, error) {
		if pieces++; pieces < 9 { // later nothing changes: the table is what the last piece has
			x.must(t, manyVMs(vms, fmt.Sprint(pieces)))
		}
		return b.Write(p)
	}))
	if err != nil {
		t.Fatal(err)
	}
	backup := bytes.NewReader(b.Bytes())
	s, err := openSnapshot(backup, backup.Size())
	if err != nil {
		t.Fatal(err)
	}
	names, read := map[string]bool{}, 0
	err = s.records(func(r Record) error {
		if row, err := decodeVM(r.Value); err == nil && r.Key.Kind == KindVM && read < vms { // of the first round
			names[row.Name] = true
			read++
		}
		return nil
	})
	if err != nil || len(names) < 2 {
		t.Errorf("%v; %d VMs were read at the moments %v, want several", err, read, names)
	}
	y := newTable(Config{})
	if err := y.loadSnapshot(backup, backup.Size()); err != nil {
		t.Fatal(err)
	}
	if vm, _ := y.VM(numberedBIOS(vms - 1)); vm.Name != "8" {
		t.Errorf("the backup has the change %s, want the last", vm.Name)
	}
}
