//go:build !linux

package store

import (
	"errors"
	"os"
	"runtime"
)

func giveWay() { runtime.Gosched() }

func setDirect(*os.File, bool) error { return errors.ErrUnsupported }
