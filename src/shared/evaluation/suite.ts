import * as v from 'valibot';
import { parsed } from '../parsed';
import { CHECK_KINDS, type CheckKind } from './metrics';

// A suite: a file of JSON lines (evals.jsonl), each a question and a check of its answer.
//
//   {"prompt": "What is 17 + 25?", "check": {"kind": "numeric", "expected": 42}}
//   {"suite": "git", "messages": [{"role": "user", "content": "undo my last commit"}],
//    "check": {"kind": "contains", "expected": ["reset", "HEAD~1"]}}
//   {"text": "Paris lies on the Seine.", "check": {"kind": "perplexity"}}
//   {"text": "what a film!", "check": {"kind": "label", "expected": "positive"}}

const MOST_CHARACTERS = 100_000;
const text = () =>
  v.pipe(
    v.string(),
    v.minLength(1, 'must not be empty'),
    v.maxLength(MOST_CHARACTERS, `must have at most ${MOST_CHARACTERS} characters`),
  );
const number = () => v.pipe(v.number(), v.finite());
const texts = () =>
  v.union(
    [text(), v.pipe(v.array(text()), v.minLength(1, 'must not be empty'))],
    'must be a text or a list of texts',
  );
const ignoreCase = v.optional(v.boolean(), false);

/** One right answer, or several of which one must be given. */
const ExactSchema = v.strictObject({
  kind: v.literal('exact'),
  expected: texts(),
  ignore_case: ignoreCase,
});
/** Texts that the answer must all contain. */
const ContainsSchema = v.strictObject({
  kind: v.literal('contains'),
  expected: texts(),
  ignore_case: ignoreCase,
});
/** RE2, searched in the answer. */
const RegexSchema = v.strictObject({ kind: v.literal('regex'), pattern: text() });
/** The answer must be JSON (a Markdown block around it is removed) that fits the schema. */
const JsonSchemaSchema = v.strictObject({
  kind: v.literal('json_schema'),
  schema: v.union([v.looseObject({}), v.boolean()], 'must be a JSON schema'),
});
/** The last number of the answer. */
const NumericSchema = v.strictObject({
  kind: v.literal('numeric'),
  expected: number(),
  /** The largest difference that is right. */
  tolerance: v.optional(v.pipe(number(), v.minValue(0, 'must be at least 0')), 0),
});
const ToolCallsSchema = v.strictObject({
  kind: v.literal('tool_calls'),
  /** The calls in any order; empty: no tool may be called. */
  expected: v.array(v.strictObject({ name: text(), arguments: v.looseObject({}) })),
});
/** Compared with one reference, or several of which the best counts. */
const reference = <const Kind extends string>(kind: Kind) =>
  v.strictObject({ kind: v.literal(kind), expected: texts() });
const PerplexitySchema = v.strictObject({
  kind: v.literal('perplexity'),
  /** The answer whose tokens are measured; without it, those of the row's "text". */
  expected: v.optional(text()),
});
const ChoiceSchema = v.strictObject({
  kind: v.literal('choice'),
  choices: v.pipe(v.array(text()), v.minLength(2, 'must have at least two choices')),
  /** The right choice: its text or its index from 0. */
  expected: v.union([v.pipe(v.number(), v.integer(), v.minValue(0)), text()]),
});
/** The class of a text, for models of the task seq_cls. */
const LabelSchema = v.strictObject({ kind: v.literal('label'), expected: text() });
const JudgeSchema = v.strictObject({
  kind: v.literal('judge'),
  /** What the judge is told beside the question. */
  criteria: v.optional(text()),
  /** A good answer, which the judge is shown. */
  expected: v.optional(text()),
});

const CheckSchema = v.variant(
  'kind',
  [
    ExactSchema,
    ContainsSchema,
    RegexSchema,
    JsonSchemaSchema,
    NumericSchema,
    ToolCallsSchema,
    reference('rouge_l'),
    reference('chrf'),
    reference('bleu'),
    PerplexitySchema,
    ChoiceSchema,
    LabelSchema,
    JudgeSchema,
  ],
  `must be one of ${CHECK_KINDS.join(', ')}`,
);
/** How an answer is checked, by its `kind`. */
export type Check = v.InferOutput<typeof CheckSchema>;
export type CheckOf<Kind extends CheckKind> = Extract<Check, { readonly kind: Kind }>;

const file = () => v.pipe(v.string(), v.minLength(1, 'must not be empty'));
const imagePart = (image: string) => ({ type: 'image', image }) as const;

/** A part of a message, with the names of images that rows of datasets have, too. */
const PartSchema = v.union(
  [
    v.strictObject({ type: v.literal('text'), text: v.string() }),
    v.strictObject({ type: v.literal('image'), image: file() }),
    v.pipe(
      v.strictObject({ type: v.literal('image'), path: file() }),
      v.transform((part) => imagePart(part.path)),
    ),
    v.pipe(
      v.strictObject({ type: v.literal('image'), url: file() }),
      v.transform((part) => imagePart(part.url)),
    ),
    v.pipe(
      v.strictObject({
        type: v.literal('image_url'),
        image_url: v.union([file(), v.strictObject({ url: file() })]),
      }),
      v.transform(({ image_url: link }) => imagePart(typeof link === 'string' ? link : link.url)),
    ),
  ],
  'must be {"type": "text", "text": "…"} or {"type": "image", "image": "FILE"}',
);
type SuitePart = v.InferOutput<typeof PartSchema>;

/** Their text if there are no images: templates of models without images take no list. */
const joinedTexts = (parts: SuitePart[]): string | SuitePart[] =>
  parts.some(({ type }) => type === 'image')
    ? parts
    : parts.map((part) => (part.type === 'text' ? part.text : '')).join('');

const MessageSchema = v.looseObject({
  role: text(),
  content: v.optional(
    v.union(
      [v.string(), v.pipe(v.array(PartSchema), v.transform(joinedTexts))],
      'must be text, or a list of parts {"type": "text", "text": "…"} and {"type": "image", "image": "FILE"}',
    ),
  ),
});
type SuiteMessage = v.InferOutput<typeof MessageSchema>;

/** A row of a suite. It has exactly one of prompt, messages and text. */
export const SuiteRowSchema = v.strictObject({
  /** Rows with the same name are scored together. Default: the name of the file. */
  suite: v.optional(text()),
  /** A question: a message of the user where the base has a chat template. */
  prompt: v.optional(text()),
  /** The system message of a prompt. */
  system: v.optional(v.string()),
  /** The prompt gets no chat template: it is continued. */
  plain: v.optional(v.boolean(), false),
  /** A conversation, to be answered. */
  messages: v.optional(v.pipe(v.array(MessageSchema), v.minLength(1, 'must not be empty'))),
  /** Of perplexity and label. */
  text: v.optional(text()),
  /** The second text of a label. */
  text_pair: v.optional(text()),
  /** The tools that the answer may call. */
  tools: v.optional(v.array(v.looseObject({}))),
  /** The longest answer, in tokens. Default: --max-new-tokens. */
  max_new_tokens: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  check: CheckSchema,
});
export type SuiteRow = v.InferOutput<typeof SuiteRowSchema>;

/** A row of a suite; undefined if it is not valid. */
export const asSuiteRow = parsed(SuiteRowSchema);

/** The content of a message as text, with the name of each image in brackets. */
export const contentText = (content: SuiteMessage['content']): string | undefined =>
  Array.isArray(content)
    ? content.map((part) => (part.type === 'text' ? part.text : `[${nameOf(part.image)}]`)).join('')
    : content;

const nameOf = (image: string): string =>
  /^data:/i.test(image) ? 'image' : (image.split(/[\\/]/).at(-1) ?? image);

/** The images of a row's messages, with the roles of these. */
export const imagesOfSuiteRow = ({
  messages = [],
}: SuiteRow): readonly { readonly role: string; readonly image: string }[] =>
  messages.flatMap(({ role, content }) =>
    Array.isArray(content)
      ? content.flatMap((part) => (part.type === 'image' ? [{ role, image: part.image }] : []))
      : [],
  );

/** The question of a row, as a page shows it: its last message, or its text. */
export function questionOf(row: SuiteRow): string {
  if (row.messages) return contentText(row.messages.at(-1)?.content) ?? '';
  return row.prompt ?? row.text ?? '';
}

/** What a row expects, as a page shows it; '' where it is not a text. */
export function expectedOf({ check }: SuiteRow): string {
  switch (check.kind) {
    case 'regex':
      return check.pattern;
    case 'json_schema':
      return JSON.stringify(check.schema);
    case 'tool_calls':
      return check.expected.length === 0 ? '' : JSON.stringify(check.expected);
    case 'choice':
      return typeof check.expected === 'number'
        ? (check.choices[check.expected] ?? '')
        : check.expected;
    case 'numeric':
      return String(check.expected);
    default:
      return [check.expected ?? []].flat().join('\n');
  }
}
