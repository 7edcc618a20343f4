import type { CallShape, JsonForm, PythonForm } from './form';

/** Where name and arguments stand in the forms that are known. */
const SHAPE: CallShape = {
  path: [],
  name: ['name', 'tool_name'],
  arguments: ['arguments', 'parameters'],
};

const json = (start: string, end = ''): JsonForm => ({
  kind: 'json',
  single: null,
  start: [start],
  between: null,
  end: [end],
  shape: SHAPE,
});

const python = (start: string, end = ''): PythonForm => ({
  kind: 'python',
  start: [start],
  between: null,
  end: [end],
});

/**
 * The forms of calls for templates that write none, whose data hold them as text: marked ones, and
 * JSON or Python's calls alone. `tagged`: what Llama 3 may write before calls that its template
 * writes bare.
 */
export const knownForms: {
  readonly marked: readonly (JsonForm | PythonForm)[];
  readonly bare: readonly (JsonForm | PythonForm)[];
  readonly tagged: JsonForm;
} = {
  marked: [
    json('<tool_call>', '</tool_call>'),
    json('<tool_calls>', '</tool_calls>'),
    json('<TOOLCALL>', '</TOOLCALL>'),
    json('[TOOL_CALLS]'),
    json('<function_call>', '</function_call>'),
    json('<|tool_call|>'),
    python('<|tool_call_start|>', '<|tool_call_end|>'),
  ],
  bare: [json(''), python('')],
  tagged: json('<|python_tag|>'),
};
