package inventory

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// BenchmarkRead reads files of 1,000 VMs and reports the time of one.
func BenchmarkRead(b *testing.B) {
	const vms = 1000
	text := map[Format]*bytes.Buffer{CSV: bytes.NewBufferString(CSVHeader + "\n"), NDJSON: {}, JSON: bytes.NewBufferString(`{"vms":[`), YAML: bytes.NewBufferString("vms:\n")}
	for i := range vms {
		id := fmt.Sprintf("4221a0c4-0000-4000-8000-%012d", i)
		path := fmt.Sprintf("dc1/c1/esx%d", i%64)
		record := fmt.Sprintf(`{"biosId": %q, "tenant": "t%d", "name": "vm%d", "os": "server", "kind": "linux", "path": {"host": %q, "cluster": "dc1/c1", "zone": "dc1"}}`, id, i%100, i, path)
		fmt.Fprintf(text[CSV], "%s,t%d,vm%d,server,linux,%s,dc1/c1,dc1\n", id, i%100, i, path)
		fmt.Fprintf(text[NDJSON], "{\"vm\":%s}\n", record)
		fmt.Fprintf(text[YAML], "- %s\n", record)
		if i > 0 {
			text[JSON].WriteString(",\n")
		}
		text[JSON].WriteString(record)
	}
	text[JSON].WriteString("]}")
	for f := range Format(4) {
		b.Run("format="+f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				err := Read(bytes.NewReader(text[f].Bytes()), f, func(item Item) error {
					if item.Err != nil {
						return item.Err
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*vms), "ns/VM")
		})
	}
}

// BenchmarkLoad loads 100,000 VMs of 1,000 tenants as CSV into a table in memory
// and reports the time of one.
func BenchmarkLoad(b *testing.B) {
	vms := 100_000
	if testing.Short() {
		vms = 1000
	}
	var tenants, text bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&tenants, `{"tenant":{"name":"t%d","status":"active"}}`+"\n", i)
	}
	text.WriteString(CSVHeader + "\n")
	for i := range vms {
		fmt.Fprintf(&text, "4221a0c4-0000-4000-8000-%012d,t%d,vm%d,server,linux,dc1/c%d/esx%d,dc1/c%d,dc1\n", i*7919%1000003, i*31%1000, i, i%250, i%4000, i%250)
	}
	b.Run(fmt.Sprintf("format=csv/vms=%d", vms), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			table, err := store.Open(store.Config{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Load(table, bytes.NewReader(tenants.Bytes()), NDJSON, Options{}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			r, err := Load(table, bytes.NewReader(text.Bytes()), CSV, Options{})
			if err != nil || r.Changed != vms {
				b.Fatalf("%d changed, %v", r.Changed, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*vms), "ns/VM")
	})
}
