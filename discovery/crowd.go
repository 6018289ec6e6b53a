package discovery

// Agents that have no SVM yet are picks that no other SVM loses. When many of them come,
// agents that are well enough served are left in peace: a mass reconnect is under way.
const (
	crowdSeconds = 60
	crowdPercent = 5 // new ones among all agents, within crowdSeconds
	crowdLeast   = 20
)

// A crowd is how many agents there are, and how many came lately.
type crowd struct {
	picks  int64 // own, of all SVMs
	agents int64 // estimated, of all SVMs
	rows   [crowdSeconds]int64
	made   int
}

func (c *crowd) change(picks, agents int32) {
	c.picks += int64(picks)
	c.agents += int64(agents)
}

// remember is called once a second.
func (c *crowd) remember() {
	c.rows[c.made%crowdSeconds] = c.picks
	c.made++
}

// came is how many came within crowdSeconds. What came here stands for what came to each
// gateway.
func (c *crowd) came(gateways int32) int64 {
	oldest := int64(0)
	if c.made > 0 {
		oldest = c.rows[max(0, c.made-crowdSeconds)%crowdSeconds]
	}
	return (c.picks - oldest) * int64(gateways)
}

// calm reports whether no mass reconnect is under way.
func (c *crowd) calm(gateways int32) bool { return isCalm(c.came(gateways), c.agents) }

func isCalm(came, agents int64) bool { return came < crowdLeast || came*100 <= crowdPercent*agents }
