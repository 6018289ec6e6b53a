package ops

import (
	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
)

// A Cluster is what the metrics tell of the gateways that share the table.
type Cluster interface {
	Stats() cluster.Stats
	Members() []cluster.Member
	Refused() uint64
	Conflicts() (tenants, vms uint64)
	Sightings() replica.SightingStats
}

// ClusterFamilies tells how alike the gateways are, and what it takes.
func ClusterFamilies(c Cluster) []Family {
	one := func(name, help string, counter bool, n func(*cluster.Stats) float64) Family {
		return Family{Name: "cluster_" + name, Help: help, Counter: counter, Read: func(emit Emit) {
			s := c.Stats()
			emit(n(&s))
		}}
	}
	count := func(name, help string, n func(*cluster.Stats) uint64) Family {
		return one(name+"_total", help, true, func(s *cluster.Stats) float64 { return float64(n(s)) })
	}
	each := func(name, help string, n func(*cluster.Member) float64) Family {
		return Family{Name: "cluster_" + name, Help: help, Labels: []string{"peer"}, Read: func(emit Emit) {
			for _, m := range c.Members() {
				if !m.Self {
					emit(n(&m), m.Name)
				}
			}
		}}
	}
	return []Family{
		one("members", "Gateways that this one knows, itself included.", false, func(s *cluster.Stats) float64 { return float64(s.Members) }),
		one("members_alive", "Gateways that answer, itself included.", false, func(s *cluster.Stats) float64 { return float64(s.Alive) }),
		one("differing", "Parts of the table, of 4,096, that differed in the last comparison with any gateway.", false,
			func(s *cluster.Stats) float64 { return float64(s.Differing) }),
		each("peer_differing", "Parts of the table that differed in the last comparison with a gateway.", func(m *cluster.Member) float64 { return float64(m.Differing) }),
		each("peer_lag_seconds", "How long a gateway's table has been differing; 0 if it is equal.", func(m *cluster.Member) float64 { return m.Lag.Seconds() }),
		each("peer_clock_offset_seconds", "How far a gateway's clock is from this one's.", func(m *cluster.Member) float64 { return m.Offset.Seconds() }),
		one("propagation_p50_seconds", "How long half of the changes took at most until another gateway had them, the way back included; of the last thousand measurements.",
			false, func(s *cluster.Stats) float64 { return s.PropagationP50.Seconds() }),
		one("propagation_p99_seconds", "How long 99 of 100 changes took at most until another gateway had them, the way back included.",
			false, func(s *cluster.Stats) float64 { return s.PropagationP99.Seconds() }),
		one("queue_records", "Records of news that wait to be sent.", false, func(s *cluster.Stats) float64 { return float64(s.QueuedRecords) }),
		one("queue_bytes", "Bytes of news that wait to be sent.", false, func(s *cluster.Stats) float64 { return float64(s.QueuedBytes) }),
		{
			Name: "cluster_dropped_total", Help: "Records and packets dropped for want of room: repair, or the next report, makes up for them.",
			Labels: []string{"what"}, Counter: true,
			Read: func(emit Emit) {
				s := c.Stats()
				emit(float64(s.DroppedNews), "news")
				emit(float64(s.DroppedFleeting), "fleeting")
				emit(float64(s.DroppedPackets), "packets")
				emit(float64(s.DroppedStreams), "streams")
			},
		},
		count("messages_malformed", "Messages that can not be read.", func(s *cluster.Stats) uint64 { return s.Malformed }),
		count("messages_unknown", "Messages of another release.", func(s *cluster.Stats) uint64 { return s.UnknownMessages }),
		count("sent_packets", "Packets sent to other gateways.", func(s *cluster.Stats) uint64 { return s.SentPackets }),
		{
			Name: "cluster_sent_bytes_total", Help: "Bytes sent to other gateways, encrypted, without the headers of UDP, TCP and IP.",
			Labels: []string{"by"}, Counter: true,
			Read: func(emit Emit) {
				s := c.Stats()
				emit(float64(s.SentPacketBytes), "packet")
				emit(float64(s.SentStreamBytes), "stream")
			},
		},
		count("exchanges", "Comparisons of tables.", func(s *cluster.Stats) uint64 { return s.Exchanges }),
		count("pulled_records", "Records asked for because of a difference.", func(s *cluster.Stats) uint64 { return s.PulledRecords }),
		count("pulled_bytes", "Bytes asked for because of a difference.", func(s *cluster.Stats) uint64 { return s.PulledBytes }),
		count("served_records", "Records given to others because of a difference.", func(s *cluster.Stats) uint64 { return s.ServedRecords }),
		count("served_bytes", "Bytes given to others because of a difference.", func(s *cluster.Stats) uint64 { return s.ServedBytes }),
		{
			Name: "cluster_questions_total", Help: "What gateways ask one another, beside tables: asked by this one, in vain because no answer came in time; answered by it; refused, here, for want of room or time.",
			Labels: []string{"what"}, Counter: true,
			Read: func(emit Emit) {
				s := c.Stats()
				emit(float64(s.QuestionsAsked), "asked")
				emit(float64(s.QuestionsTimedOut), "timed_out")
				emit(float64(s.QuestionsAnswered), "answered")
				emit(float64(s.QuestionsRefused), "refused")
			},
		},
		count("rejoins", "Attempts to reach gateways that are gone.", func(s *cluster.Stats) uint64 { return s.Rejoins }),
		one("local_state_bytes", "Size of the last digest that was sent.", false, func(s *cluster.Stats) float64 { return float64(s.LocalStateSize) }),
		one("clock_offset_seconds", "How far this gateway's clock is from that of most gateways.", false,
			func(s *cluster.Stats) float64 { return s.ClockOffset.Seconds() }),
		one("clock_wrong", "Whether most gateways' clocks agree on another time (1), which is then used, or not (0).", false,
			func(s *cluster.Stats) float64 { return number(s.ClockWrong) }),
		{
			Name: "cluster_records_refused_total", Help: "Records of other gateways that the table has no room for.", Counter: true,
			Read: func(emit Emit) { emit(float64(c.Refused())) },
		}, {
			Name: "cluster_conflicts_total", Help: "Activations and registrations given up because another gateway did the opposite without knowing.",
			Labels: []string{"type"}, Counter: true,
			Read: func(emit Emit) {
				tenants, vms := c.Conflicts()
				emit(float64(tenants), "tenant")
				emit(float64(vms), "vm")
			},
		}, {
			Name: "cluster_sightings_total", Help: "What gateways tell each other of SVMs' agents, by SVM: told, heard; and messages of it that can not be read.",
			Labels: []string{"what"}, Counter: true,
			Read: func(emit Emit) {
				s := c.Sightings()
				emit(float64(s.Told), "told")
				emit(float64(s.Heard), "heard")
				emit(float64(s.Unreadable), "unreadable")
			},
		},
	}
}
