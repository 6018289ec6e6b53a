package adminapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed openapi.yaml
var openAPISource []byte

// documentJSON is the document as it is served. The source is YAML because
// people write it.
var documentJSON = sync.OnceValues(func() ([]byte, error) {
	var document map[string]any
	if err := yaml.Unmarshal(openAPISource, &document); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.Marshal(document)
})

func (*API) openAPI(c *call) error {
	c.ctx.SetContentType("application/json")
	c.ctx.SetBody(c.api.document)
	return nil
}
