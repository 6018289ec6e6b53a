package discovery

// This file is the arithmetic of hard caps that several gateways share. What is left
// under a cap, by what all have told, is divided into parts that add up to it.
//
// While a gateway has picked what the others do not know, it must not have its part of
// what only seems to be left. So its ceiling falls at once, whenever it learns of others'
// picks, but rises only in a round: when all others have told since it told itself. Then
// what it knows of them is newer than what they know of it.

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

// raised is a ceiling that was at one value and would be at another by what is known now:
// it falls at once, and rises only if it may.
func raised(was, is int32, may bool) int32 {
	if !may && is-was > 0 {
		return was
	}
	return is
}
