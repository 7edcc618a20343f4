import type { Pattern } from './pattern';

/** A call of a tool. */
export interface ToolCall {
  readonly name: string;
  /** An object, as Python reads it. */
  readonly arguments: object;
}

/** How a template writes the calls of an answer. */
export type CallForm = JsonForm | NamedForm | ParameterForm | PythonForm;

/** The text around the calls. */
interface Frame {
  /** The text before the first call. */
  readonly start: Pattern;
  /** The text between two calls. Null: the template writes one only. */
  readonly between: Pattern | null;
  /** The text after the last call. */
  readonly end: Pattern;
}

/** What a template writes for an answer with one call, around its name and its arguments. */
export interface SingleCall {
  readonly before: Pattern;
  /** Between the name and the arguments. */
  readonly middle: Pattern;
  readonly behind: Pattern;
}

/** Each call, or the list of all, is JSON: {"name": …, "arguments": …}. */
export interface JsonForm extends Frame {
  readonly kind: 'json';
  /** Null: the arguments stand before the name, or as a text, or it is not known. */
  readonly single: SingleCall | null;
  readonly shape: CallShape;
}

/** Where the name and the arguments are in the JSON of a call. */
export interface CallShape {
  /** Keys that lead to the object with name and arguments. */
  readonly path: readonly string[];
  /** The keys that hold the name. Null: the name is the key of the arguments. */
  readonly name: readonly string[] | null;
  readonly arguments: readonly string[];
}

/** The name stands in the text, and the arguments are JSON. */
export interface NamedForm extends Frame {
  readonly kind: 'named';
  readonly single: SingleCall | null;
  /** Between the name and the arguments. */
  readonly middle: Pattern;
}

/** The name, and the arguments one by one, stand in the text. */
export interface ParameterForm extends Frame {
  readonly kind: 'parameters';
  /** Between the name and the first key. */
  readonly nameKey: Pattern;
  /** Between a key and its value. */
  readonly keyValue: Pattern;
  /** Between a value and the next key. */
  readonly valueKey: Pattern;
  /** Between a name without arguments and the next call, and after the last. Null: not known. */
  readonly nameNext: Pattern | null;
  readonly nameEnd: Pattern | null;
}

/** Each call, or the list of all, is written as in Python: name(key=value, …). */
export interface PythonForm extends Frame {
  readonly kind: 'python';
}

/** How a template writes the reasoning of an answer. */
export interface ReasoningForm {
  /** The text before it. Blank: the prompt has written it already. */
  readonly open: string;
  /** The text after it. */
  readonly close: string;
}

/** How a template writes an answer. */
export interface AnswerForm {
  /** Null: the template writes no calls. */
  readonly calls: CallForm | null;
  /** Null: the template writes no reasoning. */
  readonly reasoning: ReasoningForm | null;
  /** The text before the text of an answer. */
  readonly contentOpen: string;
}
