// Package provost is a small client for Provost's gRPC front: every call of the protos, with a deadline, a request id, a
// few tries when nobody answers, and errors that tell their reason; a watch of events that goes on where it was; proofs
// checked with a public key alone.
package provost

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"io"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	gateway "provost/gen/gateway/v1"
	ledger "provost/gen/ledger/v1"
	orchestrator "provost/gen/orchestrator/v1"
	policy "provost/gen/policy/v1"
	state "provost/gen/state/v1"
)

const (
	maxMessageBytes = 34 * 1024 * 1024
	tries           = 4
	firstPause      = 100 * time.Millisecond
	patience        = 30 * time.Second
	streamPatience  = 10 * time.Minute
)

// How long calls may take that take longer than others, when the context has no deadline of its own. 0: a stream that ends
// when its reader has had enough.
var patienceOf = map[string]time.Duration{
	"/provost.orchestrator.v1.OrchestratorService/ProcessLog":  5 * time.Minute,
	"/provost.orchestrator.v1.OrchestratorService/AttachAgent": 0,
	"/provost.policy.v1.PolicyService/PublishPolicySet":        10 * time.Minute,
	"/provost.policy.v1.PolicyService/RollbackPolicySet":       10 * time.Minute,
	"/provost.policy.v1.PolicyService/SimulatePolicySet":       6 * time.Hour,
	"/provost.policy.v1.PolicyService/StreamAuthorize":         0,
	"/provost.state.v1.StateService/RebuildStore":              10 * time.Minute,
	"/provost.state.v1.StateService/VerifyStore":               10 * time.Minute,
	"/provost.state.v1.StateService/Watch":                     0,
	"/provost.ledger.v1.LedgerService/AwaitInclusion":          50 * time.Second,
	"/provost.ledger.v1.LedgerService/ExportLedger":            6 * time.Hour,
	"/provost.ledger.v1.LedgerService/RepairLog":               10 * time.Minute,
	"/provost.ledger.v1.LedgerService/VerifyLedger":            10 * time.Minute,
	"/provost.ledger.v1.LedgerService/WatchEvents":             0,
}

// It waits by itself, and says UNAVAILABLE when the time is up.
const triedOnce = "/provost.ledger.v1.LedgerService/AwaitInclusion"

// Options of a connection. It is encrypted when the address says https://, or when there is a CAFile (PEM): the authority
// that issued what the gateway shows, where that is not a public one.
type Options struct {
	Address string
	Key     string
	CAFile  string
}

// Client offers every service that the gateway passes through. Whatever fails is an *Error.
type Client struct {
	Gateway      gateway.GatewayServiceClient
	Orchestrator orchestrator.OrchestratorServiceClient
	Policy       policy.PolicyServiceClient
	State        state.StateServiceClient
	Ledger       ledger.LedgerServiceClient
	connection   *grpc.ClientConn
}

// New is a client that connects when it is first used. Close it.
func New(options Options) (*Client, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(options.Address, "https://"), "/")
	security := grpc.WithInsecure()
	if strings.HasPrefix(options.Address, "https://") {
		security = grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	if options.CAFile != "" {
		trusted, err := credentials.NewClientTLSFromFile(options.CAFile, "")
		if err != nil {
			return nil, err
		}
		security = grpc.WithTransportCredentials(trusted)
	}
	named := func(ctx context.Context) context.Context {
		if options.Key == "" {
			return ctx
		}
		return metadata.AppendToOutgoingContext(ctx, "x-api-key", options.Key)
	}
	connection, err := grpc.Dial(
		address,
		security,
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		grpc.WithUnaryInterceptor(func(
			ctx context.Context, method string, request, answer interface{},
			connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			request = identified(request)
			return insist(named(ctx), method, func(ctx context.Context) error {
				return invoke(ctx, method, request, answer, connection, options...)
			})
		}),
		grpc.WithStreamInterceptor(func(
			ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
			open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			limited, ended := bounded(ctx, method, streamPatience)
			opened, err := open(named(limited), description, connection, method, options...)
			if err != nil {
				ended()
				return nil, errorOf(err)
			}
			return told{opened, ended}, nil
		}),
	)
	if err != nil {
		return nil, err
	}
	return &Client{
		gateway.NewGatewayServiceClient(connection),
		orchestrator.NewOrchestratorServiceClient(connection),
		policy.NewPolicyServiceClient(connection),
		state.NewStateServiceClient(connection),
		ledger.NewLedgerServiceClient(connection),
		connection,
	}, nil
}

// Close ends the connection, and every call on it.
func (c *Client) Close() error { return c.connection.Close() }

// NewRequestID is an id under which a request has one effect, however often it is sent.
func NewRequestID() string {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		panic(err) // no randomness, no safety
	}
	return hex.EncodeToString(raw)
}

func insist(ctx context.Context, method string, call func(context.Context) error) error {
	ctx, ended := bounded(ctx, method, patience)
	defer ended()
	for tried := 1; ; tried++ {
		err := call(ctx)
		if err == nil {
			return nil
		}
		failed := errorOf(err)
		lost := failed.Kind == Unreachable && failed.Reason != "DEADLINE_EXCEEDED"
		if !lost || tried == tries || method == triedOnce {
			return failed
		}
		pause := time.NewTimer(time.Duration(float64(firstPause) * math.Pow(2, float64(tried-1))))
		select {
		case <-ctx.Done():
			pause.Stop()
			return failed
		case <-pause.C:
		}
	}
}

// bounded is a context with the method's deadline, unless it has one of its own; to be ended with the call.
func bounded(ctx context.Context, method string, usual time.Duration) (context.Context, context.CancelFunc) {
	longest, known := patienceOf[method]
	if !known {
		longest = usual
	}
	if _, has := ctx.Deadline(); has || longest == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, longest)
}

// identified is a request with an id, if it changes something, so that it is safe to send again: the caller's own, or a
// copy of it when it has none, for the caller may go on to another call with it.
func identified(request interface{}) interface{} {
	message, ok := request.(proto.Message)
	if !ok {
		return request
	}
	field := message.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || message.ProtoReflect().Get(field).String() != "" {
		return request
	}
	made := proto.Clone(message)
	made.ProtoReflect().Set(field, protoreflect.ValueOfString(NewRequestID()))
	return made
}

// codec speaks the messages of google.golang.org/protobuf: gRPC's own in Debian 12 knows just those of an older library.
type codec struct{}

func (codec) Name() string { return "proto" }
func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}
func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}

type told struct {
	grpc.ClientStream
	ended context.CancelFunc
}

func (t told) RecvMsg(message interface{}) error {
	err := t.ClientStream.RecvMsg(message)
	if err == nil {
		return nil
	}
	t.ended()
	if err == io.EOF {
		return err
	}
	return errorOf(err)
}

// Status says what is healthy, what lags and by how much; needs no key.
func (c *Client) Status(ctx context.Context) (*gateway.GetStatusResponse, error) {
	return c.Gateway.GetStatus(ctx, &gateway.GetStatusRequest{})
}
