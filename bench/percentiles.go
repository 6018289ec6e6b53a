package bench

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles are of a distribution of times in microseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p99.9"`
	P9999 int64   `json:"p99.99"`
	Max   int64   `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	return Percentiles{
		Count: h.TotalCount(), Min: h.Min(), Mean: h.Mean(), Max: h.Max(),
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99),
		P999: h.ValueAtQuantile(99.9), P9999: h.ValueAtQuantile(99.99),
	}
}

// A Point says that so many percent of the requests took no longer.
type Point struct {
	Percentile   float64 `json:"percentile"`
	Microseconds int64   `json:"microseconds"`
}

// curve halves what is left of the requests at each point.
func curve(h *hdrhistogram.Histogram) []Point {
	points := []Point{}
	if h.TotalCount() == 0 {
		return points
	}
	for rest := 100.0; rest*float64(h.TotalCount()) >= 100; rest /= math.Sqrt2 {
		points = append(points, Point{100 - rest, h.ValueAtQuantile(100 - rest)})
	}
	return append(points, Point{100, h.Max()})
}
