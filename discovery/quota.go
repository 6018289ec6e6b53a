package discovery

// This file is the arithmetic of hard caps that several gateways share. What is left
// under a cap, by what all have told, is divided into parts that add up to it.
//
// Others may have picked, unknown to this gateway, as much as their parts were at any
// time since they told last. So its ceiling falls at once, whenever it learns of others'
// picks, but rises only in a round: when all others have told since it told itself. Then
// what they have not told is no more than their parts of the most that was left since;
// only what remains beyond that is free. If tellings arrive before the next is made, the
// gateways together never cross a cap (TestGatewaysShareACap). Agents that need one in the
// meantime go elsewhere.

// quota is a gateway's part of what is left under a cap: of n gateways, each with another
// rank from 0, the parts add up to left. With a rank less than 0 it is the part that every
// one has whatever its rank. What is over a cap counts for each of them.
func quota(left, n, rank int32) int32 {
	if left <= 0 || n <= 1 {
		return left
	}
	part := left / n
	if 0 <= rank && rank < left%n {
		part++
	}
	return part
}

// rankOf is the position of a gateway among n that share what an SVM has left, or -1 if
// not all of them are known by name. It differs from SVM to SVM, so that the remainders
// do not all fall to one.
func rankOf(svm, own uint64, others []uint64, n int32) int32 {
	if own == 0 || int32(len(others)) != n-1 {
		return -1
	}
	mine, rank := mix(svm^own), int32(0)
	for _, other := range others {
		if mix(svm^other) < mine {
			rank++
		}
	}
	return rank
}

// free is what a gateway may pick beyond what it has told, in a round: of what is left, and
// was at most since it told itself.
func free(left, most, n, rank int32) int32 {
	if left <= 0 || n <= 1 {
		return left
	}
	return max(0, quota(most, n, rank)-(most-left))
}

// A room is what an account's ceiling is worked out from.
type room struct {
	told         int32 // own picks that the others know of
	left, most   int32 // under the cap, by what all have told: now, and since it was told
	n, rank      int32 // of gateways
	fresh, round bool
}

// ceiling is up to where picks may come, if they could up to was before.
func (r room) ceiling(was int32) int32 {
	mine := r.told + quota(r.left, r.n, r.rank)
	switch {
	case r.fresh:
		return mine
	case r.round:
		return r.told + free(r.left, r.most, r.n, r.rank)
	case mine-was > 0:
		return was
	default:
		return mine
	}
}
