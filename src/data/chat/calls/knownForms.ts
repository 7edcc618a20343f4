import type { CallShape, JsonForm } from './form';

/** Where name and arguments stand in the forms that are known. */
const SHAPE: CallShape = {
  path: [],
  name: ['name', 'tool_name'],
  arguments: ['arguments', 'parameters'],
};

const json = (start: string, end = ''): JsonForm => ({
  kind: 'json',
  start: [start],
  between: null,
  end: [end],
  shape: SHAPE,
});

/**
 * The forms of calls for templates that write none, whose data hold them as text: marked ones, and
 * JSON alone. `tagged`: what Llama 3 may write before calls that its template writes bare.
 */
export const knownForms: {
  readonly marked: readonly JsonForm[];
  readonly bare: JsonForm;
  readonly tagged: JsonForm;
} = {
  marked: [
    json('<tool_call>', '</tool_call>'),
    json('<tool_calls>', '</tool_calls>'),
    json('<TOOLCALL>', '</TOOLCALL>'),
    json('[TOOL_CALLS]'),
    json('<function_call>', '</function_call>'),
    json('<|tool_call|>'),
  ],
  bare: json(''),
  tagged: json('<|python_tag|>'),
};
