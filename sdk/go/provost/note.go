package provost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// NotProved is what anything that proves nothing amounts to: it says what is wrong with it.
type NotProved string

func (n NotProved) Error() string { return string(n) }

func notProved(format string, what ...interface{}) error {
	return NotProved(fmt.Sprintf(format, what...))
}

// LogKey is whose signature is asked for: the name and public key of a log, and the id that its signatures bear.
type LogKey struct {
	Name   string
	ID     [4]byte
	Public ed25519.PublicKey
}

// Checkpoint is a tree head that its log has signed (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   int64
	Root   []byte
}

// ReadKey reads a verifier key of C2SP signed-note, `<name>+<8 hex digits>+<base64>`.
func ReadKey(text string) (LogKey, error) {
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 || !isName(parts[0]) {
		return LogKey{}, notProved("not a verifier key: it is written <name>+<8 hex digits>+<base64>")
	}
	material, err := fromBase64(parts[2], "the verifier key")
	if err != nil {
		return LogKey{}, err
	}
	if len(material) != 33 || material[0] != 1 {
		return LogKey{}, notProved("not a verifier key of Ed25519")
	}
	hashed := sha256.Sum256(append([]byte(parts[0]+"\n"), material...))
	if parts[1] != hex.EncodeToString(hashed[:4]) {
		return LogKey{}, notProved("the verifier key is damaged: its id belongs to another name or key")
	}
	key := LogKey{Name: parts[0], Public: material[1:]}
	copy(key.ID[:], hashed[:4])
	return key, nil
}

// OpenNote is the text that the key has signed, its last newline included. Signatures by others are passed over.
func OpenNote(note string, key LogKey) (string, error) {
	if len(note) > 1_000_000 || strings.IndexFunc(note, func(r rune) bool { return r < ' ' && r != '\n' }) >= 0 {
		return "", notProved("the note is too long, or holds control characters")
	}
	at := strings.LastIndex(note, "\n\n")
	if at < 0 || !strings.HasSuffix(note, "\n") || len(note) == at+2 {
		return "", notProved("not a signed note: no signatures behind an empty line")
	}
	text, lines := note[:at+1], strings.Split(note[at+2:len(note)-1], "\n")
	if len(lines) > 100 {
		return "", notProved("the note bears too many signatures")
	}
	signed := false
	for _, line := range lines {
		parts := strings.Split(line, " ")
		if len(parts) != 3 || parts[0] != "\u2014" || !isName(parts[1]) {
			return "", notProved("a signature line of the note is not an em dash, a name and base64")
		}
		raw, err := fromBase64(parts[2], "a signature")
		if err != nil {
			return "", err
		}
		if len(raw) < 5 {
			return "", notProved("a signature line of the note holds no signature")
		}
		if parts[1] != key.Name || !bytes.Equal(raw[:4], key.ID[:]) {
			continue
		}
		if !ed25519.Verify(key.Public, []byte(text), raw[4:]) {
			return "", notProved("the signature in the name of %s does not verify", key.Name)
		}
		signed = true
	}
	if !signed {
		return "", notProved("not signed with the key %s+%x", key.Name, key.ID)
	}
	return text, nil
}

// OpenCheckpoint is the tree head in a checkpoint that the key has signed for the log it is named after.
func OpenCheckpoint(note string, key LogKey) (Checkpoint, error) {
	text, err := OpenNote(note, key)
	if err != nil {
		return Checkpoint{}, err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 || strings.Contains(text, "\n\n") || lines[0] == "" {
		return Checkpoint{}, notProved("what is signed is no checkpoint: three lines at least, none of them empty")
	}
	if lines[0] != key.Name {
		return Checkpoint{}, notProved("it is the checkpoint of %s, not of %s", lines[0], key.Name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, notProved("the tree size is no plain decimal number")
	}
	root, err := fromBase64(lines[2], "the root")
	if err != nil {
		return Checkpoint{}, err
	}
	if len(root) != sha256.Size {
		return Checkpoint{}, notProved("the root is not %d bytes", sha256.Size)
	}
	return Checkpoint{lines[0], size, root}, nil
}

func fromBase64(text, what string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != text {
		return nil, notProved("%s is not base64 in its one spelling", what)
	}
	return raw, nil
}

func isName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "+ \t\r\n\v\f\u0085\u00a0")
}
