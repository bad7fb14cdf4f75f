package provost

import (
	"context"
	"io"
	"time"

	ledger "provost/gen/ledger/v1"
)

// A watch says something every ten seconds or so: one that has been quiet for so long is over.
const (
	quiet        = 45 * time.Second
	longestPause = 5 * time.Second
)

// WatchEvents hands events to `heed` as they come, from now on, from the first (`fromStart`) or behind `cursor`, until
// `heed` says false, the context ends, or an error comes that no second try will mend. After a disconnect it goes on behind
// what it has told: nothing is missed, nothing told twice. Answers without events are signs of life; their cursor counts.
func (c *Client) WatchEvents(
	ctx context.Context, filter *ledger.EventFilter, cursor string, fromStart bool,
	heed func(*ledger.WatchEventsResponse) bool,
) error {
	known := cursor != ""
	for pause := firstPause; ; {
		heard := false
		err := c.watched(ctx, filter, cursor, fromStart && cursor == "", func(answer *ledger.WatchEventsResponse) bool {
			heard, known = true, true
			if answer.Cursor != "" {
				cursor = answer.Cursor
			}
			return heed(answer)
		})
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if failed := errorOf(err); err != io.EOF {
			lost := failed.Kind == Unreachable || failed.Kind == LimitReached || failed.Kind == Cancelled
			if !known || !lost {
				return failed
			}
		}
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
		if heard {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// watched is one connection; nil when `heed` has had enough.
func (c *Client) watched(
	ctx context.Context, filter *ledger.EventFilter, cursor string, fromStart bool,
	heed func(*ledger.WatchEventsResponse) bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tooQuiet := time.AfterFunc(quiet, cancel)
	defer tooQuiet.Stop()
	request := &ledger.WatchEventsRequest{Filter: filter, Cursor: cursor, FromStart: fromStart}
	stream, err := c.Ledger.WatchEvents(ctx, request)
	for err == nil {
		var answer *ledger.WatchEventsResponse
		if answer, err = stream.Recv(); err == nil {
			tooQuiet.Reset(quiet)
			if !heed(answer) {
				return nil
			}
		}
	}
	return err
}
