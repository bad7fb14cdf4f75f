// Goes through tests/conformance/script.json, and prints what it was answered, a line of JSON for each step.
//
//	provost-conformance SCRIPT GIVEN
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"provost/sdk"
)

type values = map[string]interface{}

type step struct {
	Name string
	Call string
	As   string
	With values
	Save []string
	Hide []string
	Same map[string]string
}

type given struct {
	Address       string
	Keys          map[string]string
	CAFile        string `json:"ca_file"`
	WithText      bool   `json:"with_text"`
	ClosedAddress string `json:"closed_address"`
	Vectors       string
	Values        map[string]string
}

type runner struct {
	given given
	known map[string]string
}

type call func(r *runner, ctx context.Context, client *provost.Client, more values) (values, error)

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

func (r *runner) filled(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string { return r.known[found[2:len(found)-1]] })
}

func (r *runner) take(s step) values {
	client, err := provost.New(provost.Options{Address: r.given.Address, Key: r.given.Keys[s.As], CAFile: r.given.CAFile})
	check(err)
	defer client.Close()
	more := values{}
	for key, value := range s.With {
		if text, ok := value.(string); ok {
			value = r.filled(text)
		}
		more[key] = value
	}
	made, known := calls[s.Call]
	if !known {
		check(fmt.Errorf("no call is named %s", s.Call))
	}
	answer, err := made(r, context.Background(), client, more)
	if failed, ok := err.(*provost.Error); ok {
		told := values{"kind": failed.Kind, "reason": failed.Reason, "retryable": failed.Retryable()}
		if r.given.WithText {
			told["text"] = failed.Text
		}
		answer = values{"error": told}
	} else {
		check(err)
	}
	if s.Same != nil {
		same := true
		for key, value := range s.Same {
			same = same && answer[key] == r.filled(value)
		}
		answer = values{"same": same}
	}
	for _, key := range s.Save {
		r.known[key] = fmt.Sprint(answer[key])
	}
	for _, key := range s.Hide {
		delete(answer, key)
	}
	return answer
}

func main() {
	var script struct{ Steps []step }
	r := &runner{}
	read(os.Args[1], &script)
	read(os.Args[2], &r.given)
	r.known = r.given.Values
	for _, each := range script.Steps {
		line, err := json.Marshal(values{"step": each.Name, "answer": r.take(each)})
		check(err)
		fmt.Println(string(line))
	}
}

func read(path string, into interface{}) {
	text, err := os.ReadFile(path)
	check(err)
	check(json.Unmarshal(text, into))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
