package bench

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Rate is that of a step: in requests a second, or as a part of the capacity.
type Rate struct {
	PerSecond  float64
	OfCapacity float64       // 0.8 is 80 %; 0 if PerSecond is set
	Duration   time.Duration // 0 means that of the Config
}

// ParseRates reads rates such as "2000,4000,8000:60s" or "80%:60s,200%", or with
// steps such as "1000..16000": so many, each by the same factor greater.
func ParseRates(text string, steps int) ([]Rate, error) {
	if from, to, ok := strings.Cut(text, ".."); ok {
		return geometric(from, to, steps)
	}
	var rates []Rate
	for item := range strings.SplitSeq(text, ",") {
		rate, err := parseRate(item)
		if err != nil {
			return nil, err
		}
		if rates = append(rates, rate); len(rates) > MaxSteps {
			return nil, fmt.Errorf("more than %d steps", MaxSteps)
		}
	}
	return rates, nil
}

func parseRate(item string) (rate Rate, err error) {
	number, duration, timed := strings.Cut(item, ":")
	if timed {
		if rate.Duration, err = time.ParseDuration(duration); err != nil || rate.Duration <= 0 {
			return rate, fmt.Errorf("%q: want a duration such as 60s behind the colon", item)
		}
	}
	percent := strings.HasSuffix(number, "%")
	v, err := strconv.ParseFloat(strings.TrimSuffix(number, "%"), 64)
	switch {
	case err != nil || !(v > 0):
		return rate, fmt.Errorf("%q: want requests a second such as 2000, or a part of the capacity such as 80%%", item)
	case percent:
		rate.OfCapacity = v / 100
	default:
		rate.PerSecond = v
	}
	return rate, nil
}

func geometric(from, to string, steps int) ([]Rate, error) {
	least, err := parseRate(from)
	if err != nil {
		return nil, err
	}
	most, err := parseRate(to)
	if err != nil {
		return nil, err
	}
	if least.PerSecond == 0 || most.PerSecond <= least.PerSecond || most.Duration+least.Duration != 0 {
		return nil, fmt.Errorf("%s..%s: want two rates in requests a second, the lesser first", from, to)
	}
	if steps < 2 || steps > MaxSteps {
		return nil, fmt.Errorf("%s..%s: want from 2 to %d steps", from, to, MaxSteps)
	}
	var rates []Rate
	for i := range steps {
		v := least.PerSecond * math.Pow(most.PerSecond/least.PerSecond, float64(i)/float64(steps-1))
		rates = append(rates, Rate{PerSecond: math.Round(v)})
	}
	return rates, nil
}

func (c *Config) checkRates() error {
	if len(c.Rates) == 0 && c.Search == nil {
		return errors.New("bench: one of Rates and Search must be set")
	}
	if len(c.Rates) > MaxSteps {
		return fmt.Errorf("bench: at most %d Rates", MaxSteps)
	}
	if !(c.Capacity >= 0 && c.Capacity <= MaxRate) {
		return fmt.Errorf("bench: Capacity must be from 0 to %d requests a second", MaxRate)
	}
	for _, r := range c.Rates {
		switch {
		case r.Duration < 0 || r.Duration > MaxDuration:
			return fmt.Errorf("bench: Duration of a rate must be from 0 to %v", MaxDuration)
		case r.OfCapacity != 0 && !(r.OfCapacity > 0 && r.OfCapacity <= 100):
			return fmt.Errorf("bench: Rate %v of the capacity must be more than 0 and at most 100", r.OfCapacity)
		case r.OfCapacity != 0 && c.Capacity == 0 && c.Search == nil:
			return errors.New("bench: a Rate in percent needs to know of what: set Capacity or Search (--capacity, --find-capacity)")
		case r.OfCapacity == 0 && !(r.PerSecond > 0 && r.PerSecond <= MaxRate):
			return fmt.Errorf("bench: Rate %v must be more than 0 and at most %d requests a second", r.PerSecond, MaxRate)
		}
		if err := c.checkPolls(r.PerSecond); err != nil {
			return err
		}
	}
	return c.Search.check()
}

// checkPolls reports a rate of long polls that would take too many connections.
func (c *Config) checkPolls(rate float64) error {
	if held := rate * c.Mix.share(Poll) * c.PollWait.Seconds(); held > MaxConnections {
		return fmt.Errorf("bench: %.0f long polls would be held at once, at most %d can: lower their share, the Rate or PollWait", held, MaxConnections)
	}
	return nil
}
