// Command loadbalancer runs three gateways behind HAProxy and behind nginx, and restarts
// them one after the other while agents ask. Run it with
//
//	go run ./examples/loadbalancer
//
// haproxy.cfg and nginx.conf are the configurations, with the reason for each line that is
// not obvious. A proxy that is not installed is left out. All addresses are of this host:
// gateways at 127.0.0.11 to 13, proxies at 127.0.0.10.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	rate := flag.Int("rate", 500, "questions a second to each proxy")
	svmgate := flag.String("svmgate", "", "program of the gateways; if not given, it is built")
	folder := flag.String("configs", "examples/loadbalancer", "folder of haproxy.cfg and nginx.conf")
	flag.Parse()
	if err := run(*svmgate, *folder, *rate); err != nil {
		log.Fatal(err)
	}
}

func run(svmgate, folder string, rate int) (err error) {
	s, err := newSite(svmgate, folder)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.startGateways(); err != nil {
		return err
	}
	if err := s.startProxies(os.Stdout); err != nil {
		return err
	}
	var loads []*load
	for _, p := range s.proxies {
		loads = append(loads, startLoad(p.name, p.addr, rate))
	}
	time.Sleep(time.Second)
	restarts := s.restartAll(os.Stdout)
	time.Sleep(time.Second)
	failed := 0
	for _, l := range loads {
		l.end()
		fmt.Printf("%s: %d questions, %d failed, the slowest took %v\n", l.name, l.asked, l.failed, l.slowest.Round(time.Millisecond))
		for _, reason := range l.reasons {
			fmt.Println("   ", reason)
		}
		failed += l.failed
	}
	if restarts == nil && failed > 0 {
		return fmt.Errorf("%d questions failed", failed)
	}
	return restarts
}
