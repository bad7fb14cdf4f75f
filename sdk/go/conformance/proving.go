package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	ledger "provost/gen/ledger/v1"
	"provost/sdk"
)

var typeHeader = regexp.MustCompile(`(?m)^ce-type: *(.+)\r$`)

func included(ctx context.Context, c *provost.Client, more values) (*ledger.GetInclusionProofResponse, error) {
	answer, err := c.Ledger.AwaitInclusion(ctx, &ledger.AwaitInclusionRequest{
		EventId: more["event_id"].(string), TimeoutSeconds: 20,
	})
	return answer.GetProof(), err
}

func prove(r *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
	proof, err := included(ctx, c, more)
	if err != nil {
		return nil, err
	}
	key, err := provost.ReadKey(r.known["verifier_key"])
	if err != nil {
		return nil, err
	}
	head, err := provost.CheckInclusionAnswer(proof, key)
	if err != nil {
		return nil, err
	}
	kind := typeHeader.FindSubmatch(proof.HeaderBlock)
	return values{
		"proved": true, "type": string(kind[1]), "index_below_size": int64(proof.LeafIndex) < head.Size,
	}, nil
}

func proveTampered(r *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
	whole, err := included(ctx, c, more)
	if err != nil {
		return nil, err
	}
	checkpoint := whole.TreeHead.Checkpoint
	middle := strings.Index(checkpoint, "\n\n")
	lines := strings.Split(checkpoint[:middle], "\n")
	size, err := strconv.Atoi(lines[1])
	if err != nil {
		return nil, err
	}
	at := middle + 2 + strings.Index(checkpoint[middle+2:], "\n") - 20
	other := "A"
	if checkpoint[at] == 'A' {
		other = "B"
	}
	changes := map[string]func(p *ledger.GetInclusionProofResponse){
		"payload":  func(p *ledger.GetInclusionProofResponse) { p.Payload = append(p.Payload, 'x') },
		"subject":  func(p *ledger.GetInclusionProofResponse) { p.Subject += "x" },
		"path":     func(p *ledger.GetInclusionProofResponse) { p.Path[0][0] ^= 1 },
		"path cut": func(p *ledger.GetInclusionProofResponse) { p.Path = p.Path[:len(p.Path)-1] },
		"index":    func(p *ledger.GetInclusionProofResponse) { p.LeafIndex ^= 1 },
		"header": func(p *ledger.GetInclusionProofResponse) {
			p.HeaderBlock = append(p.HeaderBlock[:len(p.HeaderBlock)-2], "x: 1\r\n\r\n"...)
		},
		"size": func(p *ledger.GetInclusionProofResponse) {
			larger := append([]string{lines[0], strconv.Itoa(size + 1)}, lines[2:]...)
			p.TreeHead.Checkpoint = strings.Join(larger, "\n") + checkpoint[middle:]
		},
		"signature": func(p *ledger.GetInclusionProofResponse) {
			p.TreeHead.Checkpoint = checkpoint[:at] + other + checkpoint[at+1:]
		},
		"another key": func(*ledger.GetInclusionProofResponse) {},
	}
	answer := values{}
	for kind, change := range changes {
		name := "verifier_key"
		if kind == "another key" {
			name = "other_verifier_key"
		}
		key, err := provost.ReadKey(r.known[name])
		if err != nil {
			return nil, err
		}
		changed := proto.Clone(whole).(*ledger.GetInclusionProofResponse)
		change(changed)
		answer[kind] = "believed"
		if _, err := provost.CheckInclusionAnswer(changed, key); err != nil {
			if _, ok := err.(provost.NotProved); !ok {
				return nil, err
			}
			answer[kind] = "refused"
		}
	}
	return answer, nil
}

// vectors holds the verifier to tests/vectors/ledger.json.
func vectors(path string) (values, error) {
	var given struct {
		Leaves                 []struct{ Subject, Header, Payload, Data, Hash string }
		Entries, Roots         []string
		Inclusion, Consistency []struct {
			Index, Size, Old, New int64
			Path                  []string
		}
		Notes []struct{ Key, Note, Text string }
	}
	read(path, &given)
	refused := 0
	wrong := func(err error) {
		if _, ok := err.(provost.NotProved); !ok {
			check(fmt.Errorf("what is wrong was believed: %v", err))
		}
		refused++
	}
	heads, hashes := []provost.Checkpoint{}, [][]byte{}
	for size, root := range given.Roots {
		heads = append(heads, provost.Checkpoint{Origin: "log", Size: int64(size), Root: unhex(root)})
	}
	for _, entry := range given.Entries {
		hashes = append(hashes, provost.HashLeaf(unhex(entry)))
	}
	for _, each := range given.Leaves {
		payload := sha256.Sum256(unbase64(each.Payload))
		leaf, err := provost.LeafOf(unbase64(each.Subject), unbase64(each.Header), payload[:])
		check(err)
		if !bytes.Equal(leaf, unbase64(each.Data)) || hex.EncodeToString(provost.HashLeaf(leaf)) != each.Hash {
			check(fmt.Errorf("a leaf is another: %s", each.Hash))
		}
	}
	for _, each := range given.Inclusion {
		proof, head, leaf := pathOf(each.Path), heads[each.Size], hashes[each.Index]
		check(provost.CheckInclusion(leaf, each.Index, proof, head))
		wrong(provost.CheckInclusion(leaf, each.Index+1, proof, head))
		wrong(provost.CheckInclusion(leaf, each.Index, append(proof, make([]byte, 32)), head))
	}
	for _, each := range given.Consistency {
		proof := pathOf(each.Path)
		check(provost.CheckConsistency(heads[each.Old], heads[each.New], proof))
		wrong(provost.CheckConsistency(heads[each.Old], heads[each.New], append(proof, make([]byte, 32))))
	}
	for _, each := range given.Notes {
		key, err := provost.ReadKey(each.Key)
		check(err)
		text, err := provost.OpenNote(each.Note, key)
		check(err)
		if text != each.Text {
			check(fmt.Errorf("the note says something else"))
		}
		_, err = provost.OpenNote(strings.Replace(each.Note, "your problem", "my problem", 1), key)
		wrong(err)
	}
	return values{
		"leaves": len(given.Leaves), "inclusion": len(given.Inclusion), "consistency": len(given.Consistency),
		"notes": len(given.Notes), "refused": refused,
	}, nil
}

func pathOf(hashes []string) [][]byte {
	proof := [][]byte{}
	for _, each := range hashes {
		proof = append(proof, unhex(each))
	}
	return proof
}

func unhex(text string) []byte {
	raw, err := hex.DecodeString(text)
	check(err)
	return raw
}

func unbase64(text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	check(err)
	return raw
}
