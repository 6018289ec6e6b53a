// Command samplegen makes the sample inventory. It fills a simulated vCenter
// with a small service provider, runs svmgate inventory vsphere against it over
// HTTPS, as an operator would, and writes what that reads:
//
//	go run ./cmd/svmgate/internal/inventory/vsphere/samplegen examples/sample
//
// The argument names the folder that has overlay.yaml and gets inventory.yaml.
// TestSampleIsCurrent fails when the committed file is not what this makes.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere/simvc"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: samplegen FOLDER (the one that has overlay.yaml, as examples/sample)")
		os.Exit(2)
	}
	text, err := sample(context.Background(), filepath.Join(os.Args[1], "overlay.yaml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(os.Args[1], "inventory.yaml"), text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "samplegen:", err)
		os.Exit(1)
	}
}

const header = `# A small service provider, as svmgate inventory vsphere reads it from a vCenter.
# Made from a simulated one; to change it, change that or overlay.yaml and run
#   go run ./cmd/svmgate/internal/inventory/vsphere/samplegen examples/sample
`

// sample returns the sample inventory under the given overlay.
func sample(ctx context.Context, overlay string) ([]byte, error) {
	vc, err := simvc.Start(ctx, provider())
	if err != nil {
		return nil, err
	}
	defer vc.Close()
	out := bytes.NewBufferString(header)
	cmd := vsphere.Command()
	cmd.SetOut(out)
	cmd.SetArgs([]string{
		"vsphere", "--url", vc.URL.String(), "--ca-file", vc.CAFile, "--svm-name", "^svm-", "--pin-svms", "--tenant-tag", "Customer",
		"--tenant-folder", "^/[^/]+/vm/Tenants/([^/]+)", "--overlay", overlay, "--strict", "--out", "-",
	})
	if err := cmd.ExecuteContext(ctx); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
