package cli

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// keySize is that of new keys: AES-256.
const keySize = 32

func clusterKeysGenerate() *cobra.Command {
	return &cobra.Command{
		Use: "generate FILE", Short: "Make a new key and write it to a new file of mode 0600", Args: exactly("FILE"),
		Long: "Make a new random key and write it to a new file of mode 0600, for --cluster-key-file of every gateway,\n" +
			"or for svmgate cluster keys add. This asks no gateway.",
		Example: "  svmgate cluster keys generate cluster.key",
		RunE: func(_ *cobra.Command, args []string) error {
			key := make([]byte, keySize)
			rand.Read(key) // never fails
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key))
			return errors.Join(err, f.Sync(), f.Close())
		},
	}
}

// readKey reads the one key of a file, or of standard input. What it is, the
// gateway judges; it is a secret, so an error does not show it.
func readKey(cmd *cobra.Command, name string) (string, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usage("%w", err)
		}
		defer f.Close()
		in = f
	}
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var keys []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			keys = append(keys, line)
		}
	}
	if len(keys) != 1 {
		return "", usage("%s: has %s, want 1", name, plural(len(keys), "key"))
	}
	return keys[0], nil
}
