package watch_test

import (
	"fmt"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
)

// token is the agent token of a tenant.
func token(tenant int) string { return fmt.Sprint("token-", tenant) }

func tokenSum(tenant int) [32]byte { return auth.SumToken([]byte(token(tenant))) }
