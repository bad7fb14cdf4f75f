package provost

import (
	"bytes"
	"crypto/sha256"
	"math/bits"
	"sort"

	ledger "provost/gen/ledger/v1"
)

// Whether an event is in a tree, and whether a tree grew out of another: RFC 6962, section 2.1, from its definitions.

const maxLeafBytes = 65_535

// CheckInclusionAnswer says what the ledger's answer proves, for who trusts the key: the event is under the head.
func CheckInclusionAnswer(answer *ledger.GetInclusionProofResponse, key LogKey) (Checkpoint, error) {
	head, err := OpenCheckpoint(answer.GetTreeHead().GetCheckpoint(), key)
	if err != nil {
		return head, err
	}
	payload := sha256.Sum256(answer.Payload)
	leaf, err := LeafOf([]byte(answer.Subject), answer.HeaderBlock, payload[:])
	if err != nil {
		return head, err
	}
	return head, CheckInclusion(HashLeaf(leaf), int64(answer.LeafIndex), answer.Path, head)
}

// CheckInclusion says whether the leaf with that hash stands at `index` of the tree `head`.
func CheckInclusion(leaf []byte, index int64, path [][]byte, head Checkpoint) error {
	if index < 0 || index >= head.Size {
		return notProved("leaf %d is not in a tree of %d", index, head.Size)
	}
	root, err := rootOf(leaf, index, head.Size, path)
	if err == nil && !bytes.Equal(root, head.Root) {
		err = notProved("the proof leads to another root than the one that is signed")
	}
	return err
}

// CheckConsistency says whether the tree `later` begins with all of the tree `earlier`.
func CheckConsistency(earlier, later Checkpoint, path [][]byte) error {
	if earlier.Origin != later.Origin || earlier.Size < 0 || earlier.Size > later.Size {
		return notProved("the heads are of two logs, or the earlier one is larger")
	}
	empty := sha256.Sum256(nil)
	old, grown := empty[:], later.Root
	var err error
	if earlier.Size > 0 {
		old, grown, err = rootsOf(earlier.Size, later.Size, path, earlier.Root)
	} else if len(path) > 0 {
		err = notProved("an empty tree needs no proof, and there is one")
	} else if later.Size == 0 {
		grown = empty[:]
	}
	if err == nil && !(bytes.Equal(old, earlier.Root) && bytes.Equal(grown, later.Root)) {
		err = notProved("the proof leads to another root than that of a head")
	}
	return err
}

// HashLeaf is the hash of a leaf's bytes.
func HashLeaf(data []byte) []byte { return hashed(0, data) }

// LeafOf is what the tree commits to of a message: `provost leaf v1`, the subject, the header lines sorted, an empty line,
// each ended by CRLF, then the payload's hash; a header block that is none, or too long, stands there as its hash.
func LeafOf(subject, header, payloadSHA256 []byte) ([]byte, error) {
	crlf := []byte("\r\n")
	if bytes.Contains(subject, crlf) {
		return nil, notProved("the subject holds a line break: headers would be hidden in it")
	}
	isBlock := bytes.HasPrefix(header, []byte("NATS/1.0\r\n")) && bytes.HasSuffix(header, []byte("\r\n\r\n"))
	if len(header) == 0 || isBlock {
		var lines [][]byte
		if isBlock {
			lines = bytes.Split(header[len("NATS/1.0"):len(header)-2], crlf)
			lines = lines[1 : len(lines)-1]
		}
		sort.Slice(lines, func(one, other int) bool { return bytes.Compare(lines[one], lines[other]) < 0 })
		parts := append([][]byte{[]byte("provost leaf v1"), subject}, lines...)
		leaf := bytes.Join(append(parts, nil, payloadSHA256), crlf)
		if len(leaf) <= maxLeafBytes {
			return leaf, nil
		}
	}
	whole := sha256.Sum256(header)
	return bytes.Join([][]byte{[]byte("provost leaf v1 opaque"), subject, append(whole[:], payloadSHA256...)}, crlf), nil
}

// rootOf is what PATH(index, D[size]) says the root is, when it is `path`: section 2.1.1.
func rootOf(leaf []byte, index, size int64, path [][]byte) ([]byte, error) {
	if size == 1 {
		if len(path) > 0 {
			return nil, notProved("the proof has too many hashes")
		}
		return leaf, nil
	}
	rest, last, err := cut(path)
	if err != nil {
		return nil, err
	}
	k := split(size)
	if index < k {
		left, err := rootOf(leaf, index, k, rest)
		return hashed(1, left, last), err
	}
	right, err := rootOf(leaf, index-k, size-k, rest)
	return hashed(1, last, right), err
}

// rootsOf is what SUBPROOF(old, D[size], known) says both roots are, when it is `path`: section 2.1.2.
func rootsOf(old, size int64, path [][]byte, known []byte) (was, grown []byte, err error) {
	if old == size {
		if known != nil && len(path) == 0 {
			return known, known, nil
		}
		rest, last, err := cut(path)
		if known != nil || len(rest) > 0 {
			err = notProved("the proof has too many hashes")
		}
		return last, last, err
	}
	rest, last, err := cut(path)
	if err != nil {
		return nil, nil, err
	}
	k := split(size)
	if old <= k {
		was, grown, err = rootsOf(old, k, rest, known)
		return was, hashed(1, grown, last), err
	}
	was, grown, err = rootsOf(old-k, size-k, rest, nil)
	return hashed(1, last, was), hashed(1, last, grown), err
}

// cut is a path without its last hash, and that hash.
func cut(path [][]byte) (rest [][]byte, last []byte, err error) {
	if len(path) == 0 {
		return nil, nil, notProved("the proof has too few hashes")
	}
	rest, last = path[:len(path)-1], path[len(path)-1]
	if len(last) != sha256.Size {
		err = notProved("the proof holds something that is no hash")
	}
	return rest, last, err
}

// split is the largest power of two below `size`, which is at least 2.
func split(size int64) int64 { return 1 << (bits.Len64(uint64(size-1)) - 1) }

func hashed(kind byte, parts ...[]byte) []byte {
	hash := sha256.New()
	hash.Write([]byte{kind})
	for _, part := range parts {
		hash.Write(part)
	}
	return hash.Sum(nil)
}
