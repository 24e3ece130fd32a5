// Package lang is the language of values: gjson paths into a payload and expr
// expressions over a payload, a run or an answer. Mappings and hook templates
// are written in it by people, and run on data that strangers send; so
// everything is compiled and checked when a file is loaded, and what runs is
// bounded in time and memory whatever the data.
//
// [Compile] and [CompilePath] check and compile, [Expr.Run] and [Path.Find]
// run. [Scan] must have accepted a JSON text before anything else here reads
// it; [Parse] does that and makes a [Doc], which decodes only what is read.
// [Times] and [ParseRepo] read the two kinds of text that every CI tool spells
// differently.
//
// Expressions are expr-lang/expr with stricter rules: operators and functions
// accept absent values (nil) where that can mean something and otherwise say
// what is wrong in words; whole numbers are int64 and never overflow silently;
// there is no clock, no randomness and no order that depends on a map.
//
// Compiled values are immutable and safe for concurrent use. A [Doc] is not:
// it belongs to one request.
package lang

// The limits of the language. They bound what one expression can cost: at
// most maxItems rounds of at most maxNodes parts, and maxWork in all.
const (
	maxSource  = 1 << 10    // bytes of an expression
	maxNodes   = 200        // parts of an expression
	maxItems   = 1000       // items of a list that an expression sees
	maxText    = 64 << 10   // bytes of a text that a function takes apart or makes
	maxGrowth  = 1 << 20    // bytes of all texts that one run makes
	maxWork    = 8 << 20    // bytes looked at and steps made in one run
	maxParts   = 100 * 1000 // values in a list or an object that an expression makes
	maxPath    = 256        // bytes of a gjson path
	maxPathLen = 16         // steps of a gjson path
	MaxDepth   = 64         // default nesting of a JSON text
	MaxTokens  = 200 * 1000 // default number of values, keys and brackets of a JSON text
)
