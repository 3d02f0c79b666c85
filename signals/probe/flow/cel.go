package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// The names that expressions know of every answer. Captured values and secrets have their own names beside them.
const (
	nameJSON    = "json"    // the body, decoded
	nameStatus  = "status"  // the HTTP status
	nameBody    = "body"    // the body as text
	nameHeaders = "headers" // by name in lower case, values of the same name joined by ", "
)

const (
	maxExpression = 2 << 10
	// maxCost bounds what an expression may do with one answer, in CEL's units: a comparison is about one, a look through
	// a body of MaxBody about 26,000. So much takes a fifth of a second; the step's deadline ends it besides.
	maxCost = 300_000
)

// baseEnv is what all expressions share.
var baseEnv = sync.OnceValue(func() *cel.Env {
	env, err := cel.NewEnv(
		cel.Variable(nameJSON, cel.DynType),
		cel.Variable(nameStatus, cel.IntType),
		cel.Variable(nameBody, cel.StringType),
		cel.Variable(nameHeaders, cel.MapType(cel.StringType, cel.StringType)),
		cel.CrossTypeNumericComparisons(true), // 2.5 > 2, where JSON knows numbers only
		cel.ParserRecursionLimit(50),
	)
	if err != nil {
		panic("flow: the environment of expressions is constant: " + err.Error())
	}
	return env
})

// expression is a compiled CEL expression.
type expression struct {
	text     string
	program  cel.Program
	usesJSON bool
}

// compileExpression compiles an expression that may use the values of these names. Its type must be one of want.
func compileExpression(text string, names []string, want ...*cel.Type) (*expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("is %d bytes long; at most %d", len(text), maxExpression)
	}
	env := baseEnv()
	if len(names) > 0 {
		options := make([]cel.EnvOption, len(names))
		for i, name := range names {
			options[i] = cel.Variable(name, cel.StringType)
		}
		var err error
		if env, err = env.Extend(options...); err != nil {
			return nil, fmt.Errorf("is not CEL: %s", bounded(err.Error()))
		}
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		message := strings.ReplaceAll(first.Message, " (in container '')", "")
		return nil, fmt.Errorf("is not CEL: %s (at line %d, column %d)", bounded(message), first.Location.Line(), first.Location.Column()+1)
	}
	fits := false
	for _, t := range want {
		fits = fits || ast.OutputType().IsExactType(t)
	}
	if !fits {
		return nil, fmt.Errorf("must be %s, not %s", kindOf(want[0]), ast.OutputType())
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1000))
	if err != nil {
		return nil, fmt.Errorf("is not CEL: %s", bounded(err.Error()))
	}
	x := &expression{text: text, program: program}
	for _, r := range ast.NativeRep().ReferenceMap() {
		x.usesJSON = x.usesJSON || r.Name == nameJSON
	}
	return x, nil
}

func kindOf(t *cel.Type) string {
	if t == cel.BoolType {
		return "true or false"
	}
	return "a single value"
}

// errNotJSON says that an expression asks for the JSON of a body that is none.
var errNotJSON = errors.New("the body is not JSON")

// eval gives the expression's value for an answer.
func (x *expression) eval(ctx context.Context, a *answer) (ref.Val, error) {
	if x.usesJSON {
		if err := a.decode(); err != nil {
			return nil, err
		}
	}
	value, _, err := x.program.ContextEval(ctx, a)
	if err != nil {
		return nil, err
	}
	return value, nil
}

// holds reports whether the expression is true.
func (x *expression) holds(ctx context.Context, a *answer) (bool, error) {
	value, err := x.eval(ctx, a)
	if err != nil {
		return false, err
	}
	b, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it is %s, not true or false", value.Type().TypeName())
	}
	return bool(b), nil
}

// maxExact is the whole number up to which every one has a float of its own.
const maxExact = 1 << 53

// single gives the expression's value as text.
func (x *expression) single(ctx context.Context, a *answer) (string, error) {
	value, err := x.eval(ctx, a)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case types.String:
		return string(v), nil
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	case types.Int:
		return strconv.FormatInt(int64(v), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), nil
	case types.Double:
		f := float64(v)
		if math.IsNaN(f) || math.Abs(f) > maxExact {
			return "", errors.New("the number is too large to be written as it was")
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("it is %s, not a single value", value.Type().TypeName())
}
