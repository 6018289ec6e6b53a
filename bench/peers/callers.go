package main

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// random returns a source of random agents.
func (w *world) random(seed uint64) func() int {
	r := rand.New(rand.NewPCG(seed, seed))
	return func() int { return r.IntN(len(w.bios)) }
}

// together makes a slice of callers, each of which asks one question after the other
// on a goroutine of its own. It is for what an [asker] can not speak.
func together(callers []func() error) func(time.Duration) (int, error) {
	return func(lasts time.Duration) (int, error) {
		end := time.Now().Add(lasts)
		var answers atomic.Int64
		var failed atomic.Pointer[error]
		var group sync.WaitGroup
		for _, call := range callers {
			group.Go(func() {
				n := int64(0)
				for time.Now().Before(end) && failed.Load() == nil {
					if err := call(); err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
					n++
				}
				answers.Add(n)
			})
		}
		group.Wait()
		if err := failed.Load(); err != nil {
			return 0, *err
		}
		return int(answers.Load()), nil
	}
}
