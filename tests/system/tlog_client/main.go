// Reads a log over HTTP as anyone would who has never heard of Provost: golang.org/x/mod/sumdb/note opens the
// checkpoint, golang.org/x/mod/sumdb/tlog checks every record and that the log only grew, over tiles at the paths of
// C2SP tlog-tiles. Prints "<size> <records> <old size>", or says what does not hold and ends with 1.
//
//	tlog_client URL API-KEY OLD-CHECKPOINT-FILE VKEY...
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type log struct{ url, key string }

func (l log) get(path, contentType string) []byte {
	request, err := http.NewRequest("GET", l.url+"/"+path, nil)
	check(err)
	request.Header.Set("X-API-Key", l.key)
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(err)
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != contentType {
		fail("%s: %s, %s: %s", path, answer.Status, answer.Header.Get("Content-Type"), body)
	}
	return body
}

// place spells a tile as tlog-tiles does: as sumdb, but without the height.
func place(t tlog.Tile) string {
	level := fmt.Sprintf("tile/%d/%d/", t.H, t.L)
	path := strings.TrimPrefix(t.Path(), level)
	if t.L == -1 {
		return "tile/entries/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/data/", t.H))
	}
	return fmt.Sprintf("tile/%d/%s", t.L, path)
}

// Height, ReadTiles and SaveTiles are what tlog.TileHashReader asks for.
func (l log) Height() int                         { return height }
func (l log) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (l log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		found = append(found, l.get(place(tile), "application/octet-stream"))
	}
	return found, nil
}

func open(text []byte, verifiers note.Verifiers) tlog.Tree {
	opened, err := note.Open(text, verifiers)
	check(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != opened.Sigs[0].Name {
		fail("not a checkpoint of the log whose key this is: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size}
	if copy(tree.Hash[:], root) != tlog.HashSize || len(root) != tlog.HashSize {
		fail("the root is not %d bytes", tlog.HashSize)
	}
	return tree
}

func (l log) records(index, count int64) [][]byte {
	width := int(count)
	raw := l.get(place(tlog.Tile{H: height, L: -1, N: index, W: width}), "application/octet-stream")
	var records [][]byte
	for len(raw) > 0 {
		length := int(binary.BigEndian.Uint16(raw))
		records = append(records, raw[2:2+length])
		raw = raw[2+length:]
	}
	if len(records) != width {
		fail("bundle %d holds %d records, not %d", index, len(records), width)
	}
	return records
}

func main() {
	if len(os.Args) < 5 {
		fail("usage: tlog_client URL API-KEY OLD-CHECKPOINT-FILE VKEY...")
	}
	l := log{os.Args[1], os.Args[2]}
	var keys []note.Verifier
	for _, vkey := range os.Args[4:] {
		verifier, err := note.NewVerifier(vkey)
		check(err)
		keys = append(keys, verifier)
	}
	verifiers := note.VerifierList(keys...)

	earlier, err := os.ReadFile(os.Args[3])
	check(err)
	old := open(earlier, verifiers)
	tree := open(l.get("checkpoint", "text/plain; charset=utf-8"), verifiers)
	hashes := tlog.TileHashReader(tree, l)

	grown, err := tlog.ProveTree(tree.N, old.N, hashes)
	check(err)
	check(tlog.CheckTree(grown, tree.N, tree.Hash, old.N, old.Hash))

	id := int64(0)
	for id < tree.N {
		count := tree.N - id
		if count > 1<<height {
			count = 1 << height
		}
		for _, record := range l.records(id>>height, count) {
			proof, err := tlog.ProveRecord(tree.N, id, hashes)
			check(err)
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, id, tlog.RecordHash(record)); err != nil {
				fail("record %d: %v", id, err)
			}
			id++
		}
	}
	fmt.Println(tree.N, id, old.N)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, what ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", what...)
	os.Exit(1)
}
