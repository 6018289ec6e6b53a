package inventory

import (
	"bytes"
	"fmt"
	"testing"
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
